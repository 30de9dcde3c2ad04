"""From what was prepared to a run and its exit code: folders, domains, the fork, the guard. Prints nothing; ``say``
does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.confine import terminal
from supervisor.confine.domains import Domain, agent_domain, supervisor_domain
from supervisor.confine.guard import Ended, Guard
from supervisor.enforce.kill import stop_tree, survivors
from supervisor.git import refs as git_refs
from supervisor.journal.store import make_state, new_run, update_meta, write_meta, write_refs
from supervisor.kernel import filter as bpf
from supervisor.kernel import landlock, process
from supervisor.run import scratch
from supervisor.run.compose import Given, handed_in, own_folders, state_places
from supervisor.run.ending import EXIT_FAILED
from supervisor.run.order import Order
from supervisor.run.screen import Screen
from supervisor.run.supervise import supervise
from supervisor.run.world import Oracles, git_tools
from supervisor.vocabulary.errors import GovrunError, HostError, StopRun
from supervisor.vocabulary.verdicts import Effect

if TYPE_CHECKING:
    from supervisor.invariants.contract import Shown
    from supervisor.invariants.policy import CompiledPolicy
    from supervisor.kernel.syscall_table import Opens
    from supervisor.run.limiting import Bounds
from supervisor.run.options import Options
from supervisor.run.prepare import Prepared, prepare
from supervisor.run.said import banner, levels, summary

_LAST_PATIENCE = 60.0  # seconds that the guard works on what the supervisor could not end
# Not SIGPIPE and SIGXFSZ: this interpreter ignores them for itself, whatever it found.
_DISPOSITIONS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP,
    signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


def launch(prepared: Prepared, say: Callable[[str], None]) -> int:
    """Run the command; returns the exit code of govrun. Called once per process. Errors: ``GovrunError``."""
    make_state(prepared.state)
    _make_folders(prepared)
    shown: tuple[Shown, ...] = ()
    if prepared.contracts:
        from supervisor.run.beginning import begin

        prepared, shown = begin(prepared, governed, say)
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
    order = _order(prepared, run, folder, seccomp, write, tty, say)
    order = order._replace(scratch=temporary, environment=variables, shown=shown)
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
    code = _code(ended, order, say)
    if left := survivors(ended.left):
        say(f"govrun: processes of the run could not be ended: {' '.join(map(str, left[:16]))}")
        say("  why: they wait inside the kernel, or are started faster than they can be killed")
        code = EXIT_FAILED
    if not prepared.options.quiet:
        for line in summary(folder, run):
            say(line)
    return code


def governed(options: Options, say: Callable[[str], None]) -> int:
    """A run from its options, in a process that has started none yet. Errors: ``GovrunError``."""
    return launch(prepare(options, os.environ), say)


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


def _code(ended: Ended, order: Order, say: Callable[[str], None]) -> int:
    if order.bounds is not None:
        order.bounds.close()
    if ended.code is not None:
        return ended.code
    how = f"signal {os.WTERMSIG(ended.status)}" if os.WIFSIGNALED(ended.status) else f"status {ended.status >> 8}"
    say(f"govrun: the supervisor ended unexpectedly ({how}); everything it had started was stopped")
    say("  why: without it nothing could be judged")
    say("  fix: govrun log latest shows what happened until then")
    _recover(order.folder, say)
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
        "invariants": {found.id: found.coverage.word for found in prepared.policy.invariants.values()},
        "coverage": {level.word: count for level, count in levels(prepared.policy).items()},
        "sources": [source._asdict() for source in prepared.profile.sources],
        "decisions": [
            {"id": adr.id or adr.ref, "path": adr.path, "title": adr.title, "blob": adr.sha1_blob}
            for adr in prepared.profile.adrs
        ],
    }
    if prepared.policy.baselines:
        meta["baselines"] = dict(prepared.policy.baselines.commits)
    if repository is not None:
        meta["git"] = {
            "git_dir": str(repository.git_dir),
            "common_dir": str(repository.common_dir),
            "object_format": repository.object_format,
            "base": repository.head_commit,
        }
        write_refs(folder, git_refs.snapshot(repository.common_dir))
    write_meta(folder, meta)


def folders_to_make(prepared: Prepared) -> tuple[bytes, ...]:
    """Folders that the run may write have to exist before the domains are entered: a grant is on an inode."""
    shipped = (grant for grant in prepared.policy.grants if grant.source.startswith(("pack:", "package caches")))
    wanted = (grant.path if grant.folder else os.path.dirname(grant.path) for grant in shipped)
    return (*wanted, *own_folders(prepared.agent, prepared.home))


def cannot_make(path: bytes, why: str, caches: Path) -> HostError:
    """``caches``: where the package caches of runs lie."""
    fix = "make it yourself, or free space"
    if path == os.fsencode(os.path.realpath(caches)):
        fix += "; XDG_CACHE_HOME names another place for caches"
    return HostError(f"cannot make {os.fsdecode(path)!r}", why, fix)


def _make_folders(prepared: Prepared) -> None:
    for path in folders_to_make(prepared):
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_make(path, str(error), prepared.caches) from error


def filter_of(prepared: Prepared, *, keep: bool) -> bytes:
    """The filter program, an array of ``struct sock_filter``; ``keep``: for later starts."""
    policy = prepared.policy
    opens: Opens = "all" if policy.judges_reads else "folders"
    spec = bpf.FilterSpec(debug=policy.debug, opens=opens, abi=prepared.host.landlock_abi, ipc=not policy.around)
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
    shown = prepared.logins.known_hosts if prepared.logins is not None else ()
    inner = [policy.tree, *policy.temp, *(grant.path for grant in policy.grants)] if policy.around else []
    return (
        agent_domain((policy.state, *policy.hide, *policy.around), scopes, given.terminals, shown, inner),
        supervisor_domain(
            [*writable, *given.files, *late], [os.path.dirname(grant.path) for grant in policy.grants if grant.beside]
        ),
    )


def _bounds(policy: CompiledPolicy, run: str, folder: Path) -> Bounds | None:
    if not policy.limits:
        return None
    from supervisor.run.limiting import Bounds

    return Bounds(policy, run, folder)


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
        bound=prepared.profile,
        signing=prepared.signing,
        logins=prepared.logins,
        unsigned=prepared.unsigned,
        contracts=prepared.contracts,
        profile=prepared.options.profile,
        governed=governed,
        ask=prepared.profile.ask,
        ask_timeout=prepared.profile.ask_timeout,
        bounds=_bounds(policy, run, folder),
    )
