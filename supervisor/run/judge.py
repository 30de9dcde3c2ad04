"""One notified call from its registers to its answer: materialize, decide, act, record."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.decide import decide
from supervisor.enforce import files as enforce_files
from supervisor.enforce.explain import reason
from supervisor.enforce.links import renew
from supervisor.invariants.places import Place, Zone, locate
from supervisor.invariants.policy import NO_STATE, CompiledPolicy, RunState
from supervisor.invariants.scope import PROGRAM
from supervisor.kernel import memory
from supervisor.kernel.libc import errno_of
from supervisor.run.actors import told_whole
from supervisor.run.asking import tell_both, unanswered
from supervisor.run.changed import Changed
from supervisor.run.external import note_theirs
from supervisor.run.parts import Parts, Waiting
from supervisor.run.programs import Programs
from supervisor.run.record import kind_of
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.execs import Judged
from supervisor.surfaces.files import Args, Call
from supervisor.surfaces.paths import Caller, Overtaken, Refused
from supervisor.surfaces.processes import Process
from supervisor.vocabulary.acts import CONTINUE, Held, OpenAct, PathAct, Reply
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Event, FsEvent, FsOp, GitConfigEvent, Kind, NetEvent, Target
from supervisor.vocabulary.verdicts import Effect, Outcome, Verdict

if TYPE_CHECKING:
    from supervisor.run.content_parts import ContentParts
    from supervisor.run.judgement import Judgement

RESERVED_PRCTL = 0x676F7672  # "govr": answered with the run's id, EINVAL outside a run
_ULID_LENGTH = 26
_TRIES = 3
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)


class Judge:
    """``told`` gets reasons that could not be given in band; ``stop`` ends the run after a kill verdict, and ``pause``
    holds it."""

    def __init__(
        self,
        parts: Parts,
        told: Callable[[str], None],
        stop: Callable[[Verdict], None],
        pause: Callable[[Verdict], None],
    ) -> None:
        self._parts = parts
        self._policy = parts.policy
        self._inside = parts.policy.tree + b"/"
        self._told = told
        self._stop = stop
        self._pause = pause
        self._guarding, self._proving, self._reading = parts.guarding, parts.proving, parts.reading
        self.changed = Changed(parts, told)
        self.programs = Programs(parts, self.state_of, self.settle, self.refuse, self._warn, told)
        self.tracer, self.unfollowed = self.programs.tracer, self.programs.unfollowed
        self._families: dict[str, Callable[[Call], Reply | Waiting]] = dict.fromkeys(parts.files.calls, self._file)
        self._families.update(dict.fromkeys(parts.signals.calls, self._signal))
        sockets = ("connect", "bind", "listen", "sendto", "sendmsg", "sendmmsg")
        self._families.update(dict.fromkeys(sockets, self._connect))
        execute = self.programs.start
        self._families |= {"execve": execute, "execveat": execute, "prctl": self._prctl}

    def adopt(self, policy: CompiledPolicy) -> None:
        """Another policy from here on: an agent pack was chosen late, which grants more."""
        self._policy = self.programs.policy = self.changed.policy = policy
        if self._reading is not None:
            self._reading.forget()

    def answer(self, name: str, tid: int, args: Args) -> Reply | Waiting:
        """The reply to one call. Whatever goes wrong on the way ends in an errno, never in CONTINUE."""
        family = self._families.get(name)
        if family is None:
            return Reply(error=errno.ENOSYS)
        if family != self.programs.start:
            self.tracer.moved_on(tid)
        try:
            if self.unfollowed.look(tid):  # who acts is known by what it runs
                return Reply(error=errno.EPERM)
            if self._reading is not None and (known := self._reading.quick(name, tid, args)) is not None:
                return known
            process = self._parts.processes.of(tid)
            actor = self._parts.processes.acting(process)
            git_tool = actor.exe.startswith(self._parts.git_tools)
            if family != self.programs.start:
                self._parts.asking.moved_on(actor)
            return family(Call(name, args, Caller(tid, process.pid), process, actor, git_tool))
        except OSError as error:
            self.without_descriptor(name, errno_of(error))
            return Reply(error=errno_of(error))
        except (ValueError, OverflowError, RecursionError) as error:
            # A value that no kernel would take either. It must not end the run, and must not pass unseen.
            self._parts.recorder.note("gap", reason=f"{name} could not be judged", detail=repr(error)[:200])
            return Reply(error=errno.EINVAL)

    def without_descriptor(self, name: str, number: int) -> None:
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
        for _ in range(_TRIES):
            try:
                return self._file_once(call)
            except Overtaken:
                continue
        return Reply(error=errno.EAGAIN)

    def _file_once(self, call: Call) -> Reply | Waiting:
        try:
            attempt = self._parts.files.attempt(call)
        except Refused as refused:
            event = FsEvent(call.actor, FsOp.WRITE, call.name, Target(refused.path, Kind.OTHER), refusal=refused.told())
            return self.refuse(call.caller, event, decide(self._policy, NO_STATE, event))
        try:
            attempt = told_whole(
                call, attempt, self._policy, self._parts.git_tools, self._parts.made.names,
                self.programs.holds, counted=self._guarding is not None,
            )  # fmt: skip
            verdict = decide(self._policy, self.state_of(attempt.event), attempt.event)
            if verdict.blocks:
                attempt, verdict = self._by_git(attempt, verdict)
            if verdict.blocks and not self._parts.asking.passes(attempt.event, verdict, final=True):
                return self.asked(call, attempt.event, verdict)
            if self._guarding is not None and isinstance(attempt.event, FsEvent):
                self._guarding.before(attempt.event)
            if isinstance(attempt.event, FsEvent) and attempt.event.op is FsOp.READ:
                return self._read(call, attempt.event, attempt.act, verdict)
            if isinstance(attempt.event, FsEvent):
                parts = self._parts
                contents = parts.room().contents if parts.judges_content else None
                note_theirs(attempt.event, self._inside, parts.touched, contents, parts.recorder, self._told)
            if isinstance(attempt.event, FsEvent) and self._may_bring_content(attempt.event):
                return self._with_content(call, attempt, attempt.event, verdict, self._parts.room())
            return self._perform(call, attempt, verdict, _nothing_more)
        finally:
            attempt.close()

    def _read(self, call: Call, event: FsEvent, act: OpenAct | PathAct, verdict: Verdict) -> Reply | Waiting:
        """Folders above hidden ones are listed for the run; where no file is hidden by its name, every other read is
        bounded by the floor alone."""
        if self._reading is not None and isinstance(act, OpenAct):
            if verdict.effect is Effect.WARN:
                self._warn(call.caller, verdict)
            return self._reading.perform(event, act, verdict)
        if not isinstance(act, OpenAct) or event.target.kind is not Kind.DIR:
            return CONTINUE
        if event.target.path not in self._parts.open_folders or act.flags & os.O_PATH:
            return CONTINUE
        opened = enforce_files.open_for(act, self._parts.made.terminal)
        return opened if isinstance(opened, Reply) else Reply(error=errno.EAGAIN)

    def _by_git(self, attempt: Attempt, verdict: Verdict) -> tuple[Attempt, Verdict]:
        """Git replaces protected files as it moves between commits: let through, and looked at when it has finished."""
        event = attempt.event
        if not isinstance(event, FsEvent) or not event.git_tool or self._policy.git is None:
            return attempt, verdict
        guarded = self._parts.room().guarded
        if guarded is None or not guarded.may_pass(event, verdict):
            return attempt, verdict
        restorable = event._replace(restorable=True)
        again = decide(self._policy, self.state_of(restorable), restorable)
        if again.blocks or not guarded.before(restorable):
            return attempt, verdict
        return attempt._replace(event=restorable), again

    def _may_bring_content(self, event: FsEvent) -> bool:
        if self._parts.judges_content:
            return True
        return self._moves_ref(event)

    def _moves_ref(self, event: FsEvent) -> bool:
        git = self._policy.git
        if git is None or event.op not in (FsOp.RENAME, FsOp.UNLINK):
            return False
        named = event.other if event.op is FsOp.RENAME else None
        if named is None and not self._policy.branching:
            return False
        from supervisor.run.commits import ref_at

        gone = bool(self._policy.branching and ref_at(git, event.target.path))
        return gone or (named is not None and bool(ref_at(git, named.path)))

    def _with_content(
        self, call: Call, attempt: Attempt, event: FsEvent, verdict: Verdict, room: ContentParts
    ) -> Reply | Waiting:
        """An act that may bring content: that is judged before it lands, or once it has been written."""
        act, contents, version, spoken, brought = attempt.act, room.contents, None, None, {}
        try:
            found = None
            if contents is not None:
                found, version = contents.before(event, act)
            if found is None and room.commits is not None and isinstance(act, PathAct) and self._moves_ref(event):
                room.settle()
                found, act = room.commits.before(event, act)
                spoken = room.refs.before(event, act) if room.refs is not None and found is None else None
                brought = room.commits.brought
        except Refused as refused:
            unjudged = event._replace(refusal=str(refused))
            return self.refuse(call.caller, unjudged, decide(self._policy, NO_STATE, unjudged))
        if found is not None:
            return self._refuse_content(call.caller, found)
        if spoken is not None:
            if spoken.verdict.blocks and not self._parts.asking.passes(spoken.event, spoken.verdict, final=True):
                return self.asked(call, spoken.event, spoken.verdict)
            verdict = max(verdict, spoken.verdict, key=lambda each: each.effect)
        if self._proving is not None and brought:
            held = self._proving.gate(
                event,
                brought,
                lambda verdict: self.refuse(call.caller, event, verdict),
                lambda: self.answer(call.name, call.caller.tid, call.args),
            )
            if isinstance(held, Waiting):
                self._parts.explainer.notice(call.caller.tid, "govrun: the commit waits for what has to be shown of it")
            if held is not None:
                return held

        def after(reply: Reply) -> Reply:
            if contents is None:
                return reply
            try:
                contents.after(event, reply.fd, version, act.flags)
            except OSError as error:
                if reply.fd < 0:  # done already, and not to be told as failed
                    raise StopRun("what has just landed cannot be kept in sight", str(error)) from error
                os.close(reply.fd)
                return Reply(error=errno_of(error))
            return reply

        return self._perform(call, attempt._replace(act=act), verdict, after)

    def _refuse_content(self, caller: Caller, found: Judgement) -> Reply:
        from supervisor.run.takeback import is_secret

        return self.refuse(caller, found.event, found.verdict, text=b"" if is_secret(found) else found.content)

    def _perform(
        self, call: Call, attempt: Attempt, verdict: Verdict, after: Callable[[Reply], Reply]
    ) -> Reply | Waiting:
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
            return self.finish(event, seq, Reply(error=errno_of(error)))
        if isinstance(done, Held):
            return Waiting(
                done,
                lambda reply: self.finish(event, seq, reply if reply.error else after(reply)),
                lambda: self.abandoned(done, event, seq),
            )
        return self.finish(event, seq, after(done))

    def finish(self, event: Event, seq: int, reply: Reply) -> Reply:
        if seq:
            # A connect that goes on in the background was made.
            failed = reply.error not in (0, errno.EINPROGRESS)
            outcome = Outcome.FAILED if failed else Outcome.SUCCEEDED
            self._parts.recorder.outcome(seq, kind_of(event), outcome, reply.error)
        if not reply.error:
            self.changed.landed(event)
        if self._guarding is not None and isinstance(event, FsEvent | NetEvent):
            self._guarding.after(done=reply.error in (0, errno.EINPROGRESS))
        return reply

    def state_of(self, event: Event) -> RunState:
        """What of the past bears on an act."""
        plain = self._guarding is None or (isinstance(event, FsEvent) and event.op is FsOp.READ)
        state = NO_STATE if plain or self._guarding is None else self._guarding.state(event)
        return state._replace(now=time.time()) if self._policy.expressions else state

    def abandoned(self, held: Held, event: Event, seq: int) -> None:
        held.abandon()
        if seq:
            self._parts.recorder.outcome(seq, kind_of(event), Outcome.FAILED, errno.EINTR)

    def _governed(self, event: Event) -> bool:
        """Whether the change is journalled by itself; caches, scratch space and git's own objects are counted."""
        if isinstance(event, GitConfigEvent):
            return True
        if not isinstance(event, FsEvent):
            return True
        return any(_journalled(locate(self._policy, t.path), t) for t in (event.target, event.other) if t is not None)

    # -- the rest -----------------------------------------------------------------------------------------------

    def _signal(self, call: Call) -> Reply | Waiting:
        result = self._parts.signals.attempt(call)
        if isinstance(result, Reply):
            return result
        verdict = decide(self._policy, NO_STATE, result)
        if verdict.blocks:
            return self.refuse(call.caller, result, verdict, errno.EPERM)
        self._parts.recorder.counts.ungoverned += 1
        return CONTINUE

    def _connect(self, call: Call) -> Reply | Waiting:
        from supervisor.run.connecting import connecting

        return connecting(self, self._parts, self._policy, call)

    def _prctl(self, call: Call) -> Reply | Waiting:
        if call.args[0] & 0xFFFFFFFF != RESERVED_PRCTL:
            return Reply(error=errno.EINVAL)
        if call.args[2] < _ULID_LENGTH + 1:
            return Reply(error=errno.EINVAL)
        memory.write(call.caller.tid, call.args[1], self._parts.run.encode() + b"\0")
        return Reply()

    # -- content ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Every change of content known by now is judged, and taken back where it breaks a rule."""
        self.changed.pointers.look()
        self._parts.settle()
        self._parts.touched.settle()

    def watched(self) -> int:
        """A descriptor that is readable when a judged file has been written; -1 where content is not judged."""
        contents = self._parts.room().contents if self._parts.judges_content else None
        return contents.ledger.fileno() if contents is not None else -1

    def written(self) -> None:
        """Judged files were closed by a writer."""
        if self._proving is not None:
            self._proving.wrote()
        if (contents := self._parts.room().contents) is not None:
            contents.closed()

    # -- verdicts -----------------------------------------------------------------------------------------------

    def asked(self, call: Call, event: Event, verdict: Verdict) -> Reply | Waiting:
        """Held until a person answers, where a rule says so and there is one; else refused."""
        held = self._parts.asking.hold(
            event,
            verdict,
            lambda why: self.refuse(call.caller, event, unanswered(verdict, why)),
            lambda: self.answer(call.name, call.caller.tid, call.args),
        )
        if isinstance(held, str):
            return self.refuse(call.caller, event, unanswered(verdict, held))
        waiting, line = held
        tell_both(self._parts.explainer, call.caller.tid, line, self._told)
        return waiting

    def refuse(
        self,
        caller: Caller,
        event: Event,
        verdict: Verdict,
        number: int = errno.EACCES,
        cause: int = 0,
        text: bytes = b"",
    ) -> Reply:
        """``text``: what refused content says."""
        parts = self._parts
        message = reason(verdict.matches[0], verdict.effect)
        parts.recorder.blocked(event, verdict, number, message, cause)
        # An agent program keeps its own house and calls home at every start; its model has not asked for that.
        asked = not isinstance(event, NetEvent) and verdict.matches[0].invariant.id != PROGRAM
        again = asked and parts.agent.is_agent(caller.tgid)
        if not parts.explainer.tell(caller.tid, caller.tgid, verdict, again=again):
            self._told(message)
        if verdict.effect is Effect.KILL:
            self._stop(verdict)
        elif verdict.effect is Effect.PAUSE:
            self._pause(verdict)
        if parts.guarding is not None:
            parts.guarding.refused(event, verdict, text)
        return Reply(error=number)

    def _warn(self, caller: Caller, verdict: Verdict) -> None:
        if not self._parts.explainer.tell(caller.tid, caller.tgid, verdict):
            self._told(reason(verdict.matches[0], verdict.effect))


def _nothing_more(reply: Reply) -> Reply:
    return reply


def _journalled(place: Place, target: Target) -> bool:
    if target.kind is Kind.CHAR:
        return False
    if place.zone is Zone.TREE:
        return not target.ignored
    if place.zone is Zone.GIT:
        return place.relative.startswith(b"refs/") and not place.relative.endswith(b".lock")
    return place.zone not in (Zone.GRANTED, Zone.TEMP) and not target.unlinked


__all__ = ["Judge", "Judged", "Parts", "Process", "Waiting"]
