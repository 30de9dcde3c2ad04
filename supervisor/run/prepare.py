"""From a command line to everything that is known before a process is forked: find the place, load what binds,
compile and check. Starts nothing, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.confine.environment import Environment, build, cache_folders
from supervisor.git.program import find_git
from supervisor.git.signing import wanted as signed
from supervisor.invariants.contract import Contract, compile_contracts
from supervisor.invariants.policy import CompiledPolicy
from supervisor.journal.store import state_path
from supervisor.kernel import probe
from supervisor.kernel.gaps import gaps
from supervisor.profile.agents import GENERIC, late_agents, load_agent
from supervisor.profile.load import load
from supervisor.profile.model import AgentPack, Profile
from supervisor.run.agent import Late, launches
from supervisor.run.compose import absent_at_home, base_locks, baselines_of, compile_for
from supervisor.run.options import Options
from supervisor.run.place import Place, cache_base, check_tree, home_folder, place_of, working_directory
from supervisor.vocabulary.errors import HostError, UsageError
from supervisor.vocabulary.host import HostFacts

if TYPE_CHECKING:
    from supervisor.run import logins as ssh_logins
    from supervisor.run.signing import Grant


class Prepared(NamedTuple):
    """Everything that is known before a process is forked."""

    options: Options
    place: Place
    profile: Profile
    agent: AgentPack
    policy: CompiledPolicy
    host: HostFacts
    environment: Environment
    state: Path
    caches: Path
    program: str
    signing: Grant | None
    logins: ssh_logins.Grant | None
    unsigned: str
    late: Late
    home: Path
    contracts: tuple[Contract, ...] = ()


def prepare(options: Options, environ: Mapping[str, str]) -> Prepared:
    """Find, load, compile and check. Starts nothing and changes nothing. Errors: ``GovrunError``."""
    home = Path(os.path.realpath(home_folder(environ)))
    place = place_of(working_directory(), options.root)
    host = probe.start_facts()
    check_host(host, options.accept)
    program = _program(options.command[0], environ)
    state = state_path(environ)
    check_tree(place, home, state, explicit=options.root is not None)
    if place.repository is not None:
        find_git()  # without it nothing that the run commits could be judged or noted
    within = options.within
    profile = within.narrowed(str(place.tree)) if within is not None else load(place.tree, profile=options.profile)
    if options.digest and profile.digest != options.digest:
        why = "a profile, pack or decision was changed, or belongs to no commit and is ignored by git"
        raise UsageError("what binds the copy is not what binds the run", why, "commit what binds the run")
    if options.require is not None:
        profile = profile._replace(require=options.require)
    _check_committed(profile, options)
    agent = load_agent(options.agent, options.command)
    caches = cache_base(dict(environ), home, place.tree)
    verified = host.yama < 2
    baselines = options.baselines or baselines_of(place, profile)
    locks = base_locks(place.tree, profile, baselines)

    def policy_for(pack: AgentPack) -> CompiledPolicy:
        compiled = compile_for(
            place, profile, pack, host, state, home, caches, verified=verified, locks=locks, own=within is None,
            baselines=baselines,
        )  # fmt: skip
        return within.bind(compiled) if within is not None else compiled

    policy = policy_for(agent)
    _check_examples(policy, profile, place, environ)
    if locks is not None and locks.warnings:
        profile = profile._replace(warnings=(*profile.warnings, *locks.warnings))
    if absent := absent_at_home(profile, home):
        profile = profile._replace(warnings=(*profile.warnings, *absent))
    signing, unsigned = _signing(place, home, environ)
    logins, unreached = _logins(place, profile, home, environ) if verified else (None, "")
    said = (*filter(None, (unsigned, unreached, _as_root(place.tree))), *_tracked(policy, place))
    profile = profile._replace(warnings=(*profile.warnings, *said))
    environment = _environment(environ, profile, agent, home, caches, signing)
    if logins is not None:
        environment.variables.setdefault("SSH_AUTH_SOCK", logins.variable)
    may_launch = agent.name == GENERIC and options.agent is None and launches(program)
    late = late_agents() if may_launch else ()
    chosen_late = Late(late, policy_for, environment.withheld)
    return Prepared(
        options, place, profile, agent, policy, host, environment, state, caches, program, signing, logins,
        unsigned, chosen_late, home, compile_contracts(profile.contracts) if options.contracts else (),
    )  # fmt: skip


def _environment(
    environ: Mapping[str, str], profile: Profile, agent: AgentPack, home: Path, caches: Path, signing: Grant | None
) -> Environment:
    scope = profile.scope
    environment = build(
        environ,
        keep=agent.keep,
        passed=[entry.value for entry in scope.env_pass],
        dropped=[entry.value for entry in scope.env_drop if not entry.source.startswith("pack:")],
        withheld_too=[entry.value for entry in scope.env_drop if entry.source.startswith("pack:")],
        added=_settings(agent, home, environ) | {name: entry.value for name, entry in scope.env_set.items()},
        caches=cache_folders(str(caches), str(home)),
    )
    if signing is not None:
        from supervisor.run.signing import known_to_git

        environment.variables.update(known_to_git(signing, environment.variables))
    return environment


def _tracked(policy: CompiledPolicy, place: Place) -> tuple[str, ...]:
    if not policy.judges_reads:
        return ()
    from supervisor.run.tracked import warnings

    return warnings(policy, place.repository)


def _settings(agent: AgentPack, home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What the agent's pack sets in its environment. Errors: ``UsageError`` where the user has set it: the state that
    the pack describes would not be there, and what lies elsewhere is no run's to write."""
    for name in agent.set:
        if name in environ:
            why = f"the {agent.name} pack keeps runs to the state in {', '.join(agent.set.values())}"
            raise UsageError(f"{name} is set", why, f"env -u {name} govrun …, or --agent generic")
    return {name: str(home) + value[1:] if value.startswith("~/") else value for name, value in agent.set.items()}


