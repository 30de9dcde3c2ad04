"""Who acts: processes with their parents and the action they belong to.

A record is valid while its pidfd answers; ids are reused, pidfds are not. An action is the subtree rooted at an exec
that the agent process made; orphans keep the action of their process group.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable

from supervisor.kernel import process as kernel
from supervisor.vocabulary.events import Actor

_KEEP = 2048
_WORDS, _WORD = 32, 256
_DEPTH = 512  # generations that are looked through for a known ancestor
_IDLE = 2.0  # seconds without a mutation after which the agent's own changes form a new action


class Process:
    """What is known of one process (thread group)."""

    __slots__ = ("action", "actor", "parent", "pgrp", "pid", "pidfd", "ppid", "start")

    def __init__(self, pid: int, pidfd: int, ppid: int, start: int, pgrp: int) -> None:
        self.pid, self.pidfd, self.ppid, self.start, self.pgrp = pid, pidfd, ppid, start, pgrp
        self.parent: Process | None = None
        self.action = 0
        self.actor = Actor(pid, ppid, start, b"", (), 0)

    def alive(self) -> bool:
        try:
            signal.pidfd_send_signal(self.pidfd, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class Processes:
    """All processes that have asked for something. ``root`` is the agent process."""

    def __init__(self, supervisor: int, own: Callable[[], frozenset[int]] = frozenset) -> None:
        self._supervisor = supervisor
        self._own = own
        self._known: dict[int, Process] = {}
        self._groups: dict[int, int] = {}
        self._threads: dict[int, int] = {}
        self.root = 0
        self._actions = 0
        # One descriptor each: a quarter of what this process may hold.
        self._keep = min(_KEEP, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._last = 0.0

    def of(self, tid: int) -> Process:
        """The process of thread ``tid``. OSError when it is gone."""
        known = self._known.get(tid)
        if known is not None:
            if known.alive():
                return known
            self.forget(tid)
        tgid = self._threads.get(tid)
        if tgid is not None and tgid in self._known and self._known[tgid].alive() and _is_thread(tgid, tid):
            return self._known[tgid]
        if len(self._known) >= self._keep:
            self._sweep()
        pidfd = kernel.pidfd_of_leader(tid)
        if pidfd is None:
            self._threads[tid] = tgid = kernel.status(tid).tgid
            return self.of(tgid)
        return self._learn(tid, pidfd)

    def _learn(self, pid: int, pidfd: int) -> Process:
        try:
            ppid, pgrp, start = kernel.family(pid)
        except OSError:
            os.close(pidfd)
            raise
        record = Process(pid, pidfd, ppid, start, pgrp)
        self._known[pid] = record
        record.parent = self._parent(ppid)
        record.action = record.parent.action if record.parent is not None else self._groups.get(pgrp, 0)
        self._groups.setdefault(pgrp, record.action)
        self._describe(record)
        return record

    def _parent(self, ppid: int) -> Process | None:
        """The parent's record, if it has asked for something before. An unknown one in between is looked through: a
        chain of forks may be long, and only what acts needs a record."""
        for _ in range(_DEPTH):
            if ppid in (0, 1, self._supervisor):
                return None
            known = self._known.get(ppid)
            if known is not None and known.alive():
                return known
            try:
                ppid = kernel.parent_of(ppid)
            except OSError:
                return None  # it ended meanwhile: the process group tells the action
        return None

    def _describe(self, record: Process) -> None:
        """Image and arguments at first sight: its own, since its parent may have executed something else by now."""
        try:
            exe = os.readlink(b"/proc/%d/exe" % record.pid)
            parent = record.parent.actor if record.parent is not None and record.parent.pid == record.ppid else None
            if parent is not None and parent.exe == exe:
                record.actor = Actor(record.pid, record.ppid, record.start, exe, parent.argv, record.action)
                return  # still its parent's image; reading the arguments again costs as much as the rest
            with open(f"/proc/{record.pid}/cmdline", "rb") as file:
                argv = _shortened(tuple(file.read(65536).rstrip(b"\0").split(b"\0")))
        except OSError:
            exe, argv = b"", ()
        record.actor = Actor(record.pid, record.ppid, record.start, exe, argv, record.action)

    def executed(self, pid: int, exe: bytes, argv: tuple[bytes, ...]) -> Process:
        """A process runs a new image. Starts an action when it is a child of the agent process."""
        record = self.of(pid)
        if self.root == 0:
            self.root = pid
        if self.root in (pid, record.ppid) or record.action == 0:
            record.action = self._next()
        record.actor = Actor(pid, record.ppid, record.start, exe, _shortened(argv), record.action)
        self._groups[record.pgrp] = record.action
        return record

    def acting(self, record: Process) -> Actor:
        """The actor of a mutation. Changes of the agent process itself form actions of their own."""
        if record.pid == self.root:
            now = time.monotonic()
            if now - self._last > _IDLE:
                record.action = self._next()
                record.actor = record.actor._replace(action=record.action)
            self._last = now
        return record.actor

    def _next(self) -> int:
        self._actions += 1
        return self._actions

    def belongs(self, pid: int) -> bool:
        """Whether ``pid`` is of the run: a descendant of the supervisor that is not one of govrun's own helpers."""
        helpers = self._own()
        for _ in range(4096):
            if pid in helpers:
                return False
            try:
                parent = kernel.parent_of(pid)
            except OSError:
                return False
            if parent == self._supervisor:
                return True
            if parent <= 1:
                return False
            pid = parent
        return False

    def chain(self, record: Process) -> list[int]:
        """Process ids from the process up to the agent process."""
        found: list[int] = []
        at = record.parent
        while at is not None and len(found) < 64:
            found.append(at.pid)
            at = at.parent
        return found

    def forget(self, pid: int) -> None:
        record = self._known.pop(pid, None)
        if record is not None:
            os.close(record.pidfd)

    def _sweep(self) -> None:
        for pid in [pid for pid, record in self._known.items() if not record.alive()]:
            self.forget(pid)
        self._threads.clear()
        excess = len(self._known) - self._keep // 2
        for pid in list(self._known)[: max(excess, 0)]:
            if pid != self.root:
                self.forget(pid)


def _shortened(argv: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What the record of an actor shows of its arguments; the exec itself was recorded with all of them."""
    return tuple(word[:_WORD] for word in argv[:_WORDS])


def _is_thread(tgid: int, tid: int) -> bool:
    return os.path.exists(f"/proc/{tgid}/task/{tid}")
