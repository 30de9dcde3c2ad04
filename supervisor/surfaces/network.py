"""Socket calls of a process, as events and acts.

Everything that can change under us is taken once: the socket by duplicating its descriptor (a later dup2 in the
process changes nothing), the address and the message headers by copying, the file of a UNIX socket by opening it. The
event speaks of these copies, and the act uses no other.
"""

from __future__ import annotations

import errno
import os
import stat

from supervisor.kernel import memory, process, sockets
from supervisor.kernel.libc import errno_of
from supervisor.kernel.sockets import AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, AF_UNSPEC, Address
from supervisor.surfaces.messages import Copied, copy_messages, copy_plain
from supervisor.surfaces.sockets import OWN_LISTENER, OwnSockets, Standing, by_loopback, is_loopback, show
from supervisor.surfaces.unixnames import Place, pin, place_to_bind, refused, where
from supervisor.vocabulary.acts import Reply
from supervisor.vocabulary.events import Actor, NetEvent
from supervisor.vocabulary.netacts import NetAct

Attempted = tuple[NetEvent, NetAct]

_TRANSPORTS = {
    (sockets.SOCK_STREAM, sockets.IPPROTO_TCP): "tcp",
    (sockets.SOCK_DGRAM, sockets.IPPROTO_UDP): "udp",
    (sockets.SOCK_DGRAM, sockets.IPPROTO_ICMP): "icmp",
    (sockets.SOCK_DGRAM, sockets.IPPROTO_ICMPV6): "icmp",
}
_UNIX_TRANSPORTS = {
    sockets.SOCK_STREAM: "stream",
    sockets.SOCK_DGRAM: "dgram",
    sockets.SOCK_SEQPACKET: "seqpacket",
}


class _Call:
    """One call while it is being taken apart; holds what must be closed if that fails."""

    def __init__(self, call: str, tid: int, actor: Actor, fd: int) -> None:
        self.call, self.tid, self.actor = call, tid, actor
        self.held: list[int] = []
        self.sock = self.hold(process.borrow(tid, fd))
        try:
            self.facts = sockets.facts(self.sock)
        except OSError:
            self.drop()
            raise

    def hold(self, fd: int) -> int:
        self.held.append(fd)
        return fd

    def release(self, act: NetAct) -> None:
        """The handles of the act are the caller's now; what is left was opened for a message that is not sent."""
        self.held = [fd for fd in self.held if fd not in act.handles]

    def drop(self) -> None:
        for fd in self.held:
            os.close(fd)
        self.held.clear()

    def act(self) -> NetAct:
        """The act without what is particular to the call. ``actor.pid`` is the thread group."""
        return NetAct(self.call, self.sock, self.actor.pid, self.tid, ip=self.ip, stream=self.stream)

    @property
    def family(self) -> str:
        return {AF_INET: "inet", AF_INET6: "inet6", AF_UNIX: "unix"}.get(self.facts.domain, "other")

    @property
    def transport(self) -> str:
        if self.facts.domain == AF_NETLINK:
            return "netlink"
        if self.facts.domain == AF_UNIX:
            return _UNIX_TRANSPORTS.get(self.facts.type, "")
        return _TRANSPORTS.get((self.facts.type, self.facts.protocol), "")

    @property
    def objection(self) -> str:
        """SCTP, DCCP and MPTCP can reach further peers by calls that are not seen."""
        if self.ip and not self.transport:
            return f"{self.call}: only TCP, UDP and ping sockets can be judged"
        return ""

    @property
    def stream(self) -> bool:
        return self.facts.type == sockets.SOCK_STREAM

    @property
    def ip(self) -> bool:
        return self.facts.domain in (AF_INET, AF_INET6)


