"""Reasons, where the agent reads them: on the standard error of the process that was refused.

Never blocks and never writes into a governed file: pipes and terminals are reopened without blocking, sockets are sent
to without waiting, regular files are written only where their content is not judged. What cannot be told at once is
told on the next command's standard error.
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import process
from supervisor.vocabulary.verdicts import Effect, Match, Verdict

_MOST_QUEUED = 64
_MOST_TOLD = 4096
_ICANON, _LFLAG = termios.ICANON, 3


def reason(match: Match, effect: Effect, verb: str = "") -> str:
    """One line: what happened (``verb``, else in the words of the effect), which invariant, which decision, what to do
    instead."""
    rule = match.invariant
    where = f" ({rule.source})" if rule.source not in ("", "govrun") else ""
    parts = [f"govrun: {verb or _VERBS[effect]} by {rule.id}{where}: {match.message}"]
    if rule.why and rule.why not in match.message:
        parts.append(f"why: {rule.why}")
    if rule.adr:
        parts.append(f"decision: ADR {rule.adr}")
    if rule.use:
        parts.append(f"instead: {rule.use}")
    return safe(" · ".join(parts))


_VERBS = {
    Effect.OBSERVE: "observed",
    Effect.WARN: "warning",
    Effect.ASK: "denied (needs an approval, which this version cannot give)",
    Effect.DENY: "denied",
    Effect.REVERT: "denied",
    Effect.PAUSE: "denied",
    Effect.KILL: "run stopped",
}


def safe(text: str) -> str:
    """Text that cannot move a terminal's cursor or reorder a line: control and bidirectional characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in _printable(text))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class _Queued(NamedTuple):
    """``told``: (device, inode) of the standard error where it was told already."""

    text: str
    told: tuple[int, int] | None


class Explainer:
    """``writable`` says whether a regular file at a path may be written to by govrun (nothing judges its content)."""

    def __init__(self, writable: Callable[[bytes], bool]) -> None:
        self._writable = writable
        self._queue: list[_Queued] = []
        self._told: set[tuple[int, str, str]] = set()

    def tell(self, tid: int, tgid: int, verdict: Verdict) -> bool:
        """Tell the process why. True when it was written where the process can be read. Once per violation and
        process: a program that retries in a loop reads the reason once."""
        first = verdict.matches[0]
        key = (tgid, first.invariant.id, first.message)
        if key in self._told:
            return True
        if len(self._told) > _MOST_TOLD:
            self._told.clear()
        self._told.add(key)
        line = reason(first, verdict.effect)
        if self._write(tid, line + "\n"):
            return True
        if len(self._queue) < _MOST_QUEUED:
            self._queue.append(_Queued(line + "\n", None))
        return False

    def tell_later(self, line: str, more: str, pid: int) -> bool:
        """Tell of something that was taken back after it had been written: to the process that wrote it (``pid``, 0
        when it is gone) and with the next command, since an agent that edits files in its own process does not read
        its own standard error. Not twice to one open file. True when it could be written at once."""
        text = line + "\n" + "".join(f"  {part}\n" for part in more.splitlines())
        at = self._reader(pid) if pid else None
        written = pid > 0 and self._write(pid, text)
        if len(self._queue) < _MOST_QUEUED:
            self._queue.append(_Queued(text, at if written else None))
        return written

    def flush_to(self, tid: int) -> None:
        """Write what is queued to the standard error of a command that starts now."""
        if not self._queue:
            return
        at = self._reader(tid)
        while self._queue:  # one by one: a pipe may take a part only
            if (at is None or self._queue[0].told != at) and not self._write(tid, self._queue[0].text):
                return
            del self._queue[0]

    @staticmethod
    def _reader(tid: int) -> tuple[int, int] | None:
        """What standard error of a process is, so that nothing is told twice there."""
        try:
            info = os.stat(f"/proc/{tid}/fd/2")
        except OSError:
            return None
        return info.st_dev, info.st_ino

    def _write(self, tid: int, text: str) -> bool:
        """Everything is asked of one duplicate of the process's descriptor: by name, another thread could put a
        protected file, or a full pipe, in its place between the look and the write."""
        try:
            copy = process.borrow(tid, 2)
        except OSError:
            return False
        try:
            return self._write_to(copy, text.encode("utf-8", "backslashreplace"))
        except OSError:
            return False
        finally:
            os.close(copy)

    def _write_to(self, copy: int, data: bytes) -> bool:
        info = os.fstat(copy)
        if stat.S_ISSOCK(info.st_mode):
            return _send(copy, data)
        if fcntl.fcntl(copy, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            return False
        if stat.S_ISREG(info.st_mode):
            # The process's own description, so that its offset moves as if it had written the line itself.
            return self._writable(os.readlink(b"/proc/self/fd/%d" % copy)) and os.write(copy, data) == len(data)
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3):
            return True  # /dev/null: the process asked not to be told
        # A description of our own, which does not block; the process's stays as it is.
        fd = os.open(b"/proc/self/fd/%d" % copy, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return not (stat.S_ISCHR(info.st_mode) and _is_drawn_on(fd)) and os.write(fd, data) == len(data)
        finally:
            os.close(fd)


def _is_drawn_on(fd: int) -> bool:
    """A terminal without line editing belongs to a full-screen program; a line written there would be lost in it."""
    try:
        return not termios.tcgetattr(fd)[_LFLAG] & _ICANON
    except termios.error:
        return False


def _send(copy: int, data: bytes) -> bool:
    import socket

    with socket.socket(fileno=os.dup(copy)) as borrowed:
        return borrowed.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(data)
