"""Which processes below the supervisor are govrun's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from supervisor.kernel import process


class Helpers:
    """Told apart by id and start: one that died may have left its id to the run."""

    def __init__(self) -> None:
        self._starts: dict[int, int] = {}
        self._spare = _spare()

    def of(self, pids: Iterable[int | None]) -> frozenset[int]:
        """Those of ``pids`` that are the children they were when they were first asked for; 0 and None are nobody."""
        return frozenset(pid for pid in pids if pid and self._is_helper(pid))

    def _is_helper(self, pid: int) -> bool:
        try:
            parent, _, start = self._family(pid)
        except OSError:
            return False
        return parent == os.getpid() and self._starts.setdefault(pid, start) == start

    def _family(self, pid: int) -> tuple[int, int, int]:
        """The run can have the supervisor hold so many descriptors that none is left to look with; and whoever is taken
        for one of the run is ended with it."""
        try:
            return process.family(pid)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._spare < 0:
                raise
        os.close(self._spare)
        try:
            return process.family(pid)
        finally:
            self._spare = _spare()


def _spare() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
