"""Acts that wait for a person: held in their call until somebody approves or denies, or the time is over.

An approval is for an act, known by what it is and not by which call makes it: the call is judged anew once it is
approved, from what then stands there, and passes only if that is still the act that was asked about.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable

from supervisor.enforce.explain import reason
from supervisor.operator.approvals import Approvals, Pending, Question
from supervisor.run.parts import Waiting
from supervisor.vocabulary.acts import CONTINUE, Held, Reply
from supervisor.vocabulary.events import Event, ExecEvent, FsEvent, NetEvent
from supervisor.vocabulary.verdicts import Effect, Verdict


class Asking:
    """``asks``: whether acts are held at all; without, an act that would be asked about is refused. ``told`` gets the
    line that says how to answer; ``record`` every answer."""

    def __init__(
        self,
        approvals: Approvals,
        asks: bool,
        record: Callable[[Pending], None],
    ) -> None:
        self.approvals = approvals
        self.asks = asks
        self._record = record
        self._granted: dict[str, int] = {}  # key -> how many acts of it may pass

    def passes(self, event: Event, verdict: Verdict, *, final: bool) -> bool:
        """Whether somebody has approved of this very act. ``final``: it happens now, so that an approval for one act is
        used up."""
        if verdict.effect is not Effect.ASK:
            return False
        key = key_of(event, verdict)
        if self.approvals.is_granted(key):
            return True
        left = self._granted.get(key, 0)
        if left and final:
            self._granted[key] = left - 1
        return left > 0

    def hold(
        self, event: Event, verdict: Verdict, refuse: Callable[[], Reply], again: Callable[[], Reply | Waiting]
    ) -> tuple[Waiting, str] | None:
        """The wait for an answer, and a line that says how to give one; None: nobody is asked. ``refuse`` answers the call when the answer is no;
        ``again`` judges it anew."""
        if not self.asks or verdict.effect is not Effect.ASK:
            return None
        match, key = verdict.matches[0], key_of(event, verdict)
        question = Question(
            invariant=match.invariant.id,
            message=match.message,
            argv=event.argv if isinstance(event, ExecEvent) else (),
            cwd=event.cwd if isinstance(event, ExecEvent) else b"",
            key=key,
        )
        pending = self.approvals.hold(question)
        if pending is None:
            return None  # too many wait already

        def retry() -> Reply | None:
            state = self.approvals.state(pending.id)
            if state == "pending":
                return None
            self._record(pending)
            if state != "approved":
                return Reply(error=errno.EACCES)
            self._granted[key] = self._granted.get(key, 0) + 1
            return CONTINUE

        def finish(reply: Reply) -> Reply:
            return refuse() if reply.error else reply

        def abandon() -> None:
            self.approvals.over(pending.id)

        told = reason(match, verdict.effect, "held for an answer")
        line = f"{told} · waiting {self.approvals.timeout:g} s: govrun approve {pending.id} (another terminal)"
        return Waiting(Held(retry, abandon), finish, abandon, again), line


def key_of(event: Event, verdict: Verdict) -> str:
    """What an act is: for an exec its arguments, the program's inode and the directory, otherwise what is changed or
    reached, by whom; and the rules that ask."""
    rules = ",".join(sorted(match.invariant.id for match in verdict.matches))
    parts: list[object] = [type(event).__name__, rules]
    match event:
        case ExecEvent():
            parts += [event.argv, event.target.path, event.target.dev, event.target.ino, event.cwd]
        case FsEvent():
            other = event.other.path if event.other is not None else b""
            parts += [event.op, event.target.path, other, event.actor.pid, event.actor.start]
        case NetEvent():
            parts += [event.op, event.host, event.port, event.unix, event.actor.pid, event.actor.start]
        case _:
            parts.append(repr(event))
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
