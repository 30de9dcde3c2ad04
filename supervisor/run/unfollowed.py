"""Execs that nobody could follow to their stop: looked at once they have happened.

A process has one tracer. While a debugger of the run traces it, govrun cannot stop it at its exec (``debug = true``,
and hosts that forbid tracing); what runs then is read before the next call of anybody in the run is judged, and within
moments where none comes. Until it has been seen the process counts as what it was before.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import process as kernel_process
from supervisor.run.tracer import Started
from supervisor.surfaces.execs import Judged, verify
from supervisor.vocabulary.events import ExecEvent

# Seconds between looks, by the age of what is looked at: most programs are there after one, some end after two.
_LOOKS = ((0.020, 0.001), (1.0, 0.010))
_LATER = 0.250
_MOST = 256  # each costs a descriptor


class _Image(NamedTuple):
    """What a process runs. Where the kernel put it (addresses from ``/proc/PID/stat``) changes with every exec."""

    dev: int
    ino: int
    layout: tuple[int, int, int]
    words: bytes


class _Pending(NamedTuple):
    started: Started
    before: _Image
    pidfd: int
    since: float


class Unfollowed:
    """``arrived`` judges what came to run and says whether it may; ``failed`` is told of an exec that did not happen,
    ``unseen`` of one whose process ended before it could be looked at."""

    def __init__(
        self,
        arrived: Callable[[int, Started, ExecEvent], bool],
        failed: Callable[[Started], None],
        unseen: Callable[[Started], None],
    ) -> None:
        self._arrived = arrived
        self._failed = failed
        self._unseen = unseen
        self._pending: dict[int, _Pending] = {}
        self._condemned: dict[int, int] = {}

    def start(self, started: Started) -> None:
        """Expect the exec of a thread that waits in its call. OSError: it cannot be looked at."""
        if len(self._pending) >= _MOST:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        pidfd = kernel_process.pidfd_open(started.tgid)
        try:
            before = _image(started.tid)
        except OSError:
            os.close(pidfd)
            raise
        self._pending[started.tgid] = _Pending(started, before, pidfd, time.monotonic())

    def busy(self, tgid: int) -> bool:
        """Whether an exec of this thread group is under way. Attaching to another of its threads would wait for a
        lock that the executing one holds until its traced siblings are reaped, which their tracer need not ever do."""
        return tgid in self._pending

    def wait(self) -> float | None:
        """Seconds until the next look, None when there is nothing to look at."""
        if not self._pending:
            return None
        age = time.monotonic() - max(each.since for each in self._pending.values())
        return next((pause for limit, pause in _LOOKS if age < limit), _LATER)

    def look(self, caller: int = 0) -> bool:
        """See what has come of them. ``caller``: a thread that makes a call, so that its exec is over. True: it runs
        what it may not and is being killed, so that its call must not be performed for it."""
        for tgid, pending in list(self._pending.items()):
            try:
                seen = self._look(tgid, pending, pending.started.tid == caller)
            except OSError:
                seen = self._without_image(tgid, pending)
            if seen:
                del self._pending[tgid]
                if self._condemned.get(tgid) != pending.pidfd:
                    os.close(pending.pidfd)
        return bool(self._condemned) and self._is_condemned(caller)

    def _is_condemned(self, caller: int) -> bool:
        """A call that waited in the listener before the kill is there until its thread has run once more."""
        for tgid, pidfd in list(self._condemned.items()):
            if not _alive(pidfd):
                os.close(self._condemned.pop(tgid))
            elif os.path.exists(f"/proc/{tgid}/task/{caller}"):
                return True
        return False

    def _look(self, tgid: int, pending: _Pending, over: bool) -> bool:
        now = _image(tgid)
        if now == pending.before:
            if over:
                self._failed(pending.started)
            return over
        if now.layout[2] == 0 and not over:
            return False  # the new image is still being set up: arguments and stack come last (load_elf_binary)
        found = _as_judged(pending.started.judged, tgid) or _as_found(pending.started.judged, tgid, now)
        if _image(tgid) != now and not over:
            return False  # it went on while it was looked at
        if not self._arrived(tgid, pending.started, found):
            self._kill(tgid, pending)
        return True

    def _without_image(self, tgid: int, pending: _Pending) -> bool:
        """It could not be read: it ended, its leader did while a thread executes, or it is not to be looked at."""
        if not _alive(pending.pidfd):
            self._unseen(pending.started)
            return True
        if os.path.exists(f"/proc/{tgid}/task/{pending.started.tid}/exe") and pending.started.tid != tgid:
            return False
        self._kill(tgid, pending)
        self._unseen(pending.started)
        return True

    def _kill(self, tgid: int, pending: _Pending) -> None:
        try:
            kernel_process.pidfd_signal(pending.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return
        if (before := self._condemned.get(tgid)) is not None:
            os.close(before)
        self._condemned[tgid] = pending.pidfd


def _alive(pidfd: int) -> bool:
    """A pidfd is readable once its process has ended, reaped or not (pidfd_open(2)): a tracer may leave it unreaped."""
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    return not ended.poll(0)


def _image(tid: int) -> _Image:
    """OSError when there is none to be read."""
    seen = os.stat(f"/proc/{tid}/exe")
    with open(f"/proc/{tid}/cmdline", "rb") as file:
        words = file.read()
    return _Image(seen.st_dev, seen.st_ino, kernel_process.layout(tid), words)


def _as_judged(judged: Judged, pid: int) -> ExecEvent | None:
    try:
        return verify(judged, pid)
    except FileNotFoundError:
        return None  # a script that is gone already, or the process: that shows when it is looked at next


def _as_found(judged: Judged, pid: int, image: _Image) -> ExecEvent:
    """The event of what runs where that is not what was judged, or has changed its arguments since."""
    event, argv = judged.event, tuple(image.words.split(b"\0")[:-1]) or (b"",)
    if (image.dev, image.ino) == (event.target.dev, event.target.ino):
        return event._replace(stage="stop", argv=argv)
    path = os.readlink(b"/proc/%d/exe" % pid)
    gone = os.stat(f"/proc/{pid}/exe").st_nlink == 0
    target = event.target._replace(path=path, dev=image.dev, ino=image.ino)
    return event._replace(stage="stop", target=target, given=path, argv=argv, alias=b"", anonymous=gone)
