"""Files that a command applies while it runs, or that say where: what was judged of them is what it has to find, so
that until the process has ended nobody of the run may change them, what leads to them, or what it would read in their
place."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target

_MOST = 64  # processes
_CHANGES = frozenset((FsOp.CREATE, FsOp.WRITE, FsOp.RENAME, FsOp.UNLINK, FsOp.LINK))


class Held(NamedTuple):
    """A path that has to stay as it is. ``inode``: (device, number) of a file, by whatever name it is opened.
    ``depth``: of a folder, 1 for the names in it, 2 for all below."""

    path: bytes
    inode: tuple[int, int] = (0, 0)
    depth: int = 0

    def touches(self, path: bytes, inode: tuple[int, int]) -> bool:
        """Whether a change at the path, or of the inode, would change this."""
        if path == self.path or self.path.startswith(path + b"/") or (self.inode == inode and inode != (0, 0)):
            return True
        if self.depth == 0:
            return False
        return path.startswith(self.path + b"/") if self.depth > 1 else path.rpartition(b"/")[0] == self.path


class Hold(NamedTuple):
    pidfd: int
    pid: int
    words: str
    held: tuple[Held, ...]


class Holds:
    def __init__(self) -> None:
        self._holds: list[Hold] = []

    def add(self, pid: int, words: str, held: Iterable[Held]) -> None:
        """Until the process has ended. OSError: it is gone, or too many run at once."""
        self._release()
        if len(self._holds) >= _MOST:
            raise OSError(errno.EAGAIN, "too many commands that were judged by files run at once")
        self._holds.append(Hold(os.pidfd_open(pid), pid, words, tuple(held)))

    def marked(self, event: FsEvent) -> FsEvent:
        """The event, and who applies what it would change."""
        if event.op not in _CHANGES:
            return event
        self._release()
        for hold in self._holds:
            if any(_changes(event, each) for each in hold.held):
                return event._replace(applied_by=f"{hold.words} (process {hold.pid})")
        return event

    def _release(self) -> None:
        """Forget processes that have ended: their descriptors are readable then (pidfd_open(2))."""
        if not self._holds:
            return
        poll = select.poll()
        for hold in self._holds:
            poll.register(hold.pidfd, select.POLLIN)
        ended = {fd for fd, _ in poll.poll(0)}
        for fd in ended:
            os.close(fd)
        self._holds = [hold for hold in self._holds if hold.pidfd not in ended]


def _changes(event: FsEvent, held: Held) -> bool:
    targets: list[Target | None] = [event.other] if event.op is FsOp.LINK else [event.target, event.other]
    # A file is opened by any of its names; a name is put somewhere else without a change of what it held.
    written = event.op is FsOp.WRITE
    if event.op is FsOp.CREATE and event.makes is Kind.DIR and held.path.startswith(event.target.path + b"/"):
        return False  # an empty folder on the way to what is not there
    return any(
        held.touches(each.path, (each.dev, each.ino) if written else (0, 0)) for each in targets if each is not None
    )
