"""Which processes below the supervisor are govrun's own."""

from __future__ import annotations

import os
from collections.abc import Iterable

from supervisor.kernel import process


class Helpers:
    """Told apart by id and start: one that died may have left its id to the run."""

    def __init__(self) -> None:
        self._starts: dict[int, int] = {}

    def of(self, pids: Iterable[int | None]) -> frozenset[int]:
        """Those of ``pids`` that are the children they were when they were first asked for; 0 and None are nobody."""
        return frozenset(pid for pid in pids if pid and self._is_helper(pid))

    def _is_helper(self, pid: int) -> bool:
        try:
            parent, _, start = process.family(pid)
        except OSError:
            return False
        return parent == os.getpid() and self._starts.setdefault(pid, start) == start
