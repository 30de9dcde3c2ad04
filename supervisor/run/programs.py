"""Programs that start: judged at the call, followed to the exec stop, judged again from what is really there."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from supervisor.commands.installs import installation
from supervisor.commands.rights import lacking
from supervisor.decide import decide
from supervisor.invariants.policy import RunState
from supervisor.kernel import process as kernel_process
from supervisor.run.parts import Parts, Waiting
from supervisor.run.tracer import Started, Tracer
from supervisor.run.unfollowed import Unfollowed
from supervisor.surfaces.execs import Judged
from supervisor.surfaces.files import Call
from supervisor.surfaces.paths import Caller, Refused
from supervisor.vocabulary.acts import CONTINUE, Held, Reply
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Match, Outcome, Verdict

Refuse = Callable[..., Reply]
_PATIENCE = 2.0  # seconds that an exec waits for another one of its thread group that cannot be followed


class Programs:
    """``settle`` judges what has been written so far; ``refuse`` and ``warn`` answer and tell; ``tell`` says a line to
    the user."""

    def __init__(
        self,
        parts: Parts,
        state: RunState,
        settle: Callable[[], None],
        refuse: Refuse,
        warn: Callable[..., None],
        tell: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self.policy = parts.policy
        self.state = state
        self._settle = settle
        self._refuse = refuse
        self._warn = warn
        self._tell = tell
        self._said: set[str] = set()
        self.tracer = Tracer(self._arrived, self._never_ran)
        self.unfollowed = Unfollowed(self._seen, self._never_ran, self._unseen)

    def start(self, call: Call) -> Reply | Waiting:
        parts = self._parts
        self._settle()  # before the program is looked at: what it is may be taken back
        try:
            judged = parts.execs.attempt(call)
        except Refused as refused:
            target = Target(refused.path, Kind.OTHER)
            event = ExecEvent(call.actor, target, refused.path, (), b"", "call", refusal=refused.told())
            return self._refuse(call.caller, event, decide(self.policy, self.state, event))
        judged = self._with_packages(judged)
        verdict = decide(self.policy, self.state, judged.event)
        if verdict.blocks:
            return self._refuse(call.caller, judged.event, verdict)
        if parts.unsigned:
            self._unsigned(call, judged.event)
        for path in judged.event.hidden:
            self._hidden(call, path)
        seq = parts.recorder.intent(judged.event, verdict)
        if verdict.effect is Effect.WARN:
            self._warn(call.caller, verdict)
        if line := parts.agent.sandbox(judged.event):
            self._tell_of_sandbox(call.caller, line)
        elif text := lacking(judged.event.given, len(judged.event.argv)):
            parts.explainer.hint(call.caller.tid, f"govrun: note: {text}")
        started = Started(call.caller.tid, call.caller.tgid, judged, seq)
        if self._is_free(call.caller):
            return self._follow(call.caller, started)
        limit = time.monotonic() + _PATIENCE

        def retry() -> Reply | None:
            if self._is_free(call.caller):
                return self._follow(call.caller, started)
            if self.unfollowed.busy(call.caller.tgid) and time.monotonic() > limit:
                self._never_ran(started)
                return Reply(error=errno.EAGAIN)
            return None

        held = Held(retry, lambda: None)
        return Waiting(held, lambda reply: reply, lambda: self._never_ran(started))

    def _tell_of_sandbox(self, caller: Caller, line: str) -> None:
        """To the process, and once to the user as well: an agent may not show what its sandbox says."""
        self._parts.explainer.notice(caller.tid, line)
        if line not in self._said:
            self._said.add(line)
            self._tell(line)

    def _is_free(self, caller: Caller) -> bool:
        return not self.unfollowed.busy(caller.tgid) and self.tracer.is_free(caller.tid, caller.tgid)

    def _with_packages(self, judged: Judged) -> Judged:
        """What a package manager would bring in, where a rule speaks of packages."""
        if not self.policy.dependencies:
            return judged
        event = judged.event
        return judged._replace(event=event._replace(installs=installation(event.argv, event.target.path)))

    def _follow(self, caller: Caller, started: Started) -> Reply:
        """Let the kernel execute, to be looked at again at the exec stop."""
        parts = self._parts
        try:
            self._expect(caller, started)
        except OSError as error:
            untraced = started.judged.event._replace(refusal=_untraceable(caller.tid, error))
            verdict = decide(self.policy, self.state, untraced)
            return self._refuse(caller, untraced, verdict, cause=started.seq)
        if parts.agent.reads(caller.tgid, started.judged.event.target.path):
            parts.explainer.flush_to(caller.tid)
        return CONTINUE

    def _expect(self, caller: Caller, started: Started) -> None:
        """Be there when the image has changed: at the exec stop, or after it where another one traces the process.

        OSError: neither is possible.
        """
        try:
            self.tracer.start(started)
        except PermissionError:
            tracer = kernel_process.status(caller.tid).tracer
            debugged = self.policy.debug and tracer != 0 and self._parts.processes.belongs(tracer)
            if debugged or (self._parts.unverified and tracer == 0):
                self.unfollowed.start(started)
            elif self.policy.debug and tracer == 0:
                self.tracer.start(started)  # its debugger has just let it go
            else:
                raise

    def _seen(self, pid: int, started: Started, found: ExecEvent) -> bool:
        """After an exec that was not followed. False: the image must not go on."""
        return self._arrived(pid, started, self._with_packages(started.judged._replace(event=found)).event)

    def _unseen(self, started: Started) -> None:
        self._parts.recorder.outcome(started.seq, "exec", Outcome.UNKNOWN)

    def _unsigned(self, call: Call, event: ExecEvent) -> None:
        """Git starts a signer that will find no key: it says little of why, so the reason is told now."""
        from supervisor.run.signing import is_signing

        if is_signing(event.argv):
            match = Match(self.policy.invariant("govrun.exec"), Effect.WARN, self._parts.unsigned)
            self._warn(call.caller, Verdict(Effect.WARN, (match,)))

    def _hidden(self, call: Call, path: bytes) -> None:
        """An argument names a hidden folder: the kernel will refuse the read in silence, so the reason is told now."""
        event = FsEvent(call.actor, FsOp.READ, "execve", Target(path, Kind.OTHER))
        verdict = decide(self.policy, self.state, event)
        if verdict.blocks:
            self._refuse(call.caller, event, verdict)

    def _arrived(self, pid: int, started: Started, found: ExecEvent | None) -> bool:
        """At the exec stop. False: the image must not run."""
        parts = self._parts
        event = found or started.judged.event._replace(
            stage="stop", refusal="the program or its arguments changed while it was started"
        )
        verdict = decide(self.policy, self.state, event)
        if verdict.blocks:
            caller = Caller(pid, pid)
            self._refuse(caller, event, verdict, cause=started.seq)
            return False
        parts.recorder.outcome(started.seq, "exec", Outcome.SUCCEEDED)
        try:
            parts.processes.executed(pid, event.target.path, event.argv)
            parts.agent.executed(pid, event)
        except OSError:
            return True  # killed meanwhile
        return True

    def _never_ran(self, started: Started) -> None:
        self._parts.recorder.outcome(started.seq, "exec", Outcome.FAILED)


def _untraceable(tid: int, error: OSError) -> str:
    """Why an exec cannot be followed to its stop."""
    try:
        tracer = kernel_process.status(tid).tracer
    except OSError:
        tracer = 0
    if tracer:
        return f"process {tracer} traces this one, so what it executes cannot be checked; end that trace"
    return f"what it executes cannot be checked: {error.strerror or error}"