class Network:
    """Takes socket calls apart. ``own`` is shared with whoever performs them (it is their ledger)."""

    def __init__(self, own: OwnSockets) -> None:
        self.own = own

    def materialize(self, call: str, tid: int, args: tuple[int, ...], actor: Actor) -> Reply | Attempted:
        """The event and act of a connect, bind, listen, sendto, sendmsg or sendmmsg, or the error that the kernel
        would give at once. Never raises OSError; the handles of an act belong to the caller."""
        taken: _Call | None = None
        try:
            taken = _Call(call, tid, actor, _signed(args[0]))
            result = self._take(taken, args)
            taken.release(result[1])
            return result
        except OSError as error:
            return Reply(error=errno_of(error))
        finally:
            if taken is not None:
                taken.drop()

    def _take(self, taken: _Call, args: tuple[int, ...]) -> Attempted:
        match taken.call:
            case "connect":
                return self._connect(taken, _address(taken.tid, args[1], args[2]))
            case "bind":
                return self._bind(taken, _address(taken.tid, args[1], args[2]))
            case "listen":
                return self._listen(taken, _signed(args[1]))
            case _:
                return self._send(taken, args)

    # ------------------------------------------------------------------------------------------------ calls

    def _connect(self, taken: _Call, raw: bytes) -> Attempted:
        if len(raw) < 2:
            raise refused(errno.EINVAL)
        if int.from_bytes(raw[:2], "little") == AF_UNSPEC and taken.facts.domain != AF_NETLINK:
            return _nowhere(taken, "disconnect"), taken.act()._replace(address=raw)
        return self._addressed(taken, raw, Copied())

    def _bind(self, taken: _Call, raw: bytes) -> Attempted:
        if taken.family == "other":
            return _nowhere(taken, taken.transport), taken.act()._replace(address=raw)
        if taken.ip and len(raw) < (16 if taken.facts.domain == AF_INET else 24):
            raise refused(errno.EINVAL)
        address = sockets.parse(raw, unspec_is_inet=taken.ip)
        if address.family == AF_UNIX and not taken.ip:
            place = place_to_bind(taken.tid, taken.actor.pid, address.path, taken.hold)
            event = self._event(taken, unix=place.path)
            act = taken.act()._replace(address=raw, parent=place.parent, name=place.name, cwd=place.cwd)
            return event, act
        if not taken.ip or address.family not in (AF_INET, AF_INET6):
            raise refused(errno.EAFNOSUPPORT if taken.ip else errno.EINVAL)
        return self._event(taken, address), taken.act()._replace(address=raw)

    def _listen(self, taken: _Call, backlog: int) -> Attempted:
        if taken.family == "other":
            raise refused(errno.EOPNOTSUPP)
        act = taken.act()._replace(backlog=backlog)
        if not taken.ip:
            return self._event(taken), act
        address = sockets.parse(sockets.name(taken.sock))
        event = self._event(taken, address)
        if any(address.host) and not is_loopback(address.host):
            why = "who connects from the network is not judged; 127.0.0.1 and 0.0.0.0 are open to this machine"
            event = event._replace(refusal=f"listen on {event.host}: {why}")
        return event, act

    def _send(self, taken: _Call, args: tuple[int, ...]) -> Attempted:
        flags = args[2 if taken.call == "sendmsg" else 3] & 0xFFFFFFFF
        if flags & sockets.MSG_FASTOPEN:
            raise refused(errno.EOPNOTSUPP)  # a connect in disguise; programs fall back to connect
        if flags & sockets.MSG_ZEROCOPY:
            raise refused(errno.ENOBUFS)  # would pin a buffer of ours; the documented reason to send by copy
        limit = None if taken.stream else max(sockets.send_buffer(taken.sock), 65536)
        if taken.call == "sendto":
            raw = _address(taken.tid, args[4], args[5]) if args[4] else b""
            copied = copy_plain(taken.tid, args[1], args[2], limit)._replace(address=raw)
        else:
            many = args[2] & 0xFFFFFFFF if taken.call == "sendmmsg" else None
            copied = copy_messages(taken.tid, args[1], many, limit, taken.hold, taken.ip)
        if not copied.address or taken.stream or (taken.family == "unix" and taken.transport == "seqpacket"):
            # TCP ignores the address, UNIX streams refuse it; without one a message goes to the peer connect judged.
            event = _nowhere(taken, "netlink" if taken.transport == "netlink" else "peer")
            event = event._replace(refusal=copied.refusal or taken.objection)
            return event, self._sending(taken, copied._replace(address=b"") if taken.ip else copied, flags)
        if int.from_bytes(copied.address[:2], "little") == AF_UNSPEC and taken.facts.domain == AF_INET6:
            # udpv6_sendmsg drops such an address; cut off here so that nothing depends on it
            return _nowhere(taken, "peer"), self._sending(taken, copied._replace(address=b""), flags)
        return self._addressed(taken, copied.address, copied, flags)

    def _sending(self, taken: _Call, copied: Copied, flags: int) -> NetAct:
        return taken.act()._replace(address=copied.address, flags=flags, messages=copied.messages)

    def _addressed(self, taken: _Call, raw: bytes, copied: Copied, flags: int = 0) -> Attempted:
        """A connect or send that names its destination."""
        act = taken.act()._replace(address=raw, flags=flags, messages=copied.messages)
        if taken.family == "other":
            return _nowhere(taken, taken.transport), act
        address = sockets.parse(raw, unspec_is_inet=taken.facts.domain == AF_INET and taken.call != "connect")
        if taken.ip:
            if address.family not in (AF_INET, AF_INET6):
                raise refused(errno.EAFNOSUPPORT)
            standing = self.own.behind(taken.facts.protocol, address)
            event = self._event(taken, address, standing=standing)
            if copied.refusal:
                event = event._replace(refusal=copied.refusal)
            act = act._replace(local=standing.local, listener=standing.listening)
            if taken.call == "connect" and taken.stream and standing == OWN_LISTENER and not is_loopback(address.host):
                # Our listeners are bound to lo, where another address of this machine does not lead.
                act = act._replace(address=by_loopback(raw))
            return event, act
        if address.family != AF_UNIX:
            raise refused(errno.EINVAL)
        place = self._unix_peer(taken, address.path)
        event = self._event(taken, unix=place.path)._replace(own=place.own)
        return event, act._replace(file=place.file)

    # ------------------------------------------------------------------------------------------------ UNIX names

    def _unix_peer(self, taken: _Call, path: bytes) -> Place:
        """Pin the socket file that a connect or send names. ECONNREFUSED and the like are answered as bare."""
        if not path:
            raise refused(errno.EINVAL)
        if path[:1] == b"\0":
            standing = self.own.behind_name(path)
            if not standing.listening:
                raise refused(errno.ECONNREFUSED)
            return Place(path, standing.own)
        fd = taken.hold(pin(taken.tid, taken.actor.pid, path, os.O_PATH))
        found = os.fstat(fd)
        if not stat.S_ISSOCK(found.st_mode):
            raise refused(errno.ECONNREFUSED)
        standing = self.own.behind_file((found.st_dev, found.st_ino))
        if not standing.listening:
            raise refused(errno.ECONNREFUSED)
        return Place(where(fd), standing.own, file=fd)

    def _event(
        self, taken: _Call, address: Address | None = None, *, unix: bytes = b"", standing: Standing | None = None
    ) -> NetEvent:
        host, port = (show(address), address.port) if address is not None else ("", 0)
        own, local = (standing.own, standing.local) if standing is not None else (False, False)
        op = _op(taken.call)
        return NetEvent(taken.actor, op, taken.family, taken.transport, host, port, unix, own, local, taken.objection)


def _op(call: str) -> str:
    return "send" if call.startswith("send") else call


def _nowhere(taken: _Call, transport: str) -> NetEvent:
    """An event of a call that names no new destination."""
    return NetEvent(taken.actor, _op(taken.call), "other", transport)


def _signed(register: int) -> int:
    """The C ``int`` in a register; its upper half is rubbish."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _address(tid: int, pointer: int, register: int) -> bytes:
    """Copy a sockaddr (``move_addr_to_kernel``): EINVAL for an impossible length, EFAULT."""
    length = _signed(register)
    if not 0 <= length <= sockets.SOCKADDR_MAX:
        raise refused(errno.EINVAL)
    return memory.read(tid, pointer, length)
