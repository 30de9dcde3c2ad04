"""Orders of the operator, carried out: what a run tells of itself, answers to its questions, pause, resume, stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from supervisor.operator.approvals import Approvals, Pending
from supervisor.operator.control import Control, Given
from supervisor.profile.problems import plain
from supervisor.run.loop import End, Loop
from supervisor.run.record import Recorder


class Operating:
    """``told`` says a line to the user. Nothing but ``approvals`` lets an act through."""

    def __init__(
        self,
        folder: Path,
        tree: str,
        agent: str,
        approvals: Approvals,
        recorder: Recorder,
        told: Callable[[str], None],
        is_of_run: Callable[[int], bool],
    ) -> None:
        self._run, self._tree, self._agent = folder.name, tree, agent
        self._approvals = approvals
        self._recorder = recorder
        self._told = told
        self._started = time.monotonic()
        self.loop: Loop | None = None
        self.acknowledged: Callable[[], None] | None = None
        self.control = Control(folder, self._carry_out, is_of_run)

    def close(self) -> None:
        self.control.close()

    def answered(self, pending: Pending) -> None:
        """Record how a question was answered, or that it was not."""
        answer = self._approvals.answer(pending.id)
        if answer is None:
            return
        told: dict[str, object] = {"call": answer.word, "id": pending.id, "detail": pending.question.message}
        if answer.uid >= 0:
            told |= {"uid": answer.uid, "pid": answer.pid}
        if answer.why:
            told["reason"] = answer.why
        self._recorder.note("operator", **told)

    def paused_by(self, why: str) -> None:
        """A rule has paused the run."""
        if self.loop is not None and self.loop.pause():
            self._recorder.note("operator", call="pause", detail=why)
            self._told(f"govrun: paused: {why}")
            self._told(f"  fix: govrun resume {self._run[:12]} goes on, govrun stop {self._run[:12]} ends it")

    def _carry_out(self, given: Given) -> dict[str, object]:
        order = given.order
        if order.word == "ps":
            return self._told_of()
        if order.word == "approve":
            result = self._approvals.approve(order.id, given.uid, given.pid, for_run=order.for_run)
            return self._answer(order.id, result)
        if order.word == "deny":
            return self._answer(order.id, self._approvals.deny(order.id, given.uid, given.pid, plain(order.why)))
        return {"result": self._steer(order.word, given)}

    def _answer(self, ident: str, result: str) -> dict[str, object]:
        answer = self._approvals.answer(ident.upper())
        return {"result": result} | ({"message": answer.pending.question.message} if answer is not None else {})

    def _steer(self, word: str, given: Given) -> str:
        if self.loop is None:
            return "not started yet"
        if word == "stop":
            self.loop.finish(End("operator", None))
            result = "stopped"
        elif word == "pause":
            result = "paused" if self.loop.pause() else "paused already"
        else:
            result = "goes on" if self.loop.resume() else "not paused"
            if self.acknowledged is not None:
                self.acknowledged()  # whoever lets it go on has seen what was counted
        self._recorder.note("operator", call=word, uid=given.uid, pid=given.pid, detail=result)
        return result

    def _told_of(self) -> dict[str, object]:
        waiting = [
            {
                "id": pending.id,
                "invariant": pending.question.invariant,
                "message": pending.question.message,
                "argv": [word.decode("utf-8", "backslashreplace") for word in pending.question.argv[:64]],
                "left": round(left),
            }
            for pending, left in self._approvals.waiting()
        ]
        return {
            "run": self._run,
            "tree": self._tree,
            "agent": self._agent,
            "seconds": round(time.monotonic() - self._started),
            "paused": self.loop is not None and self.loop.paused,
            "waiting": waiting,
        }
