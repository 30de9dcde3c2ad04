"""How programs of the run ended, whoever started and reaped them."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import process

_MOST = 512  # programs that are followed at once, a descriptor each


class _Followed(NamedTuple):
    pid: int
    pidfd: int
    words: tuple[str, ...]
    reads: bool


class Endings:
    """``told`` gets the command line, its wait status as an exit code (negative: by that signal), and whether it only
    reads. A program that executes another one goes on under the new command line."""

    def __init__(self, told: Callable[[tuple[str, ...], int, bool], None]) -> None:
        self._told = told
        self._ready = select.epoll()
        self._followed: dict[int, _Followed] = {}  # by descriptor
        self._by_pid: dict[int, int] = {}

    def fileno(self) -> int:
        """Readable when a program has ended."""
        return self._ready.fileno()

    def started(self, pid: int, words: tuple[str, ...], *, reads: bool) -> None:
        """A program runs as ``pid``. Beyond the most that can be followed, it is not counted."""
        if pid in self._by_pid:
            fd = self._by_pid[pid]
            self._followed[fd] = self._followed[fd]._replace(words=words, reads=reads)
            return
        if len(self._followed) >= _MOST:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return  # gone already
        self._ready.register(pidfd, select.EPOLLIN | select.EPOLLET)
        self._followed[pidfd] = _Followed(pid, pidfd, words, reads)
        self._by_pid[pid] = pidfd

    def turn(self) -> None:
        """Tell of all that have ended."""
        for fd, event in self._ready.poll(0):
            found = self._followed[fd]
            status = process.exit_status(fd, found.pid)
            if status is None and not event & select.EPOLLHUP:
                continue  # its parent is about to take its status, and then the kernel tells it
            self._forget(found)
            if status is not None:
                self._told(found.words, os.waitstatus_to_exitcode(status), found.reads)

    def _forget(self, found: _Followed) -> None:
        self._ready.unregister(found.pidfd)
        os.close(found.pidfd)
        del self._followed[found.pidfd], self._by_pid[found.pid]
