"""The operator's side of a run that is under way: questions, pause, resume and stop, as the loop carries them out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from supervisor.operator.approvals import Approvals, asks
from supervisor.operator.control import Control
from supervisor.operator.desk import Desk, Effects
from supervisor.run.asking import Asking
from supervisor.run.loop import End, Loop
from supervisor.run.record import Recorder


class Operating:
    """``mode`` and ``timeout`` (seconds) are the profile's ``default.ask`` and ``ask_timeout``; ``terminal``: somebody
    sits at one. ``is_of_run``: whether a process belongs to the run, and so answers for nothing. ``loop`` and
    ``acknowledged`` are set once they exist: the latter is told that a person lets the run go on."""

    def __init__(
        self,
        folder: Path,
        run: str,
        mode: str,
        timeout: float,
        recorder: Recorder,
        say: Callable[[str], None],
        is_of_run: Callable[[int], bool],
        *,
        terminal: bool,
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._say = say
        self.loop: Loop | None = None
        self.acknowledged: Callable[[], None] | None = None
        approvals = Approvals(timeout, time.monotonic)
        control = Control(folder, run, lambda pid, _uid: not is_of_run(pid))
        self.desk = Desk(control, approvals, self._record, Effects(self._hold_still, self._go_on, self._stop))
        self.asking = Asking(approvals, asks(mode, terminal), recorder)

    def _record(self, call: str, detail: str) -> int:
        return self._recorder.note("operator", call=call, detail=detail)

    def hold_for(self, told: str) -> None:
        """A rule holds the run still, until the operator has looked at it."""
        if self.desk.paused:
            return
        self._record("pause", told)
        self.desk.paused = True
        self._hold_still()
        self._say(f"govrun: paused: {told.removeprefix('govrun: ')}")
        self._say(f"  fix: govrun resume {self._run} lets it go on, govrun stop {self._run} ends it")

    def _hold_still(self) -> None:
        if self.loop is not None:
            self.loop.pause()

    def _go_on(self) -> None:
        if self.acknowledged is not None:
            self.acknowledged()
        if self.loop is not None:
            self.loop.resume()

    def _stop(self) -> None:
        if self.loop is not None:
            self.loop.finish(End("operator", None))
