"""The supervisor's side of the inspector: a process of its own, asked over a socket, replaced when it fails.

What it reads was written by the run, so a parser's crash or loop must not reach the supervisor, and no answer is taken
on trust. Whatever goes wrong is a refusal, never an empty finding.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from supervisor.inspection import serving, wire
from supervisor.inspection.looked import Look
from supervisor.inspection.wire import Traced
from supervisor.vocabulary.content import INSPECTOR_FAILED, Findings, Requirement, Wanted

_Answer = Findings | Traced | bytes | None
_CHUNK = 1 << 18
_MOST_TRIES = 2  # on the same content; a failure may be somebody else's doing
_MOST_FAILED = 256  # contents that are remembered
_LONGEST_REST = 60.0  # seconds
_PACKAGES = Wanted()


class _Child(NamedTuple):
    pid: int
    pidfd: int
    end: socket.socket

    def kill(self) -> None:
        """Ends and reaps the process. By descriptor: its number may have been reaped by another and used again."""
        self.end.close()
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:
            pass
        os.close(self.pidfd)


class Inspector:
    """``wanted``: what is asked of every file. ``deadline`` in seconds for each question, counted from the asking.
    After ``failures`` in a row (crashes, time-outs, garbled answers) everything is refused for ``rest`` seconds, then
    one more is let fail: longer each time, up to a minute. Not usable from two threads."""

    def __init__(
        self, wanted: Wanted = _PACKAGES, *, deadline: float = 5.0, failures: int = 5, rest: float = 2.0
    ) -> None:
        self._wanted = wanted
        self._deadline = deadline
        self._most_failures = failures
        self._rest = rest
        self._failures = 0
        self._rests_until = 0.0  # monotonic
        self._asked: dict[int, tuple[str, bytes]] = {}  # ticket -> kind and content, while it waits
        self._traced: set[int] = set()  # those of them that are asked by ``ask_traced``
        self._groups: dict[int, tuple[Look, ...]] = {}  # that the child has sent
        self._failed: OrderedDict[bytes, int] = OrderedDict()  # what the worker failed on -> how often
        self._child: _Child | None = None
        self._ticket = 0
        self._waiting: OrderedDict[int, float] = OrderedDict()  # ticket -> when it is overdue (monotonic)
        self._out = bytearray()
        self._in = bytearray()
        self._done: dict[int, _Answer] = {}
        self._left = frozenset[int]()  # tickets of ``ask`` whose answers nobody took yet

    def start(self) -> None:
        """Fork the worker, early, while the process is small and has one thread. Does nothing when it runs."""
        if self._child is None:
            self._child = _fork(self._wanted)

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def down(self) -> bool:
        """True while it rests because it failed too often."""
        return time.monotonic() < self._rests_until

    def close(self) -> None:
        """End the worker. Open questions are refused."""
        self._end_child("it was closed")

    # Synchronous.

    def inspect(self, kind: str, path: bytes, content: bytes) -> Findings:
        """``path`` is a name for kept trees, nothing is opened."""
        found = self._wait(self._send(wire.INSPECT, kind, path, content, ()))
        return found if isinstance(found, Findings) else Findings(refusal=f"{INSPECTOR_FAILED}: a wrong answer")

    def without(self, kind: str, content: bytes, drop: Collection[Requirement]) -> bytes | None:
        """The manifest without exactly ``drop``; None when the whole file has to go back (``remove.without``)."""
        found = self._wait(self._send(wire.WITHOUT, kind, b"", content, drop))
        return found if isinstance(found, bytes) and len(found) <= len(content) else None

    # In a loop: wait for ``fileno`` to become readable (writable too while ``unsent``), then ``answers``.

    def ask(self, kind: str, path: bytes, content: bytes) -> int:
        """A ticket, by which ``answers`` tells the findings."""
        ticket = self._send(wire.INSPECT, kind, path, content, ())
        self._left |= {ticket}
        return ticket

    def fileno(self) -> int:
        """The descriptor to wait for; another one after a failure. -1 when there is no worker."""
        return -1 if self._child is None else self._child.end.fileno()

    @property
    def unsent(self) -> bool:
        return bool(self._out)

    @property
    def due(self) -> float | None:
        """When (monotonic seconds) ``answers`` has to be called at the latest: the oldest question is then overdue."""
        return next(iter(self._waiting.values()), None)

    def answers(self) -> list[tuple[int, Findings]]:
        """What has been answered since, without waiting. Overdue questions are refused here."""
        return [(ticket, found) for ticket, found in self._ready() if isinstance(found, Findings)]

    def ask_traced(self, kind: str, path: bytes, content: bytes) -> int:
        """As ``ask``, for who wants to know later whether the answer would still be the same."""
        ticket = self._send(wire.TRACED, kind, path, content, ())
        self._left |= {ticket}
        return ticket

    def traced(self) -> list[tuple[int, Traced]]:
        """The answers to that, as ``answers`` gives the others: one of the two is used with an inspector."""
        found = ((ticket, Traced(each, None) if isinstance(each, Findings) else each) for ticket, each in self._ready())
        return [(ticket, each) for ticket, each in found if isinstance(each, Traced)]

    def _ready(self) -> list[tuple[int, _Answer]]:
        self._exchange()
        due = self.due
        if due is not None and time.monotonic() >= due:
            self._fail(f"no answer within {self._deadline} s")
        ready = sorted(self._left & self._done.keys())
        self._left -= set(ready)
        return [(ticket, self._done.pop(ticket)) for ticket in ready]

    # The exchange.

    def _send(self, asked: int, kind: str, path: bytes, content: bytes, drop: Collection[Requirement]) -> int:
        self._ticket = self._ticket % 0xFFFFFFF0 + 1
        ticket = self._ticket
        if self.down:
            self._done[ticket] = _refused("it failed too often, and is tried again soon")
            return ticket
        if self._failed and self._failed.get(_digest(kind, content), 0) >= _MOST_TRIES:
            self._done[ticket] = _refused("it failed on this content before")
            return ticket
        try:
            frame = wire.question(ticket, asked, kind, path, content, drop)
        except wire.Garbled as error:
            self._done[ticket] = _refused(str(error))
            return ticket
        try:
            self.start()
        except OSError as error:
            self._count()
            self._done[ticket] = _refused(f"it cannot be started: {error}")
            return ticket
        self._out += frame
        self._asked[ticket] = (kind, content)
        if asked == wire.TRACED:
            self._traced.add(ticket)
        self._waiting[ticket] = time.monotonic() + self._deadline
        self._exchange()
        return ticket

    def _wait(self, ticket: int) -> _Answer:
        while ticket not in self._done:
            self._exchange()
            if ticket in self._done:
                break
            due = self.due
            child = self._child
            assert due is not None
            assert child is not None
            left = due - time.monotonic()
            if left <= 0:
                self._fail(f"no answer within {self._deadline} s")
                break
            poll = select.poll()
            poll.register(child.end, select.POLLIN | (select.POLLOUT if self._out else 0))
            poll.poll(left * 1000)
        return self._done.pop(ticket)

    def _exchange(self) -> None:
        """Send and receive what is possible at once. Whatever goes wrong ends the child."""
        child = self._child
        if child is None:
            return
        try:
            self._write(child.end)
            self._read(child.end)
        except wire.Garbled as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"it is gone ({error.strerror or error})")

    def _write(self, end: socket.socket) -> None:
        while self._out:
            try:
                sent = end.send(memoryview(self._out)[:_CHUNK], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            del self._out[:sent]

    def _read(self, end: socket.socket) -> None:
        while True:
            try:
                data = end.recv(_CHUNK)
            except BlockingIOError:
                return
            if not data:
                raise OSError("end of stream")
            self._in += data
            self._take()

    def _take(self) -> None:
        """Whole frames out of what was received. Answers come in the order of the questions."""
        while len(self._in) >= wire.HEAD.size:
            size, ticket = wire.HEAD.unpack_from(self._in)
            if size > wire.MOST_ANSWER or ticket != next(iter(self._waiting), None):
                raise wire.Garbled("an answer to no question, or too large a one")
            if len(self._in) < wire.HEAD.size + size:
                return
            body = bytes(self._in[wire.HEAD.size : wire.HEAD.size + size])
            del self._in[: wire.HEAD.size + size]
            if ticket in self._traced:
                self._done[ticket] = wire.read_traced(body, self._groups)
                self._traced.discard(ticket)
            else:
                self._done[ticket] = wire.read_answer(body)
            del self._waiting[ticket], self._asked[ticket]
            self._failures = 0

    def _fail(self, why: str) -> None:
        self._count()
        oldest = next(iter(self._waiting), None)
        if oldest is not None:  # the one that was being worked on
            digest = _digest(*self._asked[oldest])
            self._failed[digest] = self._failed.pop(digest, 0) + 1
            if len(self._failed) > _MOST_FAILED:
                self._failed.popitem(last=False)
        self._end_child(why)

    def _count(self) -> None:
        self._failures += 1
        beyond = self._failures - self._most_failures
        if beyond >= 0:
            self._rests_until = time.monotonic() + min(self._rest * 2 ** min(beyond, 10), _LONGEST_REST)

    def _end_child(self, why: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
        for ticket in self._waiting:
            self._done[ticket] = _refused(why)
        self._waiting.clear()
        self._asked.clear()
        self._traced.clear()
        self._groups.clear()
        self._out.clear()
        self._in.clear()


def _refused(why: str) -> Findings:
    return Findings(refusal=f"{INSPECTOR_FAILED}: {why}"[:400])


def _digest(kind: str, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16, person=kind.encode()[:16]).digest()


def _fork(wanted: Wanted) -> _Child:
    """``OSError`` when there is no process to be had."""
    mine, theirs = socket.socketpair()
    pid = -1
    try:
        pid = os.fork()
        if pid == 0:
            try:
                mine.detach()  # closed with all others by ``serve``
                serving.serve(theirs, wanted)
            finally:
                os._exit(0)
        mine.setblocking(False)
        return _Child(pid, os.pidfd_open(pid), mine)
    except OSError:
        mine.close()  # at which the child ends, if there is one
        raise
    finally:
        theirs.close()
