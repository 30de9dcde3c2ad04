"""Questions that wait for the operator, and what became of them.

Everything but an approval that came in time ends in "no": a time-out, a process that is gone, too many questions.
An id names one question of the run for good. Were ids used again, an agent could ask until the one that the operator
is about to type names something else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from supervisor.operator.protocol import one_line
from supervisor.vocabulary.acts import Held, Reply

_SHORT = 256  # ids of two digits; later ones are longer
_MOST = 128  # questions that wait at once
_KEPT = 256  # answered ones whose answer is remembered
_MOST_FOR_RUN = 1024
_LONGEST_WAIT = 7 * 86400.0  # seconds
_COMMAND, _MESSAGE = 200, 300  # characters that are shown


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    TIMED_OUT = "timed out"
    OVER = "over"  # nobody waits for the answer any more
    UNKNOWN = "unknown"


class Question(NamedTuple):
    """May this act happen? ``executable`` is the digest of the program that acts, empty where it is not known;
    ``subject`` what the act is about where the command does not tell (a path, a host, a ref)."""

    invariant: str
    message: str
    argv: tuple[bytes, ...]
    executable: str
    cwd: bytes
    subject: str = ""

    @property
    def command(self) -> str:
        """The command as a shell would read it, on one line, cut."""
        import shlex

        words = (word.decode("utf-8", "backslashreplace") for word in self.argv[:_COMMAND])
        return one_line(" ".join(shlex.quote(word[: _COMMAND + 1]) for word in words), _COMMAND)


class Pending:
    """One question. ``state`` says what became of it, ``why`` and ``by`` what the operator said and who that is."""

    __slots__ = ("by", "deadline", "for_run", "id", "question", "state", "why")

    def __init__(self, number: str, question: Question, deadline: float) -> None:
        self.id, self.question, self.deadline = number, question, deadline
        self.state = State.PENDING
        self.why = self.by = ""
        self.for_run = False


class Result(NamedTuple):
    """What an answer led to: ``approved``, ``denied``, ``answered`` (somebody else was first), ``over``, ``unknown``.
    ``pending`` is the question, None where it is not known any more."""

    word: str
    told: str
    pending: Pending | None = None

    @property
    def done(self) -> bool:
        return self.word in (State.APPROVED, State.DENIED)


def asks(mode: str, has_terminal: bool) -> bool:
    """Whether an act that needs an answer waits for one (``default.ask``); else it is denied at once."""
    return mode == "wait" or (mode == "auto" and has_terminal)


class Approvals:
    """``ask_timeout`` in seconds, as ``clock`` counts them; ``chance`` makes the ids of two runs differ."""

    def __init__(
        self, ask_timeout: float, clock: Callable[[], float], chance: Callable[[int], bytes] = os.urandom
    ) -> None:
        # Not a number, or none at all: then nothing is waited for.
        self.timeout = min(ask_timeout, _LONGEST_WAIT) if ask_timeout > 0 else 0.0
        self._clock = clock
        self._start, step = chance(2)
        self._step = step | 1  # odd, so that it leads through all 256
        self._issued = 0
        self._pending: dict[str, Pending] = {}
        self._answered: dict[str, Pending] = {}
        self._for_run: dict[Question, None] = {}
        self._stopped_at: float | None = None

    # -- asking -------------------------------------------------------------------------------------------------

    def hold(self, question: Question) -> Pending:
        """Ask. The answer is there already where the operator gave it for the run, or where too many others wait."""
        self._expire()
        pending = Pending(self._next_id(), question, self._now() + self.timeout)
        if self.knows(question):
            self._settle(pending, State.APPROVED, "for the run")
        elif len(self._pending) >= _MOST:
            self._settle(pending, State.DENIED, "", f"{len(self._pending)} other questions wait")
        else:
            self._pending[pending.id] = pending
        return pending

    def knows(self, question: Question) -> bool:
        """Whether the operator has approved this act for the rest of the run."""
        return _key(question) in self._for_run

    def waits(self, pending: Pending) -> str:
        """What the process that is held is told."""
        return f"waiting {self.timeout:g} s: govrun approve {pending.id} (another terminal)"

    def state_of(self, pending: Pending) -> State:
        """What has become of ``pending`` by now."""
        if pending.state is State.PENDING and self._now() >= pending.deadline:
            self._settle(pending, State.TIMED_OUT)
        return pending.state

    def refusal(self, pending: Pending) -> str:
        """Why ``pending`` was not approved, in words; empty when it was."""
        match self.state_of(pending):
            case State.APPROVED:
                return ""
            case State.DENIED if not pending.by:
                return f"not asked: {pending.why}"
            case State.DENIED:
                return "the operator said no" + (f": {pending.why}" if pending.why else "")
            case State.TIMED_OUT:
                return f"nobody answered in {self.timeout:g} s"
            case _:
                return "it was not answered"

    def abandon(self, pending: Pending) -> None:
        """The process that waited is gone: nothing is left to approve."""
        if pending.state is State.PENDING:
            self._settle(pending, State.OVER)

    # -- answering ----------------------------------------------------------------------------------------------

    def approve(self, number: str, by: str, *, for_run: bool = False) -> Result:
        """Let one act happen; ``for_run``: and the same act from now on, if the program is known by its content."""
        pending = self._open(number)
        if isinstance(pending, Result):
            return pending
        pending.for_run = for_run and bool(pending.question.executable) and len(self._for_run) < _MOST_FOR_RUN
        self._settle(pending, State.APPROVED, by)
        extent = "this act only"
        if pending.for_run:
            extent = "and the same command for the rest of the run"
            self._for_run[_key(pending.question)] = None
            for other in [one for one in self._pending.values() if self.knows(one.question)]:
                self._settle(other, State.APPROVED, by)
        elif for_run:
            extent += ": it cannot be told apart from others for the rest of the run"
        return Result("approved", f"approved {pending.id}, {extent}: {_shown(pending.question)}", pending)

    def deny(self, number: str, by: str, why: str = "") -> Result:
        """Refuse one act."""
        pending = self._open(number)
        if isinstance(pending, Result):
            return pending
        self._settle(pending, State.DENIED, by, why)
        return Result("denied", f"denied {pending.id}: {_shown(pending.question)}", pending)

    def state(self, number: str) -> State:
        """What has become of a question: ``unknown`` if it was never asked; of old ones only that they are ``over``."""
        number = number.upper()
        known = self._pending.get(number) or self._answered.get(number)
        if known is not None:
            return self.state_of(known)
        return State.OVER if self._was_issued(number) else State.UNKNOWN

    def pending(self) -> list[tuple[Pending, float]]:
        """The questions that wait, oldest first, and the seconds that are left."""
        self._expire()
        now = self._now()
        return [(one, one.deadline - now) for one in self._pending.values()]

    def pause(self) -> None:
        """While the run is paused no question's time runs out."""
        if self._stopped_at is None:
            self._stopped_at = self._clock()

    def resume(self) -> None:
        """Their time goes on."""
        if self._stopped_at is not None:
            stood = self._clock() - self._stopped_at
            self._stopped_at = None
            for one in self._pending.values():
                one.deadline += stood

    # -- inside -------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock() if self._stopped_at is None else self._stopped_at

    def _open(self, number: str) -> Pending | Result:
        """The question, if it still waits; else what to say about it."""
        number = number.upper()
        state = self.state(number)
        known = self._pending.get(number) or self._answered.get(number)
        if state is State.PENDING and known is not None:
            return known
        if state is State.UNKNOWN:
            return Result("unknown", f"no question {number} was asked")
        if known is not None and known.by:
            return Result("answered", f"{number} is answered already: {state} by {known.by}", known)
        ended = {
            State.TIMED_OUT: f"nobody answered in {self.timeout:g} s, it was denied",
            State.DENIED: "it was denied at once",
        }
        return Result("over", f"{number} is over: {ended.get(state, 'nobody waits for it any more')}", known)

    def _settle(self, pending: Pending, state: State, by: str = "", why: str = "") -> None:
        pending.state, pending.by, pending.why = state, by, why
        self._pending.pop(pending.id, None)
        self._answered[pending.id] = pending
        if len(self._answered) > _KEPT:
            del self._answered[next(iter(self._answered))]

    def _expire(self) -> None:
        for one in list(self._pending.values()):
            self.state_of(one)

    def _next_id(self) -> str:
        at = self._issued
        self._issued += 1
        return f"{(self._start + at * self._step) % _SHORT:02X}" if at < _SHORT else f"{at:03X}"

    def _was_issued(self, number: str) -> bool:
        try:
            value = int(number, 16)
        except ValueError:
            return False
        if number != f"{value:02X}":
            return False  # spelt as no id is
        if len(number) > 2:
            return _SHORT <= value < self._issued
        return (value - self._start) * pow(self._step, -1, _SHORT) % _SHORT < self._issued


