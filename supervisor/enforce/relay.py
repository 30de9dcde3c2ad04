"""A process between a run and the user's agent: hands on what ``agents`` lets through, one child a connection.

It is forked before anything of the run exists and ends with the supervisor. Its listener has an abstract name, which
has no permissions, so it serves the supervisor alone: that is who connects for the run, and the kernel tells (unix(7),
SO_PEERCRED).
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from supervisor.enforce import agents
from supervisor.kernel import process

_MOST_MESSAGE = 256 << 10  # what ssh-agent itself takes
_MOST_LINE = 1002  # Assuan: 1000 and the end of the line
_MOST_CHILDREN = 16
_PATIENCE = 300.0  # seconds: somebody may have to type a passphrase


class Door(NamedTuple):
    """One agent: ``kind`` is ``ssh`` or ``openpgp`` to sign with, or ``login``; its socket; ``allowed``: the
    key blobs or keygrips it may be asked for, for logins what ``place`` makes of each host key and user."""

    kind: str
    socket: bytes
    allowed: tuple[bytes, ...]


def place(host_key: bytes, user: bytes) -> bytes:
    """Where a login is allowed."""
    return agents.packed(host_key) + user


class Relay:
    """A running relay. ``address`` is a sockaddr_un to connect to."""

    def __init__(self, door: Door) -> None:
        supervisor = os.getpid()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            listener.bind("")  # a free abstract name (unix(7), autobind)
            listener.listen(_MOST_CHILDREN)
            self.name = listener.getsockname()
            self.pid = os.fork()
            if self.pid == 0:
                _become(listener, supervisor, door)
        self._pidfd = os.pidfd_open(self.pid)

    @property
    def address(self) -> bytes:
        return socket.AF_UNIX.to_bytes(2, "little") + bytes(self.name)

    def close(self) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended, and was reaped with others
        os.close(self._pidfd)


def ask_for_keys(path: bytes, patience: float = 1.0) -> tuple[bytes, ...]:
    """The keys that an ssh-agent holds, for who is not in a run. Empty when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(patience)
        try:
            agent.connect(path)
            agent.sendall(agents.packed(bytes([agents.REQUEST_IDENTITIES])))
            return agents.ssh_keys(_message(agent))
        except (OSError, agents.Malformed):
            return ()


def verifies(path: bytes, host_key: bytes, patience: float = 1.0) -> bool:
    """Whether an ssh-agent refuses to bind a session that the host has not signed. One that cannot bind refuses too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(patience)
        try:
            agent.connect(path)
            forged = agents.packed(b"ssh-ed25519") + agents.packed(bytes(64))
            agent.sendall(agents.packed(agents.binding(host_key, bytes(32), forged)))
            return _message(agent)[0] != agents.SUCCESS
        except (OSError, agents.Malformed):
            return False


def _become(listener: socket.socket, supervisor: int, door: Door) -> NoReturn:
    """The forked half: never returns into the supervisor's code."""
    try:
        process.die_with_parent(signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        kept = listener.fileno()
        os.closerange(3, kept)
        os.closerange(kept + 1, 0x7FFFFFFF)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _serve(listener, supervisor, door)
    finally:
        os._exit(1)


def _serve(listener: socket.socket, supervisor: int, door: Door) -> None:
    children = 0
    while True:
        client, _ = listener.accept()
        while children and os.waitpid(-1, os.WNOHANG if children < _MOST_CHILDREN else 0)[0]:
            children -= 1
        pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid == supervisor:
            child = os.fork()
            if child == 0:
                listener.close()
                process.die_with_parent(signal.SIGKILL)
                handle(client, door)
                os._exit(0)
            children += 1
        client.close()


def handle(client: socket.socket, door: Door) -> None:
    """Serve one connection to its end. Whatever goes wrong closes it, which the client is told as a failed agent."""
    client.settimeout(_PATIENCE)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_PATIENCE)
            agent.connect(door.socket)
            _HANDLERS[door.kind](client, agent, door.allowed)
    except (OSError, agents.Malformed, KeyError):
        return


def _ssh(client: socket.socket, agent: socket.socket, allowed: tuple[bytes, ...]) -> None:
    (key,) = allowed
    while True:
        message = _message(client)
        if not agents.ssh_may_ask(message, key):
            client.sendall(agents.packed(bytes([agents.FAILURE])))
            continue
        agent.sendall(agents.packed(message))
        answer = _message(agent)
        if message[0] == agents.REQUEST_IDENTITIES:
            answer = agents.ssh_identities(answer, key)
        client.sendall(agents.packed(answer))


def _login(client: socket.socket, agent: socket.socket, allowed: tuple[bytes, ...]) -> None:
    """Logins in sessions that the agent has bound to one of the hosts: it verifies that the host's key signed the
    session id, so the signature is of no use anywhere else, whoever asks for it."""
    sessions: dict[bytes, bytes] = {}  # host key by session id
    while True:
        message = _message(client)
        bound = agents.ssh_binding(message)
        asked = agents.ssh_login(message)
        if bound is not None:
            passes = any(each.startswith(agents.packed(bound[0])) for each in allowed)
        elif asked is not None:
            session, user, named = asked
            host_key = sessions.get(session, b"")
            passes = named in (b"", host_key) and place(host_key, user) in allowed
        else:
            passes = message == bytes([agents.REQUEST_IDENTITIES])
        if not passes:
            client.sendall(agents.packed(bytes([agents.FAILURE])))
            continue
        agent.sendall(agents.packed(message))
        answer = _message(agent)
        if bound is not None and answer == bytes([agents.SUCCESS]):
            sessions[bound[1]] = bound[0]
        client.sendall(agents.packed(answer))


def _message(end: socket.socket) -> bytes:
    size = int.from_bytes(_exactly(end, 4), "big")
    if not 0 < size <= _MOST_MESSAGE:
        raise agents.Malformed
    return _exactly(end, size)


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


class _Lines:
    """Lines of one end. Raises ``Malformed`` for one that is too long, ConnectionResetError at the end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def take(self) -> bytes:
        while b"\n" not in self._rest:
            if len(self._rest) > _MOST_LINE:
                raise agents.Malformed
            more = self._end.recv(4096)
            if not more:
                raise ConnectionResetError
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def put(self, line: bytes) -> None:
        self._end.sendall(line + b"\n")


def _gpg(client: socket.socket, agent: socket.socket, allowed: tuple[bytes, ...]) -> None:
    """In step: one line of the client's, then all of its answer. So nothing of the client's is taken for an answer."""
    ours, theirs = _Lines(client), _Lines(agent)
    _answer(ours, theirs)
    while True:
        ask, told = agents.gpg_line(ours.take(), allowed)
        if told:
            ours.put(told)
            continue
        theirs.put(ask)
        _answer(ours, theirs)
        if ask == b"BYE":
            return


def _answer(ours: _Lines, theirs: _Lines) -> None:
    while True:
        line = theirs.take()
        ours.put(line)
        word = line.split(b" ", 1)[0]
        if word in (b"OK", b"ERR"):
            return
        if word == b"INQUIRE":
            reply = ours.take()
            while reply.startswith(b"D "):
                theirs.put(reply)
                reply = ours.take()
            theirs.put(b"END" if reply == b"END" else b"CAN")


_HANDLERS: dict[str, Callable[[socket.socket, socket.socket, tuple[bytes, ...]], None]] = {
    "ssh": _ssh,
    "openpgp": _gpg,
    "login": _login,
}
