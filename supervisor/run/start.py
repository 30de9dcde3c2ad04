"""From a command line to a run: find the place, load what binds, compile, fork. Prints nothing; ``say`` does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.confine import terminal
from supervisor.confine.domains import Domain, agent_domain, supervisor_domain
from supervisor.confine.environment import Environment, build, cache_folders
from supervisor.confine.guard import Ended, Guard
from supervisor.enforce.explain import safe
from supervisor.enforce.kill import stop_tree, survivors
from supervisor.git import refs as git_refs
from supervisor.git.neutral import find_git
from supervisor.git.signing import wanted as signed
from supervisor.invariants.policy import CompiledPolicy
from supervisor.journal.store import make_state, new_run, read_meta, state_path, update_meta, write_meta, write_refs
from supervisor.kernel import filter as bpf
from supervisor.kernel import landlock, probe, process
from supervisor.kernel.gaps import gaps
from supervisor.profile.agents import GENERIC, late_agents, load_agent
from supervisor.profile.load import load
from supervisor.profile.model import AgentPack, Profile
from supervisor.run import scratch
from supervisor.run.agent import Late
from supervisor.run.compose import (
    Given,
    Place,
    base_locks,
    cache_base,
    check_tree,
    compile_for,
    handed_in,
    home_folder,
    own_folders,
    place_of,
    state_places,
    working_directory,
)
from supervisor.run.ending import EXIT_FAILED
from supervisor.run.screen import Screen
from supervisor.run.supervise import Order, supervise
from supervisor.run.world import Oracles, git_tools
from supervisor.vocabulary.errors import GovrunError, HostError, StopRun, UsageError
from supervisor.vocabulary.host import HostFacts
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect

if TYPE_CHECKING:
    from supervisor.run.signing import Grant

_LAST_PATIENCE = 60.0  # seconds that the guard works on what the supervisor could not end
# Not SIGPIPE and SIGXFSZ: this interpreter ignores them for itself, whatever it found.
_DISPOSITIONS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP,
    signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


class Options(NamedTuple):
    """The command line of a start. ``as_json`` is how ``dry_run`` is printed."""

    command: tuple[str, ...]
    profile: Path | None = None
    agent: str | None = None
    root: Path | None = None
    require: str | None = None
    require_committed: bool = False
    fail_on: str | None = None
    accept: tuple[str, ...] = ()
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False


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
    late: Late
    home: Path


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
    profile = load(place.tree, profile=options.profile)
    if options.require is not None:
        profile = profile._replace(require=options.require)
    _check_committed(profile, options)
    agent = load_agent(options.agent, options.command)
    caches = cache_base(dict(environ), home, place.tree)
    verified = host.yama < 2
    locks = base_locks(place.tree, profile)

    def policy_for(pack: AgentPack) -> CompiledPolicy:
        return compile_for(place, profile, pack, host, state, home, caches, verified=verified, locks=locks)

    policy = policy_for(agent)
    _check_examples(policy)
    if locks is not None and locks.warnings:
        profile = profile._replace(warnings=(*profile.warnings, *locks.warnings))
    signing, warnings = _signing(place, home, environ)
    profile = profile._replace(warnings=(*profile.warnings, *warnings))
    scope = profile.scope
    environment = build(
        environ,
        keep=agent.keep,
        passed=[entry.value for entry in scope.env_pass],
        dropped=[entry.value for entry in scope.env_drop if not entry.source.startswith("pack:")],
        withheld_too=[entry.value for entry in scope.env_drop if entry.source.startswith("pack:")],
        added=_settings(agent, home, environ) | {name: entry.value for name, entry in scope.env_set.items()},
        caches=cache_folders(str(caches)),
    )
    if signing is not None:
        environment.variables.update(signing.variables)
    late = late_agents() if agent.name == GENERIC and options.agent is None else ()
    chosen_late = Late(late, policy_for, environment.withheld)
    return Prepared(
        options, place, profile, agent, policy, host, environment, state, caches, program, signing, chosen_late, home
    )


def _settings(agent: AgentPack, home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What the agent's pack sets in its environment. Errors: ``UsageError`` where the user has set it: the state that
    the pack describes would not be there, and what lies elsewhere is no run's to write."""
    for name in agent.set:
        if name in environ:
            why = f"the {agent.name} pack keeps runs to the state in {', '.join(agent.set.values())}"
            raise UsageError(f"{name} is set", why, f"env -u {name} govrun …, or --agent generic")
    return {name: str(home) + value[1:] if value.startswith("~/") else value for name, value in agent.set.items()}


