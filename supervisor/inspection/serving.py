"""The worker process: answers questions until its socket ends. Everything heavy is imported here and only here."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from supervisor.inspection import kinds, wire
from supervisor.inspection.limits import Overdue, allowance
from supervisor.kernel import scheduling
from supervisor.vocabulary.content import Findings, Wanted

_GRACE = 0.3  # seconds

_STACK = 120 << 20  # the kernel leaves at least 128 MiB below a stack for it to grow


def serve(end: socket.socket, wanted: Wanted) -> None:
    """Runs in the child of a fork and returns when the other side is gone. Never raises for what a file contains."""
    _settle(end.fileno())
    from supervisor.inspection import reading, remove
    from supervisor.inspection.parsing import Parsers

    tools = reading.Tools(Parsers(), wanted)
    tools.parsers.warm()
    told: set[int] = set()
    gc.freeze()
    while True:
        head = _exactly(end, wire.HEAD.size)
        if head is None:
            return
        size, ticket = wire.HEAD.unpack(head)
        body = _exactly(end, size) if size <= wire.MOST_QUESTION else None
        if body is None:
            return
        asked, kind, path, drop, content = wire.read_question(body)
        found: Findings | bytes | None = None
        if asked == wire.TRACED:
            tools.resolver.begin()  # some kinds have no references
        try:
            with _limited(kind, len(content)):
                if asked == wire.WITHOUT:
                    found = remove.without(kind, content, drop)
                else:
                    found = reading.inspect(kind, path, content, tools)
        except Overdue as error:
            found = None if asked == wire.WITHOUT else Findings(refusal=str(error))
        if asked == wire.TRACED and isinstance(found, Findings) and not found.refusal:
            end.sendall(wire.traced(ticket, found, tools.resolver.looked(), told))
        else:
            end.sendall(wire.answer(ticket, found))


@contextmanager
def _limited(kind: str, size: int) -> Iterator[None]:
    """``Overdue`` some time after the parser should have stopped by itself: for all that is not the parser. Locks are
    large and have the whole time that the other side waits."""
    seconds = 0.0 if kinds.is_lock(kind) else allowance(size) + _GRACE

    def stop(_: int, __: FrameType | None) -> None:
        raise Overdue(f"it takes more than {seconds:.1f} s of processor time to read")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _settle(kept: int) -> None:
    """Nothing of the supervisor stays open or caught here. Signals of the terminal are for the supervisor to act on;
    this process ends when its socket does."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    scheduling.prefer(0)  # the whole run waits for its answers
    # The parser recurses where it compares two readings of a deeply nested text.
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK if hard < 0 else min(_STACK, hard), hard))
    os.closerange(3, kept)
    os.closerange(kept + 1, 0x7FFFFFFF)


def _exactly(end: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        data = end.recv(min(size, 1 << 20))
        if not data:
            return None
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
