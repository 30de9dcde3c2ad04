"""What the run uses: tasks, memory, processor time, bytes written. Measured by a process of its own.

It walks /proc, or asks the run's cgroup where there is one, and tells the supervisor only what has gone above its
limit: nothing of this is done in the supervisor's loop. What it reads may make it wait; the supervisor never does.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from supervisor.kernel import process as kernel
from supervisor.vocabulary.errors import StopRun

_LEAST, _LONGEST = 0.1, 1.0  # seconds between two looks
_SHARE = 50  # a look takes at most one part in so many of a processor
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")
_TOTALS = ("cpu", "disk")  # that only grow
_UNMEASURED = "what the run uses is not measured any more"
AGAIN = b"again\n"


class Seen(NamedTuple):
    """One process at a look: fields of ``/proc/PID/stat`` (proc(5)), ``time`` in ticks and with that of children that
    were waited for."""

    pid: int
    parent: int
    start: int
    tasks: int
    time: int
    pages: int


class Meter:
    """``most``: key -> limit. ``held``: those that the kernel holds; of them it is told that it had to. ``group``: the
    folder of the run's cgroup, empty where it has none. Errors: ``StopRun``."""

    def __init__(self, most: Mapping[str, float], held: frozenset[str], group: str) -> None:
        self._end, other = socket.socketpair()
        supervisor = os.getpid()
        try:
            self.pid = os.fork()
        except OSError as error:
            raise StopRun("what the run uses cannot be measured", str(error)) from error
        if self.pid == 0:
            try:
                _serve(other, Measuring(most, held, group, supervisor), supervisor)
            finally:
                os._exit(0)
        self._pidfd = os.pidfd_open(self.pid)
        other.close()
        self._end.setblocking(False)
        self._rest = b""

    def fileno(self) -> int:
        return self._end.fileno()

    def told(self) -> Iterator[tuple[str, float]]:
        """(key, amount) of what has crossed its limit; ``KEY.refused``: the kernel held it, so often. Each once, until
        ``again``. Errors: ``StopRun`` when nobody measures any more."""
        try:
            data = self._end.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it ended before it had read all that it was asked (unix(7))
            data = b""
        if not data:
            raise StopRun(_UNMEASURED, "the process that did has ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            key, _, amount = line.decode().partition(" ")
            yield key, float(amount)

    def again(self) -> None:
        """Tell it once more; processor time and bytes written count from here. Errors: ``StopRun``."""
        try:
            self._end.send(AGAIN)
        except OSError as error:
            raise StopRun(_UNMEASURED, str(error)) from error

    def close(self) -> None:
        self._end.close()
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended, and was reaped with others
        os.close(self._pidfd)


class Measuring:
    """Looks at the processes below ``supervisor``, but for its own helpers."""

    def __init__(self, most: Mapping[str, float], held: frozenset[str], group: str, supervisor: int) -> None:
        self._most, self._held, self._group, self._supervisor = most, held, group, supervisor
        self._from = dict.fromkeys(_TOTALS, 0.0)
        self._totals = {key: _Total(supervisor) for key in _TOTALS}
        self._spoken: set[str] = set()
        self._refused: dict[str, float] = {}
        self._filters = _filters(supervisor)
        self._ours: dict[tuple[int, int], bool] = {}

    def crossed(self) -> Iterator[tuple[str, float]]:
        """What is above its limit now, and has not been told."""
        seen = list(self._members()) if any(key not in self._held for key in self._most) else []
        for key, most in self._most.items():
            if key in self._held:
                yield from self._refusals(key)
                continue
            amount = self._amount(key, seen)
            if amount > most and key not in self._spoken:
                self._spoken.add(key)
                yield key, amount

    def again(self) -> None:
        self._spoken.clear()
        for key in _TOTALS:
            self._from[key] = self._totals[key].total

    def _amount(self, key: str, seen: list[Seen]) -> float:
        match key:
            case "processes":
                return sum(each.tasks for each in seen)
            case "memory":
                return self._memory(seen)
            case "cpu":
                spent = {(each.pid, each.start): (each.parent, each.time / _TICKS) for each in seen}
                exact = _field(f"{self._group}/cpu.stat", b"usage_usec") if self._group else None
                total = self._totals[key].now(spent) if exact is None else self._totals[key].exactly(exact / 1e6)
            case _:
                written = {(each.pid, each.start): (each.parent, float(_written(each.pid))) for each in seen}
                total = self._totals[key].now(written)
        return total - self._from[key]

    def _memory(self, seen: list[Seen]) -> float:
        resident = sum(each.pages for each in seen) * _PAGE
        if resident <= self._most["memory"]:
            return resident  # what is shared is in it more than once
        import psutil

        total = 0
        for each in seen:
            try:
                total += psutil.Process(each.pid).memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                total += each.pages * _PAGE
        return total

    def _refusals(self, key: str) -> Iterator[tuple[str, float]]:
        name, field = ("pids.events", b"max") if key == "processes" else ("memory.events", b"oom_kill")
        count = _field(f"{self._group}/{name}", field) or 0.0
        before = self._refused.setdefault(key, 0.0)
        if count > before and key not in self._spoken:
            self._spoken.add(key)
            yield f"{key}.refused", count - before
        self._refused[key] = count

    # -- who belongs to the run ---------------------------------------------------------------------------------

    def _members(self) -> Iterator[Seen]:
        if self._group:
            found = (_seen(int(word)) for word in _text(f"{self._group}/cgroup.procs").split())
            yield from (each for each in found if each is not None)
            return
        import psutil

        below: dict[int, list[Seen]] = {}
        for pid in psutil.pids():
            each = _seen(pid)
            if each is not None:
                below.setdefault(each.parent, []).append(each)
        known = {}
        pending = []
        for each in below.get(self._supervisor, ()):
            key = each.pid, each.start
            # Asked again of those that are not: the run's first process is one of them until its filter is loaded.
            known[key] = self._ours.get(key, False) or self._is_of_run(each.pid)
            if known[key]:
                pending.append(each)
        self._ours = known
        while pending:
            each = pending.pop()
            yield each
            pending.extend(below.get(each.pid, ()))

    def _is_of_run(self, pid: int) -> bool:
        """Processes of the run have a filter more than the supervisor and its helpers."""
        found = _filters(pid)
        return found is None or self._filters is None or found > self._filters


class _Total:
    """A sum over processes that come and go. Who is waited for leaves its part to its parent; who has lost that is
    waited for by the supervisor, and its part is kept here. It never falls."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._before: dict[tuple[int, int], tuple[int, float]] = {}
        self._gone = 0.0
        self.total = 0.0

    def now(self, found: dict[tuple[int, int], tuple[int, float]]) -> float:
        for key, (parent, value) in self._before.items():
            if parent == self._supervisor and key not in found:
                self._gone += value
        self._before = found
        live = sum(value for _, value in found.values())
        if live + self._gone < self.total:
            self._gone = self.total - live  # somebody ended whose parent does not take its part over
        self.total = live + self._gone
        return self.total

    def exactly(self, total: float) -> float:
        self.total = total
        return total


def tasks_of(user: int) -> int:
    """How many processes and threads a user has."""
    import psutil

    total = 0
    for pid in psutil.pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == user and (found := _seen(pid)) is not None:
                total += found.tasks
        except OSError:
            continue
    return total


def _seen(pid: int) -> Seen | None:
    text = _text(f"/proc/{pid}/stat")
    words = text[text.rfind(b")") + 2 :].split()
    if len(words) < 22:
        return None  # gone
    spent = sum(int(word) for word in words[11:15])
    return Seen(pid, int(words[1]), int(words[19]), max(1, int(words[17])), spent, int(words[21]))


def _written(pid: int) -> int:
    path = f"/proc/{pid}/io"
    return int((_field(path, b"write_bytes:") or 0) - (_field(path, b"cancelled_write_bytes:") or 0))


def _filters(pid: int) -> float | None:
    """How many seccomp filters a process has (Linux 5.9)."""
    return _field(f"/proc/{pid}/status", b"Seccomp_filters:")


def _field(path: str, name: bytes) -> float | None:
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return float(words[1])
    return None


def _text(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""


# ------------------------------------------------------------------------------------------------- the process itself


def _serve(end: socket.socket, measuring: Measuring, supervisor: int) -> None:
    """Until the supervisor is gone, or closes its end."""
    _settle(end.fileno())
    if os.getppid() != supervisor:
        return
    poll = select.poll()
    poll.register(end, select.POLLIN)
    while True:
        began = time.monotonic()
        for key, amount in measuring.crossed():
            end.sendall(f"{key} {amount:.3f}\n".encode())
        took = time.monotonic() - began
        if poll.poll(min(_LONGEST, max(_LEAST, _SHARE * took)) * 1000):
            if not end.recv(4096):
                return
            measuring.again()


def _settle(kept: int) -> None:
    """Nothing of the supervisor stays open or caught here. Signals of the terminal are for the supervisor to act on."""
    kernel.die_with_parent(signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.freeze()
    os.closerange(0, kept)
    os.closerange(kept + 1, 0x7FFFFFFF)