def _signing(place: Place, home: Path, environ: Mapping[str, str]) -> tuple[Grant | None, tuple[str, ...]]:
    """What signed commits need, and why there will be none; nothing is loaded where nobody signs."""
    if (repository := place.repository) is None:
        return None, ()
    wanted = signed(place.tree, (repository.git_dir, repository.common_dir), environ)
    if wanted is None:
        return None, ()
    from supervisor.run.signing import plan

    found = plan(wanted, home, environ)
    return found.grant, (found.warning,) if found.warning else ()


def check_host(host: HostFacts, accepted: tuple[str, ...]) -> None:
    for gap in gaps(host):
        if gap.blocks and gap.flag not in accepted:
            fix = gap.fix + (f"\nor: govrun --accept {gap.flag} …" if gap.flag else "")
            raise HostError(gap.what, gap.why, fix)


def _check_examples(policy: CompiledPolicy) -> None:
    """An example that does not hold stops the start; only rules that have some pay for it."""
    if any(rule.denied or rule.allowed for rule in policy.dependencies.rules):
        from supervisor.run.examples import require_examples

        require_examples(policy)


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
    raise UsageError(f"command not found: {name!r}", why, "check the spelling and PATH", exit_code=127)


def _check_committed(profile: Profile, options: Options) -> None:
    if not (profile.require_committed or options.require_committed):
        return
    raise UsageError(
        "whether the profile is committed cannot be checked yet",
        "`require_committed` needs the comparison with the base commit, which a later version makes",
        "leave it out",
    )


def launch(prepared: Prepared, say: Callable[[str], None]) -> int:
    """Run the command; returns the exit code of govrun. Called once per process. Errors: ``GovrunError``."""
    make_state(prepared.state)
    _make_folders(prepared)
    if prepared.agent.state_in:
        from supervisor.run.agentstate import bring

        bring(prepared.agent, prepared.home)
    seccomp = filter_of(prepared, keep=True)
    run, folder = new_run(prepared.state)
    try:
        _write_start(prepared, run, folder, time.time())
    except StopRun as error:
        _leave(folder)
        raise HostError(error.what, error.why, error.fix) from error  # nothing was started
    temporary = scratch.make(prepared.policy.temp, run)
    variables = scratch.shown(prepared.environment.variables, prepared.profile.scope, temporary)
    if prepared.signing is not None:
        from supervisor.run.signing import place_keyring

        variables = variables | place_keyring(prepared.signing, temporary)
    if not prepared.options.quiet:
        for line in banner(prepared, run):
            say(line)
    tty = terminal.open_foreground()
    read, write = os.pipe2(os.O_CLOEXEC)
    process.become_subreaper()
    order = _order(prepared, run, folder, seccomp, write, tty, say)._replace(
        scratch=temporary, environment=variables, signing=prepared.signing
    )
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        # A group of its own: whoever kills the group that was started (timeout -s KILL) leaves one of the two alive.
        os.setpgid(0, 0)
        os.close(read)
        code = _supervisor(order)
        if os.getppid() == guard:
            os.kill(guard, signal.SIGCONT)  # it may have stopped with the agent
        os._exit(code)
    os.close(write)
    ended = Guard(child, read, tty).wait(lambda kept: stop_tree(guard, kept, _LAST_PATIENCE))
    code = _code(ended, folder, say)
    if left := survivors(ended.left):
        say(f"govrun: processes of the run could not be ended: {' '.join(map(str, left[:16]))}")
        say("  why: they wait inside the kernel, or are started faster than they can be killed")
        code = EXIT_FAILED
    if not prepared.options.quiet:
        for line in summary(folder, run):
            say(line)
    return code


def _leave(folder: Path) -> None:
    """Take away the folder of a run that never began."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _supervisor(order: Order) -> int:
    """The forked half. Never returns into the caller's code, whatever happens."""
    screen = Screen(order.say)
    try:
        try:
            return supervise(order._replace(say=screen)).code
        finally:
            screen.flush()
    except GovrunError as error:
        for line in error.lines():
            order.say(line)
        os.write(order.guard, b"exit %d\n" % error.exit_code)
        _end_unknown(order.folder, "internal", error.exit_code)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a traceback never reaches a user, and the guard must be told
        order.say(f"govrun: BUG: {type(error).__name__}: {error}")
        if os.environ.get("GOVRUN_DEBUG"):
            import traceback

            traceback.print_exc()
        return EXIT_FAILED


