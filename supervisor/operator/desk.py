"""Orders carried out: what the operator says, written down and then done."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from supervisor.operator.approvals import Approvals, State, listed
from supervisor.operator.control import Control
from supervisor.operator.protocol import Answer, Asked, Order, Who

_MOST_REFUSALS = 64  # of a run that are recorded


class Effects(NamedTuple):
    """What the loop does on an order; each is called after the order has been recorded."""

    pause: Callable[[], None]
    resume: Callable[[], None]
    stop: Callable[[], None]


class Desk:
    """``record`` writes ``(call, detail)`` to the journal, kind ``operator``; what it raises ends the turn before
    anything is done."""

    def __init__(
        self, control: Control, approvals: Approvals, record: Callable[[str, str], object], effects: Effects
    ) -> None:
        self._control, self._approvals, self._record, self._effects = control, approvals, record, effects
        self._refusals = 0
        self.paused = False

    def fileno(self) -> int:
        """Readable when ``turn`` has something to do."""
        return self._control.fileno()

    def turn(self) -> None:
        """Carry out what has arrived. Never waits."""
        orders = self._control.turn()
        for refused in self._control.refused():
            self._refusals += 1
            if self._refusals <= _MOST_REFUSALS:
                self._record("refused", refused)
        for order in orders:
            self._control.reply(order, self._carry_out(order))

    def close(self) -> None:
        """No orders any more."""
        self._control.close()

    def _carry_out(self, order: Order) -> Answer:
        asked = order.asked
        match asked.do:
            case "ps":
                more = {"paused": self.paused, "questions": listed(self._approvals)}
                return Answer(True, "paused" if self.paused else "running", "", more)
            case "state":
                state = self._approvals.state(asked.id)
                return Answer(state is not State.UNKNOWN, state.value, "")
            case "approve" | "deny":
                return self._answered(asked, order.who)
            case "pause" | "resume":
                return self._paused(asked.do == "pause", order.who)
            case "stop":
                self._record("stop", f"by {order.who}")
                self._effects.stop()
                return Answer(True, "stopping", "the run is being stopped")
        return Answer(False, "malformed", "no such order")

    def _answered(self, asked: Asked, who: Who) -> Answer:
        """The question takes the answer first; the act it holds waits for the loop, which comes after the record."""
        if asked.do == "approve":
            result = self._approvals.approve(asked.id, str(who), for_run=asked.for_run)
        else:
            result = self._approvals.deny(asked.id, str(who), asked.why)
        if result.done and result.pending is not None:
            question = result.pending.question
            extent = " for the run" if result.pending.for_run else ""
            why = f", because {result.pending.why}" if result.pending.why else ""
            shown = question.command or question.subject
            self._record(asked.do, f"{result.pending.id}{extent}, {question.invariant}: {shown}; by {who}{why}")
        return Answer(result.done, result.word, result.told)

    def _paused(self, pause: bool, who: Who) -> Answer:
        if pause == self.paused:
            told = "the run is paused already" if pause else "the run is not paused"
            return Answer(pause, "paused" if pause else "running", told)
        self._record("pause" if pause else "resume", f"by {who}")
        self.paused = pause
        if pause:
            self._approvals.pause()
            self._effects.pause()
            return Answer(True, "paused", "the run is paused: govrun resume")
        self._effects.resume()
        self._approvals.resume()
        return Answer(True, "running", "the run goes on")
