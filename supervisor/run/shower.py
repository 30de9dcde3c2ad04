"""Processes that show contracts while a run goes on: forked before anything of the run exists, asked over a socket, one
question after the other. The supervisor never waits for one.

Whatever goes wrong is an answer that is missing, and a missing answer is no yes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterable
from typing import NamedTuple

from supervisor.invariants.contract import Contract, Shown
from supervisor.kernel import scheduling
from supervisor.run.frozen import Unsettled

_MOST = 1 << 20  # bytes of one answer
_NICE = 5
# What came of each contract that is shown on a commit, or on the tree as it stands (""). ``alive``: whether anybody
# still waits for it. Errors: ``Unsettled``.
Show = Callable[[str, Callable[[], bool]], Iterable[Shown]]


class Answer(NamedTuple):
    """``shown`` None: the tree did not stand still. ``commit``: what was asked of, empty: the tree."""

    commit: str
    shown: tuple[Shown, ...] | None


class Shower:
    """``contracts`` are those that it shows. Errors: OSError when there is no process to be had."""

    def __init__(self, contracts: Iterable[Contract], show: Show) -> None:
        self.contracts = {each.id: each for each in contracts}
        self._buffer = b""
        self._asked: list[str] = []
        mine, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            mine.close()
            theirs.close()
            raise
        if pid == 0:
            try:
                mine.detach()  # closed with all others
                _serve(theirs, show)
            finally:
                os._exit(0)
        theirs.close()
        mine.setblocking(False)
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._end: socket.socket | None = mine

    def is_down(self) -> bool:
        """Whether it shows nothing any more."""
        return self._end is None

    def fileno(self) -> int:
        """Readable when there is something to be taken up; -1 when it is down."""
        return self._end.fileno() if self._end is not None else -1

    def ask(self, commit: str = "") -> bool:
        """Whether the question was sent."""
        if self._end is None:
            return False
        question = (json.dumps(commit) + "\n").encode("ascii")
        try:
            # All or nothing: it is small, and what does not fit shows that nothing is taken up any more.
            sent = self._end.send(question, socket.MSG_NOSIGNAL)
        except OSError:
            return False
        if sent != len(question):
            self.close()
            return False
        self._asked.append(commit)
        return True

    def answers(self) -> list[Answer]:
        """What has been answered since; what it ended over is missing."""
        found: list[Answer] = []
        while self._end is not None:
            try:
                data = self._end.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._buffer += data
            if not data or len(self._buffer) > _MOST:
                self.close()
                break
            *lines, self._buffer = self._buffer.split(b"\n")
            try:
                found += [self._read(line) for line in lines]
            except (ValueError, TypeError, KeyError, IndexError):
                self.close()
        return found

    def _read(self, line: bytes) -> Answer:
        commit = self._asked.pop(0)
        told = json.loads(line)
        if told is None:
            return Answer(commit, None)
        shown = tuple(
            Shown(self.contracts[ident], passed is True, detail, state, said)
            for ident, passed, detail, state, said in told
        )
        if {each.contract.id for each in shown} != self.contracts.keys():
            raise ValueError("an answer that tells not of all contracts")
        return Answer(commit, shown)

    def close(self) -> None:
        """End it, and what it has begun is ended by whoever ends the run."""
        if self._end is None:
            return
        self._end.close()
        self._end = None
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            pass  # the loop has reaped it
        os.close(self._pidfd)
        self.pid = 0


def _serve(end: socket.socket, show: Show) -> None:
    """Runs in the child, and returns when the other side is gone."""
    _settle(end.fileno())

    def alive() -> bool:
        poll = select.poll()
        poll.register(end, select.POLLRDHUP)
        return not poll.poll(0)

    buffer = b""
    while data := end.recv(1 << 16):
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if not alive():
                return
            end.sendall(_answer(json.loads(line), show, alive))


def _answer(commit: str, show: Show, alive: Callable[[], bool]) -> bytes:
    try:
        told = [(each.contract.id, each.passed, each.detail, each.state, each.said) for each in show(commit, alive)]
    except Unsettled:
        return b"null\n"
    return (json.dumps(told) + "\n").encode("ascii")


def _settle(kept: int) -> None:
    """Nothing of the supervisor stays open or caught here; signals of the terminal are for the supervisor to act on."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    scheduling.prefer(_NICE)
    os.closerange(3, kept)
    os.closerange(kept + 1, 0x7FFFFFFF)


__all__ = ["Answer", "Show", "Shower"]