def held(approvals: Approvals, pending: Pending, on_approved: Callable[[], Reply | Held]) -> Held:
    """The act behind ``pending`` for the loop. ``on_approved`` performs it, once; where that has to wait in its turn,
    what it waits for takes over."""
    waiting = _Waiting(approvals, pending, on_approved)
    return Held(waiting.retry, waiting.abandon)


class _Waiting:
    def __init__(self, approvals: Approvals, pending: Pending, on_approved: Callable[[], Reply | Held]) -> None:
        self._approvals, self._pending = approvals, pending
        self._on_approved: Callable[[], Reply | Held] | None = on_approved
        self._next: Held | None = None

    def retry(self) -> Reply | None:
        if self._next is not None:
            return self._next.retry()
        state = self._approvals.state_of(self._pending)
        if state is State.PENDING:
            return None
        perform, self._on_approved = self._on_approved, None
        if state is not State.APPROVED or perform is None:
            return Reply(error=errno.EACCES)
        done = perform()
        if isinstance(done, Reply):
            return done
        self._next = done
        return done.retry()

    def abandon(self) -> None:
        self._on_approved = None
        self._approvals.abandon(self._pending)
        if self._next is not None:
            self._next.abandon()


def listed(approvals: Approvals) -> list[dict[str, object]]:
    """The questions that wait, as ``ps`` answers them."""
    return [
        {
            "id": one.id,
            "left": round(left, 1),
            "invariant": one_line(one.question.invariant, _COMMAND),
            "message": one_line(one.question.message, _MESSAGE),
            "command": one.question.command,
            "cwd": one_line(one.question.cwd.decode("utf-8", "backslashreplace"), _COMMAND),
        }
        for one, left in approvals.pending()
    ]


def _key(question: Question) -> Question:
    """What is the same act: the command, the program by its content, the directory; and the rule that asked, since
    another one has not been answered."""
    return question._replace(message="")


def _shown(question: Question) -> str:
    return question.command or one_line(question.message, _MESSAGE)
