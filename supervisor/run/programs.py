"""Programs that start: judged at the call, followed to the exec stop, judged again from what is really there."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.commands.rights import lacking
from supervisor.decide import decide
from supervisor.invariants.policy import NO_STATE, RunState
from supervisor.kernel import memory
from supervisor.kernel import process as kernel_process
from supervisor.run.asking import tell_both, unanswered
from supervisor.run.facts import Environ
from supervisor.run.parts import Parts, Waiting
from supervisor.run.tracer import Started, Tracer
from supervisor.run.unfollowed import Unfollowed
from supervisor.surfaces.execs import environment_of, variables
from supervisor.surfaces.files import Call
from supervisor.surfaces.paths import Caller, Refused
from supervisor.vocabulary.acts import CONTINUE, Held, Reply
from supervisor.vocabulary.events import Event, ExecEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Match, Outcome, Verdict

if TYPE_CHECKING:
    from supervisor.run.applied import Applied
    from supervisor.run.holds import Holds

Refuse = Callable[..., Reply]
_PATIENCE = 2.0  # seconds that an exec waits for another one of its thread group that cannot be followed


class Programs:
    """``settle`` judges what has been written so far; ``refuse`` and ``warn`` answer and tell; ``tell`` says a line to
    the user."""

    def __init__(
        self,
        parts: Parts,
        state_of: Callable[[Event], RunState],
        settle: Callable[[], None],
        refuse: Refuse,
        warn: Callable[..., None],
        tell: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self.policy = parts.policy
        self._state_of = state_of
        self._settle = settle
        self._refuse = refuse
        self._warn = warn
        self._tell = tell
        self._said: set[str] = set()
        self._applied: Applied | None = None
        self.holds: Holds | None = None
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
            return self._refuse(call.caller, event, decide(self.policy, NO_STATE, event))
        judged = judged._replace(event=self._told(judged.event, call.caller.tid, _given(call)))
        verdict = decide(self.policy, self._state_of(judged.event), judged.event)
        if verdict.blocks and not parts.asking.passes(judged.event, verdict, final=False):
            return self._ask(call, judged.event, verdict)
        parts.asking.moved_on(judged.event.actor)
        if parts.unsigned:
            self._unsigned(call, judged.event)
        for path in judged.event.hidden:
            self._hidden(call, path)
        if parts.guarding is not None:
            parts.guarding.after(done=True)
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

    def _told(self, event: ExecEvent, tid: int, environ: Environ) -> ExecEvent:
        """The event with all that the rules in force ask for, files that it would apply included. OSError: the process
        is gone."""
        parts = self._parts
        event = parts.facts.of(event, tid, environ)
        if any(command.applies or command.read for command in event.commands):
            if self._applied is None:
                from supervisor.run.applied import applied

                self._applied = applied(parts)
            event = self._applied.of(event)
        authored, injection = parts.touched.authored, parts.touched.injection
        if authored is not None:
            event = authored.of(self.policy, event, tid, lambda: parts.room().prior)
        if injection is not None:
            event = injection.of(self.policy, event, tid, environ, authored, lambda: parts.room().prior)
        return event

    def _ask(self, call: Call, event: ExecEvent, verdict: Verdict) -> Reply | Waiting:
        """Held until a person answers, where the rule says so and there is one; else refused."""
        held = self._parts.asking.hold(
            event,
            verdict,
            lambda why: self._refuse(call.caller, event, unanswered(verdict, why)),
            lambda: self.start(call),
        )
        if isinstance(held, str):
            return self._refuse(call.caller, event, unanswered(verdict, held))
        waiting, line = held
        tell_both(self._parts.explainer, call.caller.tid, line, self._tell)
        return waiting

    def _tell_of_sandbox(self, caller: Caller, line: str) -> None:
        """To the process, and once to the user as well: an agent may not show what its sandbox says."""
        self._parts.explainer.notice(caller.tid, line)
        if line not in self._said:
            self._said.add(line)
            self._tell(line)

    def _is_free(self, caller: Caller) -> bool:
        return not self.unfollowed.busy(caller.tgid) and self.tracer.is_free(caller.tid, caller.tgid)

    def _follow(self, caller: Caller, started: Started) -> Reply:
        """Let the kernel execute, to be looked at again at the exec stop."""
        parts = self._parts
        try:
            self._expect(caller, started)
        except OSError as error:
            untraced = started.judged.event._replace(refusal=_untraceable(caller.tid, error))
            verdict = decide(self.policy, NO_STATE, untraced)
            return self._refuse(caller, untraced, verdict, cause=started.seq)
        actor = started.judged.event.actor
        others = parts.guarding is not None and parts.guarding.is_fixer(actor)
        if not others and parts.agent.reads(caller.tgid, started.judged.event.target.path):
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
        return self._arrived(pid, started, found)

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
        verdict = decide(self.policy, NO_STATE, event)
        if verdict.blocks:
            self._refuse(call.caller, event, verdict)

    def _arrived(self, pid: int, started: Started, found: ExecEvent | None) -> bool:
        """At the exec stop. False: the image must not run."""
        parts = self._parts
        event = found or started.judged.event._replace(
            stage="stop", refusal="the program or its arguments changed while it was started"
        )
        if found is not None:
            # What it stands on may have changed since the call: its environment, and the files that it names.
            try:
                event = self._told(event, pid, lambda: environment_of(pid))
            except OSError as error:
                event = event._replace(refusal=f"what it would do cannot be told: {error.strerror or error}")
        verdict = decide(self.policy, self._state_of(event), event)
        if verdict.blocks and not parts.asking.passes(event, verdict, final=True):
            caller = Caller(pid, pid)
            self._refuse(caller, event, verdict, cause=started.seq)
            return False
        if self._applied is not None and not self._held(pid, event, self._applied, started):
            return False
        parts.recorder.outcome(started.seq, "exec", Outcome.SUCCEEDED)
        try:
            record = parts.processes.executed(pid, event.target.path, event.argv)
            parts.agent.executed(pid, event)
            for each in parts.relayed:
                each.executed(pid, event, parts.facts)
            if parts.proving is not None:
                parts.proving.began(record.action)
            if parts.guarding is not None:
                parts.guarding.executed(pid, event._replace(actor=record.actor))
        except OSError:
            return True  # killed meanwhile
        return True

    def _held(self, pid: int, event: ExecEvent, applied: Applied, started: Started) -> bool:
        """What the command was judged by stays as it is until it has ended. False: that cannot be had."""
        command = next((each for each in event.commands if (each.applies or each.read) and each.classes), None)
        if command is None or not applied.held:
            return True
        if self.holds is None:
            from supervisor.run.holds import Holds

            self.holds = Holds()
        try:
            self.holds.add(pid, f"{command.tool} {command.verb}".strip(), applied.held)
        except OSError as error:
            lost = event._replace(refusal=f"what it was judged by cannot be kept as it is: {error.strerror}")
            self._refuse(Caller(pid, pid), lost, decide(self.policy, NO_STATE, lost), cause=started.seq)
            return False
        return True

    def _never_ran(self, started: Started) -> None:
        self._parts.recorder.outcome(started.seq, "exec", Outcome.FAILED)


def _given(call: Call) -> Callable[[], dict[bytes, bytes]]:
    """The environment that an exec passes on, as it stands in the memory of whoever calls."""
    return lambda: variables(memory.strings(call.caller.tid, call.args[2 if call.name == "execve" else 3]))


def _untraceable(tid: int, error: OSError) -> str:
    """Why an exec cannot be followed to its stop."""
    try:
        tracer = kernel_process.status(tid).tracer
    except OSError:
        tracer = 0
    if tracer:
        return f"process {tracer} traces this one, so what it executes cannot be checked; end that trace"
    return f"what it executes cannot be checked: {error.strerror or error}"
