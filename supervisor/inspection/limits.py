"""How much processor time one file may take. What a run writes can be made for a parser to be slow on it."""

from __future__ import annotations

import time

_FIRST = 1.0  # seconds
_PER_MIB = 1.0  # honest sources take a third of it, long tables of numbers nearly all
_MOST = 4.0


class Overdue(BaseException):
    """No ``Exception``: inspectors take those for something that the text says."""


def allowance(size: int) -> float:
    """Seconds of processor time for a file of ``size`` bytes."""
    return min(_FIRST + _PER_MIB * size / (1 << 20), _MOST)


class Budget:
    """The parser asks it every now and then, so that it can be stopped."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._until = time.process_time() + seconds
        self._asked = 0

    def spent(self, *_: object) -> bool:
        """True when nothing is left."""
        self._asked += 1
        if self._asked % 16 == 0 and time.process_time() > self._until:
            self.over = True
        return self.over

    def check(self) -> None:
        """``Overdue`` when nothing is left."""
        if self.over or time.process_time() > self._until:
            raise Overdue(f"it takes more than {self.seconds:.1f} s of processor time to read")
