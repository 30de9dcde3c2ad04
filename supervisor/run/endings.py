"""How programs of the run ended, whoever started and reaped them."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import process
from supervisor.run import standings
from supervisor.run.standings import Standing
from supervisor.vocabulary.events import ExecEvent

_MOST = 512  # programs that are followed at once, a descriptor each
_FARTHEST = 512  # generations that are looked through


class Command(NamedTuple):
    """``reads``: it only asks. ``answers``: exit statuses of it that are no failure. ``counts``: the agent has started
    it, and not something that the agent started."""

    words: tuple[str, ...]
    reads: bool
    answers: frozenset[int] = frozenset()
    counts: bool = True


class _Followed(NamedTuple):
    pid: int
    pidfd: int
    command: Command
    standing: Standing


class Endings:
    """``told`` gets the command and its wait status as an exit code (negative: by that signal). A program that executes
    another one goes on under the new command line. ``supervisor``: the process id whose child the agent process is."""

    def __init__(self, told: Callable[[Command, int], None], supervisor: int) -> None:
        self._supervisor = supervisor
        self._root = 0
        self._told = told
        self._ready = select.epoll()
        self._followed: dict[int, _Followed] = {}  # by descriptor
        self._by_pid: dict[int, int] = {}

    def fileno(self) -> int:
        """Readable when a program has ended."""
        return self._ready.fileno()

    def started(self, pid: int, event: ExecEvent, command: Command) -> None:
        """A program runs as ``pid``. Beyond the most that can be followed, it is not counted."""
        if pid in self._by_pid:
            fd = self._by_pid[pid]
            before = self._followed[fd].standing
            now = standings.root(event) if pid == self._root else standings.replaced(before, event)
            self._followed[fd] = _Followed(pid, fd, command._replace(counts=now.counts), now)
            return
        if len(self._followed) >= _MOST:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return  # gone already
        self._ready.register(pidfd, select.EPOLLIN | select.EPOLLET)
        if self._root == 0:
            self._root, now = pid, standings.root(event)
        else:
            now = standings.below(self._above(pid), event)
        self._followed[pidfd] = _Followed(pid, pidfd, command._replace(counts=now.counts), now)
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
                self._told(found.command, os.waitstatus_to_exitcode(status))

    def _above(self, pid: int) -> Standing | None:
        """Of the program that the process was started by; None: it has lost its parents."""
        at = pid
        for _ in range(_FARTHEST):
            try:
                at = process.parent_of(at)
            except OSError:
                return None  # it ended meanwhile
            if at == self._supervisor or at <= 1:
                return None
            if at in self._by_pid:
                return self._followed[self._by_pid[at]].standing
        return None

    def _forget(self, found: _Followed) -> None:
        self._ready.unregister(found.pidfd)
        os.close(found.pidfd)
        del self._followed[found.pidfd], self._by_pid[found.pid]
