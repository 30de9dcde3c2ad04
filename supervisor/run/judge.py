"""One notified call from its registers to its answer: materialize, decide, act, record."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.decide import decide
from supervisor.enforce import files as enforce_files
from supervisor.enforce.explain import Explainer, reason
from supervisor.enforce.links import renew
from supervisor.git.commandline import FETCHING, command_of
from supervisor.invariants.places import Place, Zone, locate
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.kernel import memory
from supervisor.kernel import process as kernel_process
from supervisor.kernel.libc import errno_of
from supervisor.profile.problems import plain
from supervisor.run.pointers import Pointers
from supervisor.run.record import Recorder, kind_of
from supervisor.run.refs import RefWatch
from supervisor.run.tracer import Started, Tracer
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.execs import Execs, Judged
from supervisor.surfaces.files import Args, Call, Files
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Caller, Refused
from supervisor.surfaces.processes import Process, Processes
from supervisor.surfaces.signals import Signals
from supervisor.vocabulary.acts import CONTINUE, Held, OpenAct, PathAct, Reply
from supervisor.vocabulary.events import Event, ExecEvent, FsEvent, FsOp, GitConfigEvent, Kind, NetEvent, Target
from supervisor.vocabulary.verdicts import Effect, Outcome, Verdict

if TYPE_CHECKING:
    from supervisor.surfaces.network import Network

RESERVED_PRCTL = 0x676F7672  # "govr": answered with the run's id, EINVAL outside a run
_ULID_LENGTH = 26
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)


class Parts(NamedTuple):
    """Everything a judge works with; made once by the composition root."""

    run: str
    policy: CompiledPolicy
    processes: Processes
    made: Made
    files: Files
    execs: Execs
    signals: Signals
    network: Callable[[], Network]
    recorder: Recorder
    explainer: Explainer
    refs: RefWatch | None
    git_tools: tuple[bytes, ...]
    unverified: bool
    open_folders: frozenset[bytes]


class Waiting(NamedTuple):
    """A held act, and what to do with its reply."""

    held: Held
    finish: Callable[[Reply], Reply]
    abandon: Callable[[], None]


class Judge:
    """``told`` gets reasons that could not be given in band; ``stop`` ends the run after a kill verdict."""

    def __init__(self, parts: Parts, told: Callable[[str], None], stop: Callable[[Verdict], None]) -> None:
        self._parts = parts
        self._policy = parts.policy
        self._told = told
        self._stop = stop
        self.state = RunState()
        self.locks: dict[bytes, tuple[int, int]] = {}
        self.pointers = Pointers(lambda path: locate(self._policy, path).zone is Zone.TEMP, self._led_away)
        self.tracer = Tracer(self._arrived, self._never_ran)
        self._families: dict[str, Callable[[Call], Reply | Waiting]] = {}
        self._families.update(dict.fromkeys(parts.files.calls, self._file))
        self._families.update(dict.fromkeys(parts.signals.calls, self._signal))
        self._families.update(dict.fromkeys(("connect", "bind", "listen", "sendto", "sendmsg", "sendmmsg"), self._net))
        self._families |= {"execve": self._exec, "execveat": self._exec, "prctl": self._prctl}

    def answer(self, name: str, tid: int, args: Args) -> Reply | Waiting:
        """The reply to one call. Whatever goes wrong on the way ends in an errno, never in CONTINUE."""
        family = self._families.get(name)
        if family is None:
            return Reply(error=errno.ENOSYS)
        if family != self._exec:
            self.tracer.moved_on(tid)
        try:
            process = self._parts.processes.of(tid)
            actor = self._parts.processes.acting(process)
            git_tool = actor.exe.startswith(self._parts.git_tools)
            return family(Call(name, args, Caller(tid, process.pid), process, actor, git_tool))
        except OSError as error:
            self._without_descriptor(name, errno_of(error))
            return Reply(error=errno_of(error))
        except (ValueError, OverflowError, RecursionError) as error:
            # A value that no kernel would take either. It must not end the run, and must not pass unseen.
            self._parts.recorder.note("gap", reason=f"{name} could not be judged", detail=repr(error)[:200])
            return Reply(error=errno.EINVAL)

    def _without_descriptor(self, name: str, number: int) -> None:
        """A call that was refused before there was anything to judge leaves no record of its own."""
        if number in _EXHAUSTED:
            self._parts.recorder.note("gap", reason=f"{name} refused: no descriptor for it", detail=os.strerror(number))

    def crowded(self, name: str) -> None:
        """A call was sent back because too many others wait."""
        self._parts.recorder.note(
            "gap", reason=f"{name} refused: too many calls wait", detail=os.strerror(errno.EAGAIN)
        )

    # -- files --------------------------------------------------------------------------------------------------

    def _file(self, call: Call) -> Reply | Waiting:
        try:
            attempt = self._parts.files.attempt(call)
        except Refused as refused:
            event = FsEvent(call.actor, FsOp.WRITE, call.name, Target(b"", Kind.OTHER), refusal=str(refused))
            return self._refuse(call.caller, event, decide(self._policy, self.state, event))
        try:
            attempt = self._in_steps(call, attempt)
            verdict = decide(self._policy, self.state, attempt.event)
            if verdict.blocks:
                return self._refuse(call.caller, attempt.event, verdict)
            if isinstance(attempt.event, FsEvent) and attempt.event.op is FsOp.READ:
                return self._read(attempt.event, attempt.act)
            return self._perform(call, attempt, verdict)
        finally:
            attempt.close()

    def _in_steps(self, call: Call, attempt: Attempt) -> Attempt:
        """Editors write git's list of steps while the rebase that started them waits: a fact of names in it alone."""
        event = attempt.event
        if not isinstance(event, FsEvent) or call.git_tool:
            return attempt
        path = event.other.path if event.other is not None else event.target.path
        if b"/rebase-merge/" not in path:
            return attempt
        at = call.process.parent
        while at is not None and command_of(at.actor.argv) != b"rebase":
            at = at.parent
        rebasing = at is not None and at.actor.exe.startswith(self._parts.git_tools)
        return attempt._replace(event=event._replace(rebasing=rebasing))

    def _read(self, event: FsEvent, act: OpenAct | PathAct) -> Reply:
        """Folders above hidden ones are listed for the run; every other read is bounded by the floor alone."""
        if not isinstance(act, OpenAct) or event.target.kind is not Kind.DIR:
            return CONTINUE
        if event.target.path not in self._parts.open_folders or act.flags & os.O_PATH:
            return CONTINUE
        opened = enforce_files.open_for(act, self._parts.made.terminal)
        return opened if isinstance(opened, Reply) else Reply(error=errno.EAGAIN)

    def _perform(self, call: Call, attempt: Attempt, verdict: Verdict) -> Reply | Waiting:
        event, recorder = attempt.event, self._parts.recorder
        refs = self._parts.refs
        if refs is not None and isinstance(event, FsEvent) and event.op is FsOp.RENAME and event.other is not None:
            refs.about(event.other.path)
        governed = self._governed(event) or verdict.effect is not Effect.ALLOW
        seq = recorder.intent(event, verdict) if governed else 0
        if not governed:
            recorder.counts.ungoverned += 1
        if verdict.effect is Effect.WARN:
            self._warn(call.caller, verdict)
        try:
            act = attempt.act
            for path, content in event.settled if isinstance(event, FsEvent) else ():
                renew(path, content)
            if isinstance(act, OpenAct):
                done = enforce_files.open_for(act, self._parts.made.terminal)
            else:
                done = enforce_files.perform(act)
        except OSError as error:
            return self._finish(event, seq, Reply(error=errno_of(error)))
        if isinstance(done, Held):
            return Waiting(
                done,
                lambda reply: self._finish(event, seq, reply),
                lambda: self._abandoned(done, event, seq),
            )
        return self._finish(event, seq, done)

    def _finish(self, event: Event, seq: int, reply: Reply) -> Reply:
        if seq:
            # A connect that goes on in the background was made.
            failed = reply.error not in (0, errno.EINPROGRESS)
            outcome = Outcome.FAILED if failed else Outcome.SUCCEEDED
            self._parts.recorder.outcome(seq, kind_of(event), outcome, reply.error)
        if not reply.error:
            self._landed(event)
        return reply

    def _abandoned(self, held: Held, event: Event, seq: int) -> None:
        held.abandon()
        if seq:
            self._parts.recorder.outcome(seq, kind_of(event), Outcome.FAILED, errno.EINTR)

    def _landed(self, event: Event) -> None:
        """Bookkeeping after a change: names the run made, refs that moved."""
        made, refs = self._parts.made, self._parts.refs
        if isinstance(event, GitConfigEvent) or not isinstance(event, FsEvent):
            return
        match event.op:
            case FsOp.CREATE:
                made.created(event.target.path)
                self.pointers.landed(event.target.path)
                self._note_lock(event.target.path)
            case FsOp.LINK if event.other is not None:
                made.created(event.other.path)
                self.pointers.landed(event.other.path)
                if b"/.git/objects/" not in event.other.path:  # never written again, so never set apart
                    made.linked(event.target, event.other.path)
            case FsOp.RENAME if event.other is not None:
                self.pointers.moved(event.target.path, event.other.path, exchange=event.exchange)
                self.pointers.landed(event.other.path)
                if event.exchange:
                    made.exchanged(event.target.path, event.other.path)
                else:
                    made.moved(event.target.path, event.other.path, event.target.made)
                if refs is not None:
                    fetched = event.git_tool and command_of(event.actor.argv) in FETCHING
                    refs.landed(event.actor, event.other.path, fetched=fetched)
            case FsOp.UNLINK:
                made.removed(event.target.path)
                if refs is not None:
                    refs.removed(event.actor, event.target.path)

    def _led_away(self, path: bytes, leads: bytes) -> None:
        shown, there = plain(os.fsdecode(path)), plain(os.fsdecode(leads))
        text = f"{shown} led git to {there}, where the run writes what git would run, and was removed"
        self._parts.recorder.note("external", op={"path": path, "target": leads}, reason=text)
        self._told(f"govrun: {text}")

    def _note_lock(self, path: bytes) -> None:
        """A lock of govrun's own refs that git of the run made: left behind, it would keep the notes from being
        written."""
        if path.endswith(b".lock") and (b"/refs/notes/govrun" in path or b"/refs/govrun/" in path):
            found = os.lstat(path)
            self.locks[path] = (found.st_dev, found.st_ino)

    def _governed(self, event: Event) -> bool:
        """Whether the change is journalled by itself; caches, scratch space and git's own objects are counted."""
        if isinstance(event, GitConfigEvent):
            return True
        if not isinstance(event, FsEvent):
            return True
        return any(_journalled(locate(self._policy, t.path), t) for t in (event.target, event.other) if t is not None)

    # -- programs -----------------------------------------------------------------------------------------------

    def _exec(self, call: Call) -> Reply | Waiting:
        parts = self._parts
        self.pointers.look()
        try:
            judged = parts.execs.attempt(call)
        except Refused as refused:
            target = Target(b"", Kind.OTHER)
            event = ExecEvent(call.actor, target, b"", (), b"", "call", refusal=str(refused))
            return self._refuse(call.caller, event, decide(self._policy, self.state, event))
        verdict = decide(self._policy, self.state, judged.event)
        if verdict.blocks:
            return self._refuse(call.caller, judged.event, verdict)
        for path in judged.event.hidden:
            self._hidden(call, path)
        seq = parts.recorder.intent(judged.event, verdict)
        if verdict.effect is Effect.WARN:
            self._warn(call.caller, verdict)
        started = Started(call.caller.tid, call.caller.tgid, judged, seq)
        if self.tracer.is_free(call.caller.tid, call.caller.tgid):
            return self._follow(call.caller, started)

        def retry() -> Reply | None:
            free = self.tracer.is_free(call.caller.tid, call.caller.tgid)
            return self._follow(call.caller, started) if free else None

        held = Held(retry, lambda: None)
        return Waiting(held, lambda reply: reply, lambda: self._never_ran(started))

    def _follow(self, caller: Caller, started: Started) -> Reply:
        """Let the kernel execute, to be looked at again at the exec stop."""
        parts = self._parts
        try:
            self.tracer.start(started)
        except OSError as error:
            if (self._policy.debug or parts.unverified) and error.errno == errno.EPERM:
                # A debugger of the run traces it, or this host forbids tracing and the user accepted that: coverage of
                # commands is `observed`, and says so.
                parts.recorder.outcome(started.seq, "exec", Outcome.UNKNOWN)
                return CONTINUE
            untraced = started.judged.event._replace(refusal=_untraceable(caller.tid, error))
            verdict = decide(self._policy, self.state, untraced)
            return self._refuse(caller, untraced, verdict, cause=started.seq)
        parts.explainer.flush_to(caller.tid)
        return CONTINUE

    def _hidden(self, call: Call, path: bytes) -> None:
        """An argument names a hidden folder: the kernel will refuse the read in silence, so the reason is told now."""
        event = FsEvent(call.actor, FsOp.READ, "execve", Target(path, Kind.OTHER))
        verdict = decide(self._policy, self.state, event)
        if verdict.blocks:
            self._refuse(call.caller, event, verdict)

    def _arrived(self, pid: int, started: Started, found: ExecEvent | None) -> bool:
        """At the exec stop. False: the image must not run."""
        parts = self._parts
        event = found or started.judged.event._replace(
            stage="stop", refusal="the program or its arguments changed while it was started"
        )
        verdict = decide(self._policy, self.state, event)
        if verdict.blocks:
            caller = Caller(pid, pid)
            self._refuse(caller, event, verdict, cause=started.seq)
            return False
        parts.recorder.outcome(started.seq, "exec", Outcome.SUCCEEDED)
        try:
            parts.processes.executed(pid, event.target.path, event.argv)
        except OSError:
            return True  # killed meanwhile
        return True

    def _never_ran(self, started: Started) -> None:
        self._parts.recorder.outcome(started.seq, "exec", Outcome.FAILED)

    # -- the rest -----------------------------------------------------------------------------------------------

    def _signal(self, call: Call) -> Reply | Waiting:
        result = self._parts.signals.attempt(call)
        if isinstance(result, Reply):
            return result
        verdict = decide(self._policy, self.state, result)
        if verdict.blocks:
            return self._refuse(call.caller, result, verdict, errno.EPERM)
        self._parts.recorder.counts.ungoverned += 1
        return CONTINUE

    def _net(self, call: Call) -> Reply | Waiting:
        from supervisor.enforce import network as enforce_network

        parts = self._parts
        network = parts.network()
        result = network.materialize(call.name, call.caller.tid, call.args, call.actor)
        if isinstance(result, Reply):
            self._without_descriptor(call.name, result.error)
            return result
        event, act = result
        verdict = decide(self._policy, self.state, event)
        if not verdict.blocks and event.op == "bind" and event.unix[:1] == b"/":
            verdict = self._bind_path(call, event) or verdict
        if verdict.blocks:
            enforce_network.release(act)
            return self._refuse(call.caller, event, verdict)
        trivial = event.family == "other" or (event.op == "send" and not event.host and not event.unix)
        governed = verdict.effect is not Effect.ALLOW or not trivial
        seq = parts.recorder.intent(event, verdict) if governed else 0
        done = enforce_network.perform(act, network.own, kernel_process.umask(call.caller.tid))
        if isinstance(done, Held):
            return Waiting(
                done, lambda reply: self._finish(event, seq, reply), lambda: self._abandoned(done, event, seq)
            )
        if not done.error and event.op == "bind" and event.unix[:1] == b"/":
            parts.made.created(event.unix)
        return self._finish(event, seq, done)

    def _bind_path(self, call: Call, event: NetEvent) -> Verdict | None:
        """The file that a UNIX socket appears as is judged like any other creation."""
        target = Target(event.unix, Kind.ABSENT, made=self._parts.made.contains(event.unix))
        creation = self._parts.files.exposed(FsEvent(call.actor, FsOp.CREATE, "bind", target, makes=Kind.SOCKET))
        verdict = decide(self._policy, self.state, creation)
        return verdict if verdict.blocks else None

    def _prctl(self, call: Call) -> Reply | Waiting:
        if call.args[0] & 0xFFFFFFFF != RESERVED_PRCTL:
            return Reply(error=errno.EINVAL)
        if call.args[2] < _ULID_LENGTH + 1:
            return Reply(error=errno.EINVAL)
        memory.write(call.caller.tid, call.args[1], self._parts.run.encode() + b"\0")
        return Reply()

    # -- verdicts -----------------------------------------------------------------------------------------------

    def _refuse(
        self, caller: Caller, event: Event, verdict: Verdict, number: int = errno.EACCES, cause: int = 0
    ) -> Reply:
        parts = self._parts
        message = reason(verdict.matches[0], verdict.effect)
        parts.recorder.blocked(event, verdict, number, message, cause)
        if not parts.explainer.tell(caller.tid, caller.tgid, verdict):
            self._told(message)
        if verdict.effect is Effect.KILL:
            self._stop(verdict)
        return Reply(error=number)

    def _warn(self, caller: Caller, verdict: Verdict) -> None:
        if not self._parts.explainer.tell(caller.tid, caller.tgid, verdict):
            self._told(reason(verdict.matches[0], verdict.effect))


def _untraceable(tid: int, error: OSError) -> str:
    """Why an exec cannot be followed to its stop."""
    try:
        tracer = kernel_process.status(tid).tracer
    except OSError:
        tracer = 0
    if tracer:
        return f"process {tracer} traces this one, so what it executes cannot be checked; end that trace"
    return f"what it executes cannot be checked: {error.strerror or error}"


def _journalled(place: Place, target: Target) -> bool:
    if target.kind is Kind.CHAR:
        return False
    if place.zone is Zone.TREE:
        return not target.ignored
    if place.zone is Zone.GIT:
        return place.relative.startswith(b"refs/") and not place.relative.endswith(b".lock")
    return place.zone not in (Zone.GRANTED, Zone.TEMP) and not target.unlinked


__all__ = ["Judge", "Judged", "Parts", "Process", "Waiting"]
