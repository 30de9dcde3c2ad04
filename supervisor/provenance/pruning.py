"""Writing while somebody tidies up: ``git gc`` and ``git prune`` remove what the refs as they have read them do not
lead to, new or not (git-prune(1), --expire), and do so some time later.

Packs would be no safer than loose objects: a prune takes those that are being written, too."""

from __future__ import annotations

import os
import time
from pathlib import Path

from supervisor.git.layout import read_small

_PATIENCE = 5.0


class Tidying:
    """In the repository whose git directory is ``common``."""

    def __init__(self, common: Path) -> None:
        self._pid = common / "gc.pid"
        self._end = 0.0

    def outlasts_gc(self) -> bool:
        """Wait for the end of a gc that is at work (it holds ``gc.pid`` so long), for some seconds in all; whether
        there was one."""
        first = read_small(self._pid)
        pid = (first or "").partition(" ")[0]
        if not pid.isdecimal() or not os.path.exists(f"/proc/{pid}"):
            return False  # there is none, or one of long ago that was killed
        self._end = self._end or time.monotonic() + _PATIENCE
        while read_small(self._pid) == first and os.path.exists(f"/proc/{pid}") and time.monotonic() < self._end:
            time.sleep(0.01)
        return True
