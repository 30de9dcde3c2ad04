"""Ending a run for certain: SIGKILL whatever is there, generation by generation, until nothing is.

This process is a subreaper, so whoever lost its parent becomes its child: killing the children again and again reaches
everything below them, and the list of the children costs microseconds where a walk of /proc costs milliseconds. That
matters against processes that fork and end faster than they are read. What makes it converge:

* A fork fails when its parent has a SIGKILL, up to the moment in which the new process is linked; and a signal to a
  process group reaches all of it and its forks in one step.
* The newest process id of the machine tells where such a lineage is, however many dead ones it has left behind.
* While a run is ended the kernel takes away the dead itself (SIGCHLD ignored), so that their number only falls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

_WALL = 0x40000000  # __WALL: traced threads too
_BATCH = 2048  # dead ones from before that are taken away between two looks
_PAUSE = 0.001  # seconds between looks while what was killed has not ended yet
_WALK = 0.05  # seconds until, and between, walks of the whole tree
_NEWEST = 12  # ids below the newest one that are looked at


class _Stat(NamedTuple):
    """Of ``/proc/PID/stat``: fields 3 to 6 (proc(5))."""

    state: bytes
    parent: int
    group: int
    session: int


def stop_tree(root: int, keep: frozenset[int] = frozenset(), patience: float = 10.0, group: int = 0) -> int:
    """Kill everything below ``root`` (this process) except ``keep`` and what is below that, and wait until it is gone;
    returns how many were killed. ``group``: a process group of the run in this process's own session.

    Whoever forks faster than that, or sleeps uninterruptibly, is worked on for ``patience`` seconds.
    """
    hunt = _Hunt(root, keep, group)
    try:
        end = time.monotonic() + patience
        while hunt.look() and time.monotonic() < end:
            pass
        return hunt.killed
    finally:
        hunt.close()


def end_children(grace: float) -> None:
    """Ask the children of this process to end, and kill those that have not after ``grace`` seconds: a git that is
    killed leaves its locks, and nobody can move those refs for a minute."""
    end = time.monotonic() + grace
    for pid in survivors():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while survivors() and time.monotonic() < end:
        time.sleep(0.01)
    stop_tree(os.getpid())


def survivors(keep: frozenset[int] = frozenset()) -> list[int]:
    """Children of this process, but for ``keep``, that have not ended."""
    hunt = _Hunt(os.getpid(), frozenset(), 0)
    try:
        found = {pid: _stat(pid) for pid in hunt.children() if pid not in keep}
        return [pid for pid, stat in found.items() if stat is not None and stat.state not in (b"Z", b"X")]
    finally:
        hunt.close()


class _Hunt:
    """Looks of one stop. ``waiting``: children that were killed and have not gone yet."""

    def __init__(self, root: int, keep: frozenset[int], group: int) -> None:
        self._root, self._keep, self._group = root, keep, group
        self._session = os.getsid(0)
        self._waiting: set[int] = set()
        self.killed = 0
        self._next_walk = time.monotonic() + _WALK
        self._before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            self._list = os.open(f"/proc/self/task/{root}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._list = -1

    def close(self) -> None:
        signal.signal(signal.SIGCHLD, self._before)
        if self._list >= 0:
            os.close(self._list)

    def look(self) -> bool:
        """Kill what is there; False when nothing is left."""
        self._strike_newest()
        if self._reap(_BATCH) == _BATCH:
            return True  # the list would be long, and reading it take long
        children = [pid for pid in self.children() if pid not in self._keep]
        if not children:
            return False  # a subreaper without children has no descendants
        self._waiting.intersection_update(children)
        # The newest first: of a lineage that hands itself on only the last one lives.
        fresh = [pid for pid in reversed(children) if pid not in self._waiting]
        for pid in fresh:
            self._strike(pid, listed=True)
        if time.monotonic() >= self._next_walk:
            self._walk()
        if not fresh:
            time.sleep(_PAUSE)
        return True

    def children(self) -> list[int]:
        if self._list < 0:
            return [pid for pid, found in _all() if found.parent == self._root]
        os.lseek(self._list, 0, os.SEEK_SET)
        parts = []
        while part := os.read(self._list, 1 << 16):
            parts.append(part)
        return [int(word) for word in b"".join(parts).split()]

    def _strike_newest(self) -> None:
        try:
            with open("/proc/loadavg", "rb", buffering=0) as file:
                newest = int(file.read(128).split()[-1])
        except (OSError, ValueError, IndexError):
            return
        for pid in range(newest, max(1, newest - _NEWEST), -1):
            if pid not in self._keep:
                self._strike(pid)

    def _strike(self, pid: int, *, listed: bool = False) -> None:
        """Kill a child, and its group, by a handle: the number alone could mean somebody else by now. Where there is
        no descriptor for that, being ``listed`` among the children has to do."""
        try:
            handle = os.pidfd_open(pid)
        except OSError as error:
            if listed and error.errno in (errno.EMFILE, errno.ENFILE):
                _kill(pid)
            return
        try:
            at = _stat(pid)
            if at.parent != self._root if at is not None else not listed:
                return
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if at is not None:
                self._strike_group(at)
        except (ProcessLookupError, PermissionError):
            return
        finally:
            os.close(handle)
        if pid not in self._waiting:
            self._waiting.add(pid)
            self.killed += 1

    def _strike_group(self, at: _Stat) -> None:
        """Sessions that the run began hold nothing but the run's; in our own session a process of the run may have
        joined a group of the user's."""
        if at.group > 1 and (at.session not in (0, self._session) or at.group == self._group):
            _kill(-at.group)

    def _reap(self, most: int) -> int:
        """Take away who died before, tracees too; none of the others comes to be a zombie any more."""
        for count in range(most):
            try:
                if os.waitpid(-1, os.WNOHANG | _WALL)[0] == 0:
                    return count
            except ChildProcessError:
                return count
        return most

    def _walk(self) -> None:
        """What hangs below a process that cannot end yet is nobody's orphan."""
        began = time.monotonic()
        for pid in descendants(self._root, self._keep):
            _kill(pid)
        took = time.monotonic() - began
        self._next_walk = began + took + max(_WALK, 10 * took)


def descendants(of: int, keep: frozenset[int]) -> list[int]:
    """Process ids below ``of`` without ``keep`` and what is below that; zombies included. One walk of /proc."""
    children: dict[int, list[int]] = {}
    for pid, found in _all():
        children.setdefault(found.parent, []).append(pid)
    found_here, pending = [], [of]
    while pending:
        for pid in children.get(pending.pop(), ()):
            if pid not in keep:
                found_here.append(pid)
                pending.append(pid)
    return found_here


def _all() -> Iterable[tuple[int, _Stat]]:
    import psutil

    for pid in psutil.pids():
        if (found := _stat(pid)) is not None:
            yield pid, found


def _stat(pid: int) -> _Stat | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 1024)
    except OSError:
        return None
    finally:
        os.close(fd)
    words = text[text.rindex(b")") + 2 :].split()
    return _Stat(words[0], int(words[1]), int(words[2]), int(words[3]))


def _kill(pid: int) -> None:
    """SIGKILL; what is gone, or changed its user, is passed over."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
