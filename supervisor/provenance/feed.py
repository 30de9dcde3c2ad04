"""The supervisor's end of the publisher: started at the first ref change, never waited for while the run goes on."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from supervisor.journal.codec import encode
from supervisor.provenance.progress import problems
from supervisor.vocabulary.errors import StopRun

_PIPE = 1 << 20
_NEEDED = 5  # two ends of a pipe, /dev/null, the pidfd, one to spare
_MAX_WAITING = 64 << 20


def last_problem(run_dir: Path) -> str:
    """What the publisher put down last of what it could not do, empty when there is nothing."""
    return (problems(run_dir) or [""])[-1][:400]


def reserve() -> list[int]:
    """Descriptors for a feed that starts later, when the run may have left none."""
    return [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(_NEEDED)]


class Feed:
    """One publisher process for the run in ``run_dir``, with the user's ``umask``: the supervisor has none. Lines that
    its pipe does not take at once wait here. ``reserved`` is closed to make room for it.

    Raises ``StopRun`` when it cannot be started. ``fileno`` is for a loop that wants to know when ``pump`` can go on
    (only while ``waiting``).
    """

    def __init__(self, run_dir: Path, umask: int = 0o022, reserved: Iterable[int] = ()) -> None:
        for fd in reserved:
            os.close(fd)
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            before = os.umask(umask)
            try:
                self.pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", "-m", "supervisor.provenance.publish", str(run_dir)],
                    {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, read, 0),
                        (os.POSIX_SPAWN_DUP2, null, 1),
                        (os.POSIX_SPAWN_DUP2, null, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=(signal.SIGPIPE, signal.SIGTERM),
                )
            finally:
                os.umask(before)
                os.close(null)
        except OSError as error:
            os.close(write)
            raise StopRun("cannot start the publisher of notes", str(error)) from error
        finally:
            os.close(read)
        os.set_blocking(write, False)
        try:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE)
        except OSError:
            pass  # the user's pipe quota is used up: more lines wait here
        self._pidfd = os.pidfd_open(self.pid)
        self._write = write
        self._queue = bytearray()
        self.lost = False
        self.killed = False  # it ended without an exit status of its own; known once ``wait`` has been called

    def fileno(self) -> int:
        return self._write

    @property
    def waiting(self) -> bool:
        return bool(self._queue) and not self.lost

    def send(
        self,
        ref: str,
        commit: str,
        *,
        counts: Mapping[str, int],
        decisions: Mapping[str, int],
        upto: int,
        seconds: float,
        fetched: bool = False,
    ) -> None:
        """A ref moved to ``commit``; ``fetched``: by a git that exchanged commits with another repository. Never blocks
        and never raises: ``lost`` says that the publisher is gone."""
        message = {
            "ref": ref,
            "commit": commit,
            "counts": counts,
            "decisions": decisions,
            "upto": upto,
            "seconds": seconds,
            "fetched": fetched,
        }
        self._put(encode(message))

    def foreign(self, commit: str) -> None:
        """``commit``, and what it rests on, was not made by this run. As ``send``."""
        self._put(encode({"foreign": commit}))

    def end(self, told: Mapping[str, object]) -> None:
        """The last word, as ``end`` of ``meta.json`` has it, with the ``decisions`` of the whole run."""
        self._put(encode({"end": dict(told)}))

    def _put(self, line: str) -> None:
        self._queue += line.encode("ascii") + b"\n"
        if len(self._queue) > _MAX_WAITING:
            self.lost = True
        self.pump()

    def pump(self) -> None:
        """Write what the pipe takes now."""
        while self._queue and not self.lost:
            try:
                done = os.write(self._write, memoryview(self._queue)[: 1 << 16])
            except BlockingIOError:
                return
            except OSError:
                self.lost = True
                return
            del self._queue[:done]

    def leave(self) -> None:
        """After ``end``: hand over the rest and let the process finish by itself."""
        self.pump()
        os.close(self._write)
        os.close(self._pidfd)

    def wait(self, timeout: float) -> bool:
        """After ``end``: hand over the rest, close the pipe, wait. True when it reported that all is written.

        False after ``timeout`` seconds (it is then left to finish by itself) and when it failed.
        """
        deadline = time.monotonic() + timeout
        while self.waiting and (rest := deadline - time.monotonic()) > 0:
            select.select([], [self._write], [], rest)
            self.pump()
        complete = not self._queue and not self.lost
        os.close(self._write)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        ended = poll.poll(max(0, int((deadline - time.monotonic()) * 1000)))
        try:
            info = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG) if ended else None
        except ChildProcessError:
            info = None  # reaped elsewhere: its own record in notes.jsonl tells
        os.close(self._pidfd)
        self.killed = bool(ended) and (info is None or info.si_code != os.CLD_EXITED)
        return complete and info is not None and info.si_code == os.CLD_EXITED and info.si_status == 0