def _code(ended: Ended, folder: Path, say: Callable[[str], None]) -> int:
    if ended.code is not None:
        return ended.code
    how = f"signal {os.WTERMSIG(ended.status)}" if os.WIFSIGNALED(ended.status) else f"status {ended.status >> 8}"
    say(f"govrun: the supervisor ended unexpectedly ({how}); everything it had started was stopped")
    say("  why: without it nothing could be judged")
    say("  fix: govrun log latest shows what happened until then")
    _recover(folder, say)
    return EXIT_FAILED


def _recover(folder: Path, say: Callable[[str], None]) -> None:
    from supervisor.run.recovery import recover_run

    try:
        found = recover_run(folder, over=True)
    except (GovrunError, OSError) as error:
        say(f"govrun: what it left half-done is still there: {error}")
        say("  fix: govrun recover")
        return
    for line in found.told:
        say(f"govrun: {line}")
    if found.failed or found.state == "live":
        say("govrun: not everything it left half-done could be finished")
        say("  fix: govrun recover")


def _end_unknown(folder: Path, reason: str, code: int) -> None:
    try:
        update_meta(folder, end={"status": "UNKNOWN", "reason": reason, "exit": None, "code": code})
    except StopRun:
        return  # no room even for that: a run without an end reads UNKNOWN


def _write_start(prepared: Prepared, run: str, folder: Path, started: float) -> None:
    repository = prepared.place.repository
    meta: dict[str, object] = {
        "run": run,
        "agent": prepared.agent.name,
        "argv": list(prepared.options.command),
        "tree": str(prepared.place.tree),
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "pid": os.getpid(),
        "policy": prepared.policy.digest,
        "coverage": {level.word: count for level, count in _levels(prepared.policy).items()},
        "sources": [source._asdict() for source in prepared.profile.sources],
        "decisions": [
            {"id": adr.id or adr.ref, "path": adr.path, "title": adr.title, "blob": adr.sha1_blob}
            for adr in prepared.profile.adrs
        ],
    }
    if repository is not None:
        meta["git"] = {
            "git_dir": str(repository.git_dir),
            "common_dir": str(repository.common_dir),
            "object_format": repository.object_format,
            "base": repository.head_commit,
        }
        write_refs(folder, git_refs.snapshot(repository.common_dir))
    write_meta(folder, meta)


def _levels(policy: CompiledPolicy) -> dict[Coverage, int]:
    """How many invariants hold at each level on this host, the firmest first."""
    found = [rule.coverage for rule in policy.invariants.values()]
    return {level: count for level in sorted(Coverage, reverse=True) if (count := found.count(level))}


def folders_to_make(prepared: Prepared) -> tuple[bytes, ...]:
    """Folders that the run may write have to exist before the domains are entered: a grant is on an inode."""
    shipped = (grant for grant in prepared.policy.grants if grant.source.startswith(("pack:", "package caches")))
    wanted = (grant.path if grant.folder else os.path.dirname(grant.path) for grant in shipped)
    return (*wanted, *own_folders(prepared.agent, prepared.home))


def cannot_make(path: bytes, why: str) -> HostError:
    return HostError(f"cannot make {os.fsdecode(path)!r}", why, "make it yourself, or free space")


def _make_folders(prepared: Prepared) -> None:
    for path in folders_to_make(prepared):
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_make(path, str(error)) from error


def filter_of(prepared: Prepared, *, keep: bool) -> bytes:
    """The filter program, an array of ``struct sock_filter``; ``keep``: for later starts."""
    spec = bpf.FilterSpec(debug=prepared.policy.debug, opens="folders", abi=prepared.host.landlock_abi)
    return bpf.cached(spec, prepared.state / "cache", keep=keep)


def domains(prepared: Prepared, given: Given) -> tuple[Domain, Domain]:
    """The Landlock domains of the agent and of the supervisor."""
    policy = prepared.policy
    # Landlock cannot be widened later, and knows only what is there: the state folders of agents used before.
    late = [p for pack in prepared.late.packs for p in state_places(pack, Path(os.fsdecode(policy.home)))]
    writable = [policy.tree, policy.state, *policy.temp, *(grant.path for grant in policy.grants)]
    if policy.git is not None:
        writable += [policy.git.path, policy.git.common]
    scopes = landlock.scopes(prepared.host.landlock_abi)
    return (
        agent_domain((policy.state, *policy.hide), scopes, given.terminals),
        supervisor_domain(
            [*writable, *given.files, *late], [os.path.dirname(grant.path) for grant in policy.grants if grant.beside]
        ),
    )