def _signing(place: Place, home: Path, environ: Mapping[str, str]) -> tuple[Grant | None, str]:
    """What signed commits need, or why there will be none; nothing is loaded where nobody signs."""
    if (repository := place.repository) is None:
        return None, ""
    wanted = signed(place.tree, (repository.git_dir, repository.common_dir), environ)
    if wanted is None:
        return None, ""
    from supervisor.run.signing import plan

    return plan(wanted, home, environ)


def _logins(
    place: Place, profile: Profile, home: Path, environ: Mapping[str, str]
) -> tuple[ssh_logins.Grant | None, str]:
    """What reaching the remotes over ssh needs, or why they will not be reached; nothing is loaded where there is no
    agent. A debugger in the run could be inside of ssh."""
    repository, scope = place.repository, profile.scope
    own_drops = (entry.value for entry in scope.env_drop if not entry.source.startswith("pack:"))
    if repository is None or scope.debug or not environ.get("SSH_AUTH_SOCK") or "SSH_AUTH_SOCK" in own_drops:
        return None, ""
    from supervisor.git.remotes import over_ssh

    found = over_ssh(place.tree, (repository.git_dir, repository.common_dir), environ)
    if not (found.fetched or found.pushed):
        return None, ""
    from supervisor.run.logins import plan

    own_hides = [entry for entry in scope.hide if not entry.source.startswith("pack:")]
    return plan(found, home, environ, own_hides)


def check_host(host: HostFacts, accepted: tuple[str, ...]) -> None:
    for gap in gaps(host):
        if gap.blocks and gap.flag not in accepted:
            fix = gap.fix + (f"\nor: govrun --accept {gap.flag} …" if gap.flag else "")
            raise HostError(gap.what, gap.why, fix)


def _check_examples(policy: CompiledPolicy, profile: Profile, place: Place, environ: Mapping[str, str]) -> None:
    """An example that does not hold stops the start; only profiles that have some pay for it."""
    words = profile.scope.layers.values()
    if any(rule.denied or rule.allowed for rule in profile.rules) or any(one.denied or one.allowed for one in words):
        from supervisor.run.contracts import tree_paths
        from supervisor.run.examples import require_examples

        require_examples(policy, profile, lambda: tree_paths(policy, place.repository, environ))


def _program(name: str, environ: Mapping[str, str]) -> str:
    """The file to execute. Exit codes 127 and 126 as shells give them."""
    # Not shutil.which: importing it costs as much as loading the profile.
    folders = [""] if "/" in name else environ.get("PATH", os.defpath).split(":")
    for folder in folders:
        found = os.path.join(folder, name) if folder else name
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found if "/" in found else "./" + found
    if "/" in name and os.path.exists(name):
        why, fix = "it is not executable for you", "chmod +x, or name the interpreter before it"
        if os.path.isdir(name):
            why, fix = "it is a folder", "name a program in it"
        raise UsageError(f"cannot execute {name!r}", why, fix, exit_code=126)
    why = "no such file" if "/" in name else f"PATH has no such program: {environ.get('PATH', os.defpath)}"
    fix = _of_a_shell(name) or "check the spelling and PATH"
    raise UsageError(f"command not found: {name!r}", why, fix, exit_code=127)


# Words that a shell knows without a program of that name.
_BUILTINS = frozenset(
    [".", "alias", "cd", "command", "eval", "exec", "export", "set", "source", "ulimit", "umask", "unset"]
)


def _of_a_shell(name: str) -> str:
    """What to write instead of a word that only a shell understands; empty: it is none."""
    if name in _BUILTINS:
        return f"{name} belongs to a shell: govrun -- sh -c '{name} …'"
    variable, equals, _ = name.partition("=")
    if equals and variable.isidentifier():
        return f"govrun -- env {variable}=… COMMAND ARGS…"
    if " " in name.strip():
        return "one word is the program, the others are its arguments: leave the quotes out, or govrun -- sh -c '…'"
    return ""


def _as_root(tree: Path) -> str:
    """A warning where root starts a run in somebody else's tree, as in a container that mounts one."""
    if os.geteuid() != 0 or (owner := os.stat(tree).st_uid) == 0:
        return ""
    import pwd

    try:
        fix = f"su {pwd.getpwuid(owner).pw_name} -c 'govrun -- …'"
    except KeyError:
        fix = f"HOME=… setpriv --reuid {owner} --regid {os.stat(tree).st_gid} --clear-groups govrun -- …"
    why = "a run gives up what root may do to the files of others"
    return (
        f"{tree} belongs to user {owner}, and this is root: nothing there can be written; {why}; run it as them: {fix}"
    )


def _check_committed(profile: Profile, options: Options) -> None:
    if not (profile.require_committed or options.require_committed):
        return
    raise UsageError(
        "whether the profile is committed cannot be checked yet",
        "`require_committed` needs the comparison with the base commit, which a later version makes",
        "leave it out",
    )


__all__ = ["Options", "Prepared", "check_host", "prepare"]
