"""Acts that wait for a person: held in their call until somebody approves or denies, or the time is over.

An approval is for an act, known by what it is and not by which call makes it: the call is judged anew once it is
approved, from what then stands there, and passes only if that is still the act that was asked about.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from supervisor.enforce.explain import Explainer, reason
from supervisor.operator.approvals import Approvals, Pending, Question, State
from supervisor.run.parts import Waiting
from supervisor.run.record import Recorder
from supervisor.vocabulary.acts import CONTINUE, Held, Reply
from supervisor.vocabulary.events import Actor, Event, ExecEvent, FsEvent, NetEvent
from supervisor.vocabulary.verdicts import Effect, Verdict

_MOST_HASHED = 512 << 20  # bytes of a program
_MOST_REFUSED = 256  # processes whose last refusal is remembered


class _Refused(NamedTuple):
    """What a process was refused last, by which names it tried to start it, and why it was refused."""

    question: Question
    inode: tuple[int, int]
    action: int
    names: tuple[bytes, ...]
    why: str


class Asking:
    """``asks``: whether acts are held at all; without, an act that would be asked about is refused."""

    def __init__(self, approvals: Approvals, asks: bool, recorder: Recorder) -> None:
        self.approvals = approvals
        self._asks = asks
        self._recorder = recorder
        self._granted: dict[Question, int] = {}  # how many acts may pass
        self._refused: dict[tuple[int, int], _Refused] = {}  # by id and start of the process

    def passes(self, event: Event, verdict: Verdict, *, final: bool) -> bool:
        """Whether somebody has approved of this very act. ``final``: it happens now, so that an approval for one act is
        used up."""
        if verdict.effect is not Effect.ASK or not (self._granted or self._asks):
            return False
        question = question_of(event, verdict)
        if self.approvals.knows(question):
            return True
        key = _bare(question)
        left = self._granted.get(key, 0)
        if left and final:
            self._granted[key] = left - 1
            if left == 1:
                del self._granted[key]
        return left > 0

    def hold(
        self,
        event: Event,
        verdict: Verdict,
        refuse: Callable[[str], Reply],
        again: Callable[[], Reply | Waiting],
    ) -> tuple[Waiting, str] | str:
        """The wait for an answer, and a line that says how to give one; or why nobody is asked, if there is anything to
        say. ``refuse`` answers the call when the answer is no, and is told why; ``again`` judges it anew."""
        if not self._asks or verdict.effect is not Effect.ASK:
            return ""
        match, question = verdict.matches[0], question_of(event, verdict)
        if (why := self._tried(event, question)) is not None:
            return why
        pending = self.approvals.hold(question)

        def retry() -> Reply | None:
            state = self.approvals.state_of(pending)
            if state is State.PENDING:
                return None
            if state is not State.APPROVED:
                return Reply(error=errno.EACCES)
            if not self.approvals.knows(question):
                key = _bare(question)
                self._granted[key] = self._granted.get(key, 0) + 1
            return CONTINUE

        def finish(reply: Reply) -> Reply:
            if not reply.error:
                return reply
            self._note(pending)
            why = self.approvals.refusal(pending)
            self._remember(event, question, why)
            return refuse(why)

        def abandon() -> None:
            self.approvals.abandon(pending)
            self._note(pending)

        told = reason(match, verdict.effect, "held for an answer")
        return Waiting(Held(retry, abandon), finish, abandon, again), f"{told} · {self.approvals.waits(pending)}"

    def moved_on(self, actor: Actor) -> None:
        """The process does something else: what it tries next is no more the act that was refused."""
        self._refused.pop((actor.pid, actor.start), None)

    def _tried(self, event: Event, question: Question) -> str | None:
        """Why this act was refused when the same process tried it last, under another name: execvp(3) and shells go on
        after EACCES, and /bin may be a link to /usr/bin. Under the same name it is a new attempt. The answer to that is
        only ever a no: what was approved is asked for before this."""
        if not isinstance(event, ExecEvent):
            return None
        process = event.actor.pid, event.actor.start
        found = self._refused.pop(process, None)
        if found is None or event.given in found.names or not question.executable:
            return None
        if found[:3] != (_bare(question), _inode(event), event.actor.action):
            return None
        self._refused[process] = found._replace(names=(*found.names, event.given))
        return found.why

    def _remember(self, event: Event, question: Question, why: str) -> None:
        if not isinstance(event, ExecEvent):
            return
        if len(self._refused) >= _MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[event.actor.pid, event.actor.start] = _Refused(
            _bare(question), _inode(event), event.actor.action, (event.given,), why
        )

    def _note(self, pending: Pending) -> None:
        """That nobody said yes, where nobody said anything: what was said is recorded as it is said."""
        if not pending.by:
            detail = f"{pending.id}, {pending.question.invariant}: {self.approvals.refusal(pending)}"
            self._recorder.note("operator", call="unanswered", detail=detail)


def tell_both(explainer: Explainer, tid: int, line: str, say: Callable[[str], None]) -> None:
    """To the process that waits, and to the person who can answer, who need not see what that one is told."""
    told = explainer.notice(tid, line)
    try:
        same = os.path.samestat(os.stat(f"/proc/{tid}/fd/2"), os.fstat(2))
    except OSError:
        same = False
    if not (told and same):
        say(line)


def unanswered(verdict: Verdict, why: str) -> Verdict:
    """The verdict, saying that nobody let the act go on, and why."""
    first = verdict.matches[0]
    told = first._replace(message=f"{first.message} ({why})") if why else first
    return verdict._replace(matches=(told, *verdict.matches[1:]))


def question_of(event: Event, verdict: Verdict) -> Question:
    """What is asked about an act: an exec is known by its arguments, the content of its program and the directory;
    other acts by what they change or reach, and by whom."""
    match = verdict.matches[0]
    rules = ",".join(sorted(each.invariant.id for each in verdict.matches))
    if isinstance(event, ExecEvent):
        return Question(rules, match.message, event.argv, _digest(event.target.path), event.cwd)
    parts: list[object] = [type(event).__name__]
    match event:
        case FsEvent():
            other = event.other.path if event.other is not None else b""
            parts += [event.op.value, event.target.path, other, event.actor.pid, event.actor.start]
        case NetEvent():
            parts += [event.op, event.host, event.port, event.unix, event.actor.pid, event.actor.start]
        case _:
            parts.append(event)
    return Question(rules, match.message, (), "", b"", repr(parts))


def _bare(question: Question) -> Question:
    return question._replace(message="")


def _inode(event: ExecEvent) -> tuple[int, int]:
    return event.target.dev, event.target.ino


def _digest(path: bytes) -> str:
    """SHA-256 of a program; empty when it cannot be told, and then an approval is for one act alone."""
    import hashlib

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if os.fstat(fd).st_size > _MOST_HASHED:
                return ""
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
