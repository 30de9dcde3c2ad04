"""Socket calls on judged copies.

A ``NetAct`` holds descriptors that were opened for it (a duplicate of the process's socket, pinned inodes) and the
bytes of the address as they were judged. Whoever performs or refuses the act closes them: ``NetAct.handles``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One message to send.

    ``data`` is its first part, ``rest`` what is still in the process's memory as (address, size) spans: only stream
    sockets have a rest, since the bytes of a stream are not judged. ``control`` is ready for sendmsg(2); the
    descriptors it passes are ``fds``. ``length_at``: where sendmmsg(2) stores the count, 0 otherwise.
    """

    data: bytes = b""
    rest: tuple[tuple[int, int], ...] = ()
    control: bytes = b""
    fds: tuple[int, ...] = ()
    length_at: int = 0


class NetAct(NamedTuple):
    """One socket call.

    ``sock`` is the duplicate that was judged, ``tgid``/``tid`` the caller. ``address`` is the copied sockaddr.
    ``file`` pins the inode of a UNIX socket that is connected to or sent to, ``parent`` and ``name`` the place where
    one is bound, ``cwd`` the directory a relative name starts from (-1: none). ``ip``: an IP socket, ``local``: its
    address is one of this machine, ``listener``: somebody listened there when it was judged. ``stream``: bytes, not
    messages. ``flags`` are MSG_*, ``backlog`` is for listen.
    """

    call: str
    sock: int
    tgid: int
    tid: int
    address: bytes = b""
    file: int = -1
    parent: int = -1
    name: bytes = b""
    cwd: int = -1
    ip: bool = False
    local: bool = False
    listener: bool = True
    stream: bool = False
    flags: int = 0
    backlog: int = 0
    messages: tuple[Message, ...] = ()

    @property
    def handles(self) -> tuple[int, ...]:
        """Every descriptor that has to be closed after the act."""
        own = (self.sock, self.file, self.parent, self.cwd)
        return tuple(fd for fd in own if fd >= 0) + tuple(fd for message in self.messages for fd in message.fds)


class Ledger(Protocol):
    """The sockets of the run, as whoever acts reports and asks them."""

    def opened(self, sock: int, file: tuple[int, int] | None) -> None:
        """The run's socket ``sock`` can be reached from now on; ``file``: (device, inode) of its name, if any."""

    def is_own(self, sock: int, address: bytes) -> bool:
        """Whether everything that listens at ``address`` belongs to the run (also when nothing does)."""
