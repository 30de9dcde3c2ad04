"""The control socket of a run: who may speak is asked of the kernel, and nothing here waits for anybody.

The socket lies in the run's folder, which is hidden from the run, and the run may connect to no UNIX socket that it
did not bind, unless ``hosts`` names it. What is checked here is the second lock: the peer's uid as the kernel gives
it, that it is not of the run, and that it is not more confined than whoever started the run. Every process of any run
has a filter and no_new_privs, for good, so that no run answers for another. A pidfd of the peer keeps its id from
meaning another process while that is asked.
"""

from __future__ import annotations

import operator
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from supervisor.kernel import process
from supervisor.operator.protocol import (
    BUSY,
    MAX_ORDER,
    SOCKET,
    Answer,
    MalformedError,
    Order,
    Who,
    answer_line,
    one_line,
    read_order,
)
from supervisor.vocabulary.errors import HostError

_CLIENTS = 8
_BACKLOG = 16
_ACCEPTS = 16  # connections that one turn takes in
_EVENTS = 16
_PATIENCE = 5.0  # seconds that a client has before another may take its place
_SO_PEERPIDFD = 77  # asm-generic/socket.h, 6.5
_UCRED = struct.Struct("=iII")
_REFUSALS = 16  # that are kept until they are taken


class _Client:
    __slots__ = ("asked", "buffer", "link", "pidfd", "since", "who")

    def __init__(self, link: socket.socket, pidfd: int, who: Who, since: float) -> None:
        self.link, self.pidfd, self.who, self.since = link, pidfd, who, since
        self.buffer = b""
        self.asked = False

    def is_there(self) -> bool:
        """Whether the process that connected still runs."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self.link.close()
        os.close(self.pidfd)


class Control:
    """``may`` is asked with the pid and uid of a peer whose uid is this process's or 0; False: not taken. ``starter``
    is a process as confined as whoever started the run, 0: the parent. Errors: ``HostError`` where no socket can be
    made."""

    def __init__(
        self,
        folder: Path,
        run: str,
        may: Callable[[int, int], bool],
        clock: Callable[[], float] = time.monotonic,
        starter: int = 0,
    ) -> None:
        self._run, self._may, self._clock = run, may, clock
        self._clients: dict[int, _Client] = {}
        self._refused: list[str] = []
        try:
            self._confinement = _confinement(starter or os.getppid())
            self._folder, self._listener, self._epoll = _open(folder)
            self._spare = os.dup(self._folder)
            self._inode = os.stat(SOCKET, dir_fd=self._folder, follow_symlinks=False).st_ino
        except (OSError, ValueError) as error:
            fix = "set XDG_STATE_HOME to a folder whose file system has sockets"
            raise HostError("the control socket of the run cannot be made", str(error), fix) from error

    def fileno(self) -> int:
        """Readable when there is something to do: call ``turn``."""
        return self._epoll.fileno()

    def turn(self) -> list[Order]:
        """Take in what has arrived. Each order waits for one ``reply``."""
        ready = [fd for fd, _ in self._epoll.poll(0, _EVENTS)]
        read = (self._read(fd) for fd in ready if fd in self._clients)
        orders = [order for order in read if order is not None]
        if self._listener.fileno() in ready:  # last: those who have spoken make room
            self._accept()
        return orders

    def reply(self, order: Order, answer: Answer) -> None:
        """Answer, and end the connection. Whoever does not listen any more hears nothing."""
        client = self._clients.get(order.ticket)
        if client is not None and client.asked:
            self._answer(order.ticket, answer)

    def refused(self) -> list[str]:
        """Who was turned away since the last call, in words, for the record; not all of them when there are many."""
        found, self._refused = self._refused, []
        return found

    def close(self) -> None:
        """Nobody can connect any more; the socket's name is gone."""
        for fd in list(self._clients):
            self._drop(fd)
        self._epoll.close()
        self._listener.close()
        try:
            if os.stat(SOCKET, dir_fd=self._folder, follow_symlinks=False).st_ino == self._inode:
                os.unlink(SOCKET, dir_fd=self._folder)
        except OSError:
            pass  # a name without a listener refuses every connection
        os.close(self._folder)
        if self._spare >= 0:
            os.close(self._spare)

    # -- connections --------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                link, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self._without_descriptor()
                return
            self._welcome(link)

    def _without_descriptor(self) -> None:
        """There is none for a connection: the one that is kept for that is used to end it."""
        try:
            if self._spare >= 0:
                os.close(self._spare)
                self._spare = -1
            self._listener.accept()[0].close()
            self._spare = os.dup(self._folder)
        except OSError:
            return  # the whole machine has none left: it is tried again

    def _welcome(self, link: socket.socket) -> None:
        with ExitStack() as undo:
            undo.callback(link.close)
            link.setblocking(False)
            try:
                pid, uid, _ = _UCRED.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
                pidfd = _pidfd(link, pid)
            except OSError:
                return  # it is gone already
            client = _Client(link, pidfd, Who(uid, pid, _name(pid)), self._clock())
            undo.pop_all()
        refusal = self._objection(client) or self._crowded()
        if refusal is not None:
            self._send(client, refusal)
            client.close()
            return
        self._clients[link.fileno()] = client
        self._epoll.register(link.fileno(), select.EPOLLIN)

    def _objection(self, client: _Client) -> Answer | None:
        """Whether the peer is not heard."""
        who = client.who
        told = "this run takes no orders from this process"
        try:
            known = who.uid in (os.geteuid(), 0) and who.pid > 0 and self._may(who.pid, who.uid)
            if known and any(map(operator.gt, _confinement(who.pid), self._confinement)):
                known, told = False, "it takes no orders from a process more confined than the one that started the run"
        except (OSError, ValueError):
            known = False
        # Only if it runs until here was it the one that was asked about.
        if known and client.is_there():
            return None
        if len(self._refused) < _REFUSALS:
            self._refused.append(f"refused: {who}")
        return Answer(False, "refused", told)

    def _crowded(self) -> Answer | None:
        if len(self._clients) < _CLIENTS:
            return None
        fd, oldest = next(iter(self._clients.items()))
        if self._clock() - oldest.since < _PATIENCE:
            return Answer(False, BUSY, f"{_CLIENTS} others speak to this run: try again")
        self._drop(fd)
        return None

    def _read(self, fd: int) -> Order | None:
        client = self._clients[fd]
        try:
            data = client.link.recv(MAX_ORDER + 1 - len(client.buffer))
        except BlockingIOError:
            return None
        except OSError:
            self._drop(fd)
            return None
        client.buffer += data
        line, newline, rest = client.buffer.partition(b"\n")
        if not newline and data and len(client.buffer) <= MAX_ORDER:
            return None  # the rest is on its way
        if not client.is_there():
            self._drop(fd)  # an order of somebody who did not stay to hear what became of it
            return None
        try:
            if not newline:
                raise MalformedError("an order is one line of JSON" if client.buffer else "nothing was said")
            if rest:
                raise MalformedError("one order for each connection")
            asked = read_order(line)
        except MalformedError as error:
            self._answer(fd, Answer(False, "malformed", str(error)))
            return None
        client.asked = True
        self._epoll.unregister(fd)
        return Order(asked, client.who, fd)

    def _answer(self, fd: int, answer: Answer) -> None:
        self._send(self._clients[fd], answer)
        self._drop(fd)

    def _send(self, client: _Client, answer: Answer) -> None:
        try:
            client.link.send(answer_line(self._run, answer), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except OSError:
            return  # gone, or there is no room: it hears a part of it, which is no answer

    def _drop(self, fd: int) -> None:
        client = self._clients.pop(fd)
        if not client.asked:
            self._epoll.unregister(fd)
        client.close()


def _open(folder: Path) -> tuple[int, socket.socket, select.epoll]:
    """The folder, the socket that listens in it, and what tells of both. Raises ``OSError``."""
    with ExitStack() as undo:
        at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        undo.callback(os.close, at)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        undo.callback(listener.close)
        os.fchmod(listener.fileno(), 0o600)  # the name gets the mode that the socket has when it is bound
        # Not by its path: a socket address has room for 107 bytes.
        listener.bind(f"/proc/self/fd/{at}/{SOCKET}")
        listener.listen(_BACKLOG)
        epoll = select.epoll()
        undo.callback(epoll.close)
        epoll.register(listener.fileno(), select.EPOLLIN)
        undo.pop_all()
    return at, listener, epoll


def _pidfd(link: socket.socket, pid: int) -> int:
    """A descriptor of the peer. Raises ``OSError`` when it is gone."""
    try:
        return link.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        # Before 6.5: the process that has the id now. It is looked at before and after it is asked about.
        return process.pidfd_open(pid)


def _confinement(pid: int) -> tuple[int, int]:
    """no_new_privs and the number of seccomp filters (proc(5), 5.9): neither ever goes down. Raises ``OSError`` or
    ``ValueError`` where they cannot be read."""
    with open(f"/proc/{pid}/status", "rb") as file:
        lines = file.read(16384).split(b"\n")
    found = {line.partition(b":")[0]: line.partition(b":")[2] for line in lines}
    if b"NoNewPrivs" not in found or b"Seccomp_filters" not in found:
        raise ValueError("the kernel does not say how confined a process is")
    return int(found[b"NoNewPrivs"]), int(found[b"Seccomp_filters"])


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return one_line(file.read(64).decode("utf-8", "replace").strip(), 16)
    except OSError:
        return ""