def _order(
    prepared: Prepared, run: str, folder: Path, seccomp: bytes, guard: int, tty: int, say: Callable[[str], None]
) -> Order:
    policy, repository = prepared.policy, prepared.place.repository
    scoped = prepared.host.landlock_abi >= 6
    fail_on = prepared.options.fail_on
    umask = os.umask(0)
    os.umask(umask)
    given = handed_in()
    agent, own = domains(prepared, given)
    return Order(
        run=run,
        folder=folder,
        policy=policy,
        program=prepared.program,
        argv=prepared.options.command,
        environment=prepared.environment.variables,
        cwd=os.fsencode(prepared.place.cwd),
        seccomp=seccomp,
        agent_domain=agent,
        own_domain=own,
        given=given.inodes,
        scoped=scoped,
        fail_on=Effect[fail_on.upper()] if fail_on else None,
        files=prepared.profile.scope.files,
        git_tools=git_tools(),
        unverified="yama" in prepared.options.accept and prepared.host.yama >= 2,
        oracles=Oracles(repository, prepared.state / "git" / folder.name if repository else folder),
        refs=git_refs.snapshot(repository.common_dir) if repository else {},
        head=repository.head_commit if repository and repository.head_ref is None else "",
        base=repository.head_commit if repository else "",
        guard=guard,
        terminal=tty,
        umask=umask,
        ignored=tuple(n for n in _DISPOSITIONS if signal.getsignal(n) is signal.SIG_IGN),
        say=say,
        scratch=b"",
        agent=prepared.agent,
        late=prepared.late,
    )


def banner(prepared: Prepared, run: str) -> list[str]:
    """What is said before the agent starts, one line and the warnings."""
    found = prepared.policy.invariants.values()
    levels = [f"{count} {level.word}" for level, count in _levels(prepared.policy).items()]
    tree = str(prepared.place.tree)
    home = os.environ.get("HOME", "")
    shown = "~" + tree[len(home) :] if home and tree.startswith(home + "/") else tree
    parts = [
        f"govrun {run}: {prepared.agent.name} in {shown} (inplace, {prepared.host.tier} tier)",
        f"{len(prepared.policy.invariants)} invariants: {' '.join(levels)}",
    ]
    if prepared.environment.withheld:
        parts.append(f"withheld: {', '.join(prepared.environment.withheld)}")
    parts.append(" ".join(f"{source.name}@{source.sha256[:7]}" for source in prepared.profile.sources))
    lines = [safe(" · ".join(parts))]
    lines += [safe(f"govrun: warning: {text}") for text in prepared.profile.warnings]
    unjudged = [rule.id for rule in found if rule.coverage is Coverage.UNENFORCEABLE]
    if unjudged:
        lines.append(f"govrun: not judged here: {', '.join(unjudged[:12])} (govrun explain says why)")
    if prepared.place.repository is None:
        lines.append("govrun: not a git repository: no notes will be written")
    return lines


def _ending(end: Mapping[str, object]) -> str:
    """How a run ended, in words."""
    reason, code = end.get("reason"), end.get("exit")
    if reason == "exit":
        return f"exit {code}"
    if reason == "signal" and isinstance(code, int):
        return f"ended by {signal.Signals(-code).name}"
    words = {"invariant": "stopped by an invariant", "operator": "stopped by its operator", "timeout": "timeout"}
    return words.get(str(reason), str(reason))


_SAID_IF_ANY: Final = ("reverts", "kills", "external", "divergence")


def summary(folder: Path, run: str) -> list[str]:
    """The three lines at the end."""
    end = read_meta(folder).get("end")
    if not isinstance(end, dict):
        return [f"govrun {run}: UNKNOWN"]
    counts = end.get("counts") or {}
    counts = counts if isinstance(counts, dict) else {}
    told = " ".join(f"{name}={value}" for name, value in counts.items() if value or name not in _SAID_IF_ANY)
    return [
        f"govrun {run}: {end.get('status')} · {_ending(end)} · {end.get('seconds', '-')} s",
        f"govrun: {told or 'no record'}",
        f"govrun: govrun log {run[:12]}",
    ]
