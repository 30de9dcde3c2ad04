"""Performs socket calls for a process: on the duplicate of its socket, with the address that was judged.

Nothing here waits. What would block the process is a ``Held`` act that is tried again; the process sees the result it
would have seen without a supervisor, its SIGPIPE and time-outs included.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import stat
import time

from supervisor.kernel import memory, sockets
from supervisor.kernel.libc import errno_of
from supervisor.kernel.spans import fetch
from supervisor.vocabulary.acts import DONE, Held, Reply
from supervisor.vocabulary.netacts import Ledger, Message, NetAct

_PIECE = 1 << 18
_UNFINISHED = (errno.EINPROGRESS, errno.EALREADY)


def perform(act: NetAct, ledger: Ledger, umask: int) -> Reply | Held:
    """Do what was judged. ``umask``: the process's, for the file of a UNIX socket. Closes the act's handles, at once
    or when a ``Held`` act ends. Never raises OSError: it becomes the reply."""
    try:
        match act.call:
            case "connect":
                result = _connect(act, ledger)
            case "bind":
                result = _bind(act, ledger, umask)
            case "listen":
                result = _listen(act, ledger)
            case _:
                result = _send(act, ledger)
    except OSError as error:
        result = Reply(error=errno_of(error))
    if isinstance(result, Reply):
        release(act)
    return result


def release(act: NetAct) -> None:
    """Close the handles of an act that is over, or that was refused."""
    for fd in act.handles:
        os.close(fd)


# ---------------------------------------------------------------------------------------------------- bind, listen


def _bind(act: NetAct, ledger: Ledger, umask: int) -> Reply:
    if act.parent >= 0:
        _bind_file(act, ledger, umask)
        return DONE
    sockets.bind(act.sock, act.address)
    if not act.ip or not act.stream:
        # A bound TCP socket is reached only once it listens. Netlink sockets have a cookie too: harmless.
        ledger.opened(act.sock, None)
    return DONE


def _bind_file(act: NetAct, ledger: Ledger, umask: int) -> None:
    """Create the file of a UNIX socket under its own name.

    The name is what getsockname and the peer see, and programs hand it on (multiprocessing does), so binding through
    ``/proc/self/fd`` is no way. It is resolved once more instead: all renames and links of the run pass this same loop,
    so none can come between; that the parent is still the judged one is checked all the same, and so is the result.
    """
    text = sockets.parse(act.address).path
    # These would name our descriptors, however the slashes are written.
    magic = re.sub(rb"/(?:\.?/)+", b"/", text).startswith((b"/proc/", b"/dev/fd/", b"/dev/std"))
    address = sockets.unix_address(b"/proc/self/fd/%d/%s" % (act.parent, act.name)) if magic else act.address
    home = os.open(".", os.O_PATH | os.O_CLOEXEC)
    before = os.umask(umask)
    try:
        if not magic and b"/" not in text:
            os.fchdir(act.parent)
        elif not magic:
            if act.cwd >= 0:
                os.fchdir(act.cwd)
            if not os.path.samestat(os.stat(text.rpartition(b"/")[0] or b"/"), os.fstat(act.parent)):
                raise OSError(errno.EACCES, "the directory was replaced")
        sockets.bind(act.sock, address)
        found = os.stat(act.name, dir_fd=act.parent, follow_symlinks=False)
    finally:
        os.umask(before)
        os.fchdir(home)
        os.close(home)
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EACCES, "the directory was replaced")
    ledger.opened(act.sock, (found.st_dev, found.st_ino))


def _listen(act: NetAct, ledger: Ledger) -> Reply:
    if act.ip and act.stream:
        # Who connects from outside would be a destination that nobody judged. At listen and not at bind: a socket
        # that is bound to send from a chosen port must still reach the world.
        try:
            sockets.confine_to_loopback(act.sock)
        except OSError as error:
            raise OSError(errno.EACCES, "the listener cannot be kept from the network") from error
    # Known before it accepts: the first client may be there before we return.
    ledger.opened(act.sock, None)
    sockets.listen(act.sock, act.backlog)
    return DONE


# ---------------------------------------------------------------------------------------------------- connect


def _target(act: NetAct) -> bytes:
    """The address to use: the judged bytes, or the pinned inode of a UNIX socket."""
    return sockets.unix_address(b"/proc/self/fd/%d" % act.file) if act.file >= 0 else act.address


def _connect(act: NetAct, ledger: Ledger) -> Reply | Held:
    if sockets.kind(act.sock) == sockets.SOCK_DGRAM:
        sockets.connect(act.sock, _target(act))
        ledger.opened(act.sock, None)  # it has an address of its own now, and answers may come
        return DONE
    flags = fcntl.fcntl(act.sock, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        try:
            sockets.connect(act.sock, _target(act))
        except OSError as error:
            if error.errno == errno.EINPROGRESS and act.local and not act.listener:
                return _undo(act)  # cannot be looked at when it stands, and refused is what it was when it was judged
            raise
        return _connected(act, ledger)
    attempt = _Connecting(act, ledger, flags)
    reply = attempt.retry()
    return reply if reply is not None else attempt.held()


def _connected(act: NetAct, ledger: Ledger) -> Reply:
    """A connection stands. If nobody listened when it was judged, somebody does now: only the run may."""
    if act.local and not act.listener and not ledger.is_own(act.sock, act.address):
        return _undo(act)
    return DONE


def _undo(act: NetAct) -> Reply:
    sockets.connect(act.sock, bytes(16))  # AF_UNSPEC
    return Reply(error=errno.ECONNREFUSED)


class _Connecting:
    """A blocking connect. The flag is set on the shared description, so it is put back whatever happens."""

    def __init__(self, act: NetAct, ledger: Ledger, flags: int) -> None:
        self.act, self.ledger, self.flags = act, ledger, flags
        self.started = False
        timeout = sockets.send_timeout(act.sock)
        self.deadline = time.monotonic() + timeout if timeout else None
        fcntl.fcntl(act.sock, fcntl.F_SETFL, flags | os.O_NONBLOCK)

    def held(self) -> Held:
        # A UNIX socket whose peer's backlog is full polls as writable; a time-out needs looking at without an event.
        polled = not self.act.ip or self.deadline is not None
        return Held(self.retry_and_close, self.abandon, -1 if polled else self.act.sock)

    def retry_and_close(self) -> Reply | None:
        reply = self.retry()
        if reply is not None:
            release(self.act)
        return reply

    def retry(self) -> Reply | None:
        reply: Reply | None
        try:
            reply = self._try()
        except OSError as error:
            # UNIX says EAGAIN while the peer's backlog is full; from IP it would be an error.
            unfinished = error.errno in _UNFINISHED or (error.errno == errno.EAGAIN and not self.act.ip)
            reply = None if unfinished and not self._late() else Reply(error=self._shown(errno_of(error)))
        if reply is not None:
            self._restore()
        return reply

    def _try(self) -> Reply:
        if self.act.ip and self.started and not _writable(self.act.sock):
            raise OSError(errno.EINPROGRESS, "")
        self.started = True
        # The second connect is what ends it: reading SO_ERROR would leave the socket half-way (SS_CONNECTING).
        sockets.connect(self.act.sock, _target(self.act))
        return _connected(self.act, self.ledger)

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _shown(self, number: int) -> int:
        """At a time-out IP says EINPROGRESS, UNIX EAGAIN (socket(7), SO_SNDTIMEO)."""
        return errno.EINPROGRESS if number == errno.EALREADY and self._late() else number

    def _restore(self) -> None:
        fcntl.fcntl(self.act.sock, fcntl.F_SETFL, self.flags)

    def abandon(self) -> None:
        self._restore()
        release(self.act)


def _writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


# ---------------------------------------------------------------------------------------------------- send


def _send(act: NetAct, ledger: Ledger) -> Reply | Held:
    sending = _Sending(act, ledger)
    reply = sending.retry()
    return reply if reply is not None else sending.held()


class _Sending:
    """sendto, sendmsg and sendmmsg: messages in order, a stream's in pieces."""

    def __init__(self, act: NetAct, ledger: Ledger) -> None:
        self.act, self.ledger = act, ledger
        nonblocking = fcntl.fcntl(act.sock, fcntl.F_GETFL) & os.O_NONBLOCK
        self.blocking = not nonblocking and not act.flags & sockets.MSG_DONTWAIT
        timeout = sockets.send_timeout(act.sock) if self.blocking else 0.0
        self.deadline = time.monotonic() + timeout if timeout else None
        self.at = 0  # messages that are out
        self.message: Message | None = act.messages[0] if act.messages else None
        self.sent = 0  # bytes of the current one that are out

    def held(self) -> Held:
        # Writability of an unconnected UNIX datagram socket says nothing about the peer's queue.
        polled = self.deadline is not None or not (self.act.ip or self.act.stream)
        return Held(self.retry_and_close, self.abandon, -1 if polled else self.act.sock)

    def abandon(self) -> None:
        release(self.act)

    def retry_and_close(self) -> Reply | None:
        try:
            reply = self.retry()
        except OSError as error:
            reply = Reply(error=errno_of(error))
        if reply is not None:
            release(self.act)
        return reply

    def retry(self) -> Reply | None:
        """Send as much as goes without waiting; None: not done, and the process would wait too."""
        while self.message is not None:
            try:
                self._piece(self.message)
            except OSError as error:
                return self._stopped(errno_of(error))
        return Reply(value=self.at if self.act.call == "sendmmsg" else self.sent)

    def _piece(self, message: Message) -> None:
        """Send the rest of the data at hand; on the last piece go on to the next message."""
        flags = self.act.flags | sockets.MSG_DONTWAIT
        if message.rest:
            flags &= ~(sockets.MSG_OOB | sockets.MSG_EOR)  # they mark the last byte
        first = self.sent == 0
        control = message.control if first or not self.act.stream else b""
        done = sockets.sendmsg(self.act.sock, message.data, _target(self.act), control, flags)
        if not self.act.stream:
            self.ledger.opened(self.act.sock, None)  # sending may have given it an address
        self.sent += done
        data, rest = message.data[done:] if self.act.stream else b"", message.rest
        if not data and rest:
            data, rest = fetch(self.act.tid, rest, _PIECE)
        if data:
            self.message = message._replace(data=data, rest=rest)
        else:
            self._next(message)

    def _next(self, message: Message) -> None:
        if message.length_at:
            memory.write(self.act.tid, message.length_at, self.sent.to_bytes(4, "little"))
        self.at += 1
        if self.at < len(self.act.messages):
            self.message, self.sent = self.act.messages[self.at], 0
        else:
            self.message = None

    def _stopped(self, number: int) -> Reply | None:
        """An error ends the call; what is out by then is the result, as the kernel has it (sendmmsg(2), send(2))."""
        many = self.act.call == "sendmmsg"
        late = self.deadline is not None and time.monotonic() >= self.deadline
        begun = self.act.stream and self.sent > 0
        if number == errno.EAGAIN and self.blocking and not late and (begun or not self.at):
            return None
        if begun and many and self.message is not None:
            memory.write(self.act.tid, self.message.length_at, self.sent.to_bytes(4, "little"))
            self.at += 1
        if begun and not many:
            return Reply(value=self.sent)
        if self.at:
            return Reply(value=self.at)
        if number == errno.EPIPE and self.act.stream and not self.act.flags & sockets.MSG_NOSIGNAL:
            sockets.signal_thread(self.act.tgid, self.act.tid, signal.SIGPIPE)
        return Reply(error=number)
