"""Reasons, where the agent reads them: on the standard error of the process that was refused.

Never blocks and never writes into a governed file: pipes and terminals are reopened without blocking, sockets are sent
to without waiting, regular files are written only where their content is not judged. What cannot be told at once is
told on the next command's standard error.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import termios
import time
from collections.abc import Callable

from supervisor.kernel import process
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Match, Verdict

_MOST_QUEUED = 64
_MOST_TOLD = 4096
_COMMANDS = 3  # that hear what the agent was refused; it reads some of them itself, to get to know its shell
_MOST_ALIKE = 5  # processes in a row that are told the same of one folder
_QUIET = 60.0  # seconds after which it is told again
# What rules about paths say of every name in a folder alike.
_ALIKE = re.compile(
    r"(?P<folder>(?:.*?/)??)[^/]*"
    r"(?P<says> (?:is outside the write scope|was there before this run|is hidden from this run|is protected \(.*\))"
    r"|: its folder .* was there before this run)",
    re.DOTALL,
)
_ICANON, _LFLAG = termios.ICANON, 3


def reason(match: Match, effect: Effect, verb: str = "") -> str:
    """One line: what happened (``verb``, else in the words of the effect), which invariant, which decision, what to do
    instead."""
    rule = match.invariant
    return _line(f"{verb or _VERBS[effect]} by {rule.id}{_source(rule)}: {match.message}", match)


def noted(match: Match, path: bytes, *, diverges: bool) -> str:
    """One line about a file that breaks a rule and is left as it is: somebody else changed it, or (``diverges``) it is
    not as the run left it."""
    how = "is not as the run left it" if diverges else "was changed by somebody else"
    name = _named_first(match.message, path.decode("utf-8", "backslashreplace"))
    told = f"{name} {how} and now{match.message[len(name) :]}" if name else f"{match.message}; it {how}"
    return _line(f"{match.invariant.id}{_source(match.invariant)}: {told} (left alone)", match)


def _named_first(message: str, path: str) -> str:
    """The part of ``path`` that ``message`` begins with, empty when it begins with something else."""
    while path:
        if message.startswith(path + " "):
            return path
        path = path.partition("/")[2]
    return ""


def _source(rule: Invariant) -> str:
    return f" ({rule.source})" if rule.source not in ("", "govrun") else ""


def _line(told: str, match: Match) -> str:
    rule = match.invariant
    parts = [f"govrun: {told}"]
    if rule.why and match.message != rule.why and not match.message.endswith(f": {rule.why}"):
        parts.append(f"why: {rule.why}")
    if rule.adr:
        parts.append(f"decision: ADR {rule.adr}")
    if rule.use:
        parts.append(f"instead: {rule.use}")
    return safe(" · ".join(parts))


def with_more(line: str, more: str) -> str:
    """A reason and what belongs to it, such as a difference, as lines without a newline at the end."""
    return "\n".join((line, *(f"  {part}" for part in more.splitlines())))


_VERBS = {
    Effect.OBSERVE: "observed",
    Effect.WARN: "warning",
    Effect.ASK: "denied, not approved,",
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


class _Queued:
    """``told``: (device, inode) of each standard error where it was told already; ``left``: how many more commands
    hear of it; ``again``: being told does not settle it."""

    __slots__ = ("again", "left", "text", "told")

    def __init__(self, text: str, told: tuple[int, int] | None, again: bool) -> None:
        self.text, self.told, self.again = text, {told}, again
        self.left = _COMMANDS if again else 1


class Explainer:
    """``writable`` says whether a regular file at a path may be written to by govrun (nothing judges its content).
    ``clock`` counts seconds.

    What cannot be written is queued for the next command, and the caller says it on govrun's own standard error, so the
    queue does not tell it there again."""

    def __init__(self, writable: Callable[[bytes], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._writable = writable
        self._clock = clock
        self._queue: list[_Queued] = []
        self._told: set[tuple[int, str, str]] = set()
        self._hints: dict[str, float] = {}
        self._folders: dict[tuple[str, str], tuple[int, float]] = {}  # how often told, and when it was last asked for

    def tell(self, tid: int, tgid: int, verdict: Verdict, *, again: bool = False) -> bool:
        """Tell the process why. True when it was written where the process can be read, or need not be told again: once
        per violation and process, where a rule about paths refuses every name of a folder alike that is one violation.
        Many processes in a row are told so of one folder only a few times. ``again``: nobody may read it there, so it
        is told with the next commands too; the first of them may be the agent's own."""
        first = verdict.matches[0]
        what = (first.invariant.id, first.message)
        alike = _ALIKE.fullmatch(first.message)
        if alike is not None:
            what = (first.invariant.id, alike["folder"] + alike["says"])
        key = (tgid, *what)
        if key in self._told or (alike is not None and self._is_noise(what)):
            return True
        if len(self._told) > _MOST_TOLD:
            self._told.clear()
        self._told.add(key)
        line = reason(first, verdict.effect)
        written = self._write(tid, line + "\n")
        if again or not written:
            told = line.replace("govrun: ", "govrun: earlier: ", 1) if again else line
            self._put(told, _stderr_of(tid) if written else _own(), again)
        return written

    def notice(self, tid: int, line: str) -> bool:
        """Something that is no verdict: that a program cannot do its work in a run, and what to do. True when it was
        written."""
        return self._write(tid, safe(line) + "\n")

    def hint(self, tid: int, line: str) -> None:
        """Tell a process what it should know, once in a while: nothing was refused, so nothing is queued."""
        now = self._clock()
        if now - self._hints.get(line, -_QUIET) >= _QUIET and self._write(tid, line + "\n"):
            self._hints[line] = now

    def _is_noise(self, folder: tuple[str, str]) -> bool:
        now = self._clock()
        count, last = self._folders.get(folder, (0, now))
        if now - last > _QUIET:
            count = 0
        if len(self._folders) > _MOST_TOLD:
            self._folders.clear()
        self._folders[folder] = (count + 1, now)
        return count >= _MOST_ALIKE

    def _put(self, text: str, told: tuple[int, int] | None, again: bool = False) -> None:
        if len(self._queue) < _MOST_QUEUED:
            self._queue.append(_Queued(text + "\n", told, again))

    def tell_later(self, line: str, more: str, pid: int) -> bool:
        """Tell of something that was taken back after it had been written: to the process that wrote it (``pid``, 0
        when it is gone) and with the next command, since an agent that edits files in its own process does not read
        its own standard error. Not twice to one open file. True when it could be written at once; else the caller says
        ``with_more(line, more)``."""
        text = with_more(line, more)
        at = _stderr_of(pid) if pid else None
        written = pid > 0 and self._write(pid, text + "\n")
        self._put(text, at if written else _own())
        return written

    def flush_to(self, tid: int) -> None:
        """Write what is queued to the standard error of a command that starts now."""
        if not self._queue:
            return
        at = _stderr_of(tid)
        if at is not None and at == _inode(os.devnull):
            return  # thrown away: the next one may be read
        for queued in list(self._queue):  # one by one: a pipe may take a part only
            known = at is not None and at in queued.told
            if not known and not self._write(tid, queued.text):
                return
            queued.told.add(at)
            queued.left -= not (known and queued.again)
            if not queued.left:
                self._queue.remove(queued)

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
            return not (stat.S_ISCHR(info.st_mode) and is_drawn_on(fd)) and os.write(fd, data) == len(data)
        finally:
            os.close(fd)


def _stderr_of(tid: int) -> tuple[int, int] | None:
    """What standard error of a process is, so that nothing is told twice there."""
    return _inode(f"/proc/{tid}/fd/2")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _own() -> tuple[int, int] | None:
    return _stderr_of(os.getpid())


def is_drawn_on(fd: int) -> bool:
    """A terminal without line editing belongs to a full-screen program, or to a shell at its prompt: a line that is
    written there tears what they have drawn."""
    try:
        return not termios.tcgetattr(fd)[_LFLAG] & _ICANON
    except termios.error:
        return False


def _send(copy: int, data: bytes) -> bool:
    import socket

    with socket.socket(fileno=os.dup(copy)) as borrowed:
        return borrowed.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(data)
