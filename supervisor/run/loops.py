"""Going in circles: the same command fails alike and nothing has changed, or the files are again what they were.

The state of the files is one number that each change moves and an undone change moves back, whatever their order.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from supervisor.invariants.guardrail import LoopState

_REMEMBERED = 512  # earlier states
_COMMANDS = 64
_POLLED = 30.0  # seconds between two looks at something that only reads


class Loops:
    """``returns``: how often the files have gone back to an earlier state."""

    def __init__(self) -> None:
        self._paths: dict[bytes, int] = {}
        self._state = 0
        self._seen: OrderedDict[int, None] = OrderedDict({0: None})
        self._last: OrderedDict[str, tuple[int, int, float]] = OrderedDict()  # command -> status, state, when
        self._counts: dict[str, int] = {}
        self.returns = 0

    def found(self, path: bytes, content: bytes | None) -> None:
        """What a file holds that the run has not changed yet: the state in which that stands is the first one."""
        if path not in self._paths:
            self._paths[path] = _mark(path, content)

    def changed(self, path: bytes, content: bytes | None) -> None:
        """A governed file has another content (None: it is gone). ``found`` was told of it before."""
        before = self._paths.get(path, _mark(path, None))
        now = _mark(path, content)
        if now == before:
            return
        self._paths[path] = now
        self._state ^= before ^ now
        if self._state in self._seen:
            self.returns += 1
            self._seen.move_to_end(self._state)
        else:
            self._seen[self._state] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def ended(self, command: str, status: int, now: float, *, reads: bool) -> None:
        """A command has ended. One that only reads and is asked now and then waits for something."""
        last = self._last.pop(command, None)
        self._last[command] = (status, self._state, now)
        if len(self._last) > _COMMANDS:
            gone, _ = self._last.popitem(last=False)
            self._counts.pop(gone, None)
        alike = last is not None and status != 0 and last[:2] == (status, self._state)
        if alike and reads and last is not None and now - last[2] > _POLLED:
            alike = False
        self._counts[command] = self._counts.get(command, 1) + 1 if alike else int(status != 0)

    def state(self, command: str) -> LoopState:
        """What is known when ``command`` is about to start, or has ended."""
        status = self._last[command][0] if command in self._last else 0
        return LoopState(self._counts.get(command, 0), self.returns, status)

    def said(self) -> None:
        """It was told of: counting begins anew."""
        self.clear()

    def clear(self) -> None:
        self._counts.clear()
        self.returns = 0
        self._seen = OrderedDict({self._state: None})


def _mark(path: bytes, content: bytes | None) -> int:
    if content is None:
        return 0
    return int.from_bytes(hashlib.blake2b(path + b"\0" + content, digest_size=16).digest())
