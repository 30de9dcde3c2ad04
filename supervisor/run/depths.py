"""How deep a program would run: how many programs below the agent process started one another.

Counted are programs, not the forks between them. A process that has lost its parent has no line to the agent any more:
it is taken to be as deep as the deepest program whose image it runs, since it was forked from one of those.
"""

from __future__ import annotations

import os

from supervisor.invariants.guardrail import MANY
from supervisor.kernel import process
from supervisor.vocabulary.events import ExecEvent

_MOST_KNOWN = 4096  # programs that are remembered
_MOST_IMAGES = 1024
_FARTHEST = 512  # generations that are looked through


class Depths:
    """``supervisor``: the process id whose child the agent process is."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._root = 0
        self._known: dict[int, tuple[int, int]] = {}  # process id -> start, depth
        self._asked: dict[int, int] = {}  # by process id, until it runs
        self._images: dict[bytes, int] = {}  # the deepest with this image
        self._deepest = 0
        self._forgot = False

    def of(self, event: ExecEvent) -> int:
        """Programs from below the agent down to the one that would start; 0 for the agent itself. A process that
        replaces its program stays where it is."""
        pid = event.actor.pid
        depth = self._of(pid) if self._root not in (0, pid) else 0
        if len(self._asked) >= _MOST_KNOWN:
            self._asked.clear()
        self._asked[pid] = depth
        return depth

    def executed(self, pid: int) -> None:
        """A program runs."""
        depth = self._asked.pop(pid, self._deepest)
        try:
            start = process.family(pid)[2]
            image = os.readlink(b"/proc/%d/exe" % pid)
        except OSError:
            return  # killed meanwhile
        self._root = self._root or pid
        if len(self._known) >= _MOST_KNOWN:
            self._forget()
        self._known[pid] = start, depth
        self._deepest = max(self._deepest, depth)
        if image in self._images or len(self._images) < _MOST_IMAGES:  # others count as the deepest of all
            self._images[image] = max(depth, self._images.get(image, 0))

    def _of(self, pid: int) -> int:
        own = self._at(pid)
        if own is not None:
            return own
        above = self._above(pid)
        if above is None or self._forgot:  # one in between may be among those that are not known any more
            above = max(above or 0, self._by_image(pid))
        return above + 1

    def _above(self, pid: int) -> int | None:
        """The depth of the program that the process was started by; None: it has lost its parents."""
        at = pid
        for _ in range(_FARTHEST):
            try:
                at = process.parent_of(at)
            except OSError:
                return None  # it ended meanwhile
            if at == self._supervisor or at <= 1:
                return None
            found = self._at(at)
            if found is not None:
                return found
        return MANY

    def _at(self, pid: int) -> int | None:
        """The depth of the program that a process runs, if it was seen to start one."""
        known = self._known.get(pid)
        if known is None:
            return None
        try:
            return known[1] if process.family(pid)[2] == known[0] else None
        except OSError:
            return None

    def _by_image(self, pid: int) -> int:
        try:
            return self._images.get(os.readlink(b"/proc/%d/exe" % pid), self._deepest)
        except OSError:
            return self._deepest

    def _forget(self) -> None:
        """Those that have ended; where that is not half of them, the oldest others too, so that it is seldom asked."""
        live = [pid for pid in self._known if self._at(pid) is not None]
        others = [pid for pid in live if pid != self._root]
        if len(others) > _MOST_KNOWN // 2:
            self._forgot = True
            others = others[-(_MOST_KNOWN // 2) :]
        kept = frozenset((self._root, *others))
        self._known = {pid: self._known[pid] for pid in live if pid in kept}
