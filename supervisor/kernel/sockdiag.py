"""Who listens where: sock_diag(7) and one routing question, over netlink.

The kernel's own tables are asked, not ``/proc/net``: an answer carries the socket's cookie, which is never reused,
and filtering by port is done in the kernel. Numbers: linux/sock_diag.h, linux/inet_diag.h, linux/unix_diag.h,
linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.kernel import sockets
from supervisor.kernel.sockets import AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_TCP, IPPROTO_UDP

NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
_SOCK_DIAG_BY_FAMILY = 20
_RTM_GETROUTE = 26
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _DUMP = 1, 0x300
_RTN_LOCAL = 2
_RTA_DST = 1
_STATE_LISTEN, _STATES_ALL = 1 << 10, 0xFFFFFFFF
_SHOW_NAME = 1
_DIAG_NAME = 0

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_INET_REQUEST = struct.Struct("=BBBBIHH16s16sIII")  # inet_diag_req_v2
_UNIX_REQUEST = struct.Struct("=BBHIIIII")  # unix_diag_req
_UNIX_MESSAGE = struct.Struct("=BBBBIQ")  # unix_diag_msg
_NO_COOKIE = 0xFFFFFFFF
_MANY = 64


class Listener(NamedTuple):
    """One socket that can be reached: its cookie and local address (4 or 16 bytes, network order)."""

    cookie: int
    address: bytes


def _inet_request(family: int, protocol: int, states: int, port: int) -> bytes:
    """``port`` 0: all. Ports are in network order inside a struct that is otherwise in host order."""
    swapped = int.from_bytes(port.to_bytes(2, "big"), "little")
    zero = bytes(16)
    return _INET_REQUEST.pack(family, protocol, 0, 0, states, swapped, 0, zero, zero, 0, _NO_COOKIE, _NO_COOKIE)


def _ask(protocol: int, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """The payloads of all answers. OSError with the kernel's errno for a refusal."""
    fd = sockets.new(AF_NETLINK, sockets.SOCK_RAW, protocol)
    try:
        request = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body
        os.write(fd, request)
        while True:
            data = sockets.receive(fd, 1 << 16)
            at = 0
            while at + _HEADER.size <= len(data):
                length, answer, *_ = _HEADER.unpack_from(data, at)
                if length < _HEADER.size:
                    raise OSError(errno.EPROTO, "netlink answer without a length")
                payload = data[at + _HEADER.size : at + length]
                if answer == _NLMSG_DONE:
                    return
                if answer == _NLMSG_ERROR:
                    number = -int.from_bytes(payload[:4], "little", signed=True)
                    raise OSError(number or errno.EPROTO, os.strerror(number or errno.EPROTO))
                yield payload
                if not flags & _DUMP:
                    return
                at += (length + 3) & ~3
    finally:
        os.close(fd)


def listeners(protocol: int, port: int) -> list[Listener]:
    """Every TCP socket that listens on ``port``, or UDP socket bound to it, IPv4 and IPv6. OSError when the kernel
    cannot say: nobody may read that as nobody listens."""
    found = []
    states = _STATE_LISTEN if protocol == IPPROTO_TCP else _STATES_ALL
    for family in (AF_INET, AF_INET6):
        body = _inet_request(family, protocol, states, port)
        for payload in _ask(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP, body):
            # inet_diag_msg: family, state, timer, retrans, then inet_diag_sockid
            if int.from_bytes(payload[4:6], "big") != port:
                continue
            size = 4 if payload[0] == AF_INET else 16
            found.append(Listener(int.from_bytes(payload[44:52], "little"), payload[8 : 8 + size]))
            if len(found) > _MANY:
                # A dump over several buffers resumes by position: sockets that come and go could hide one.
                raise OSError(errno.EMSGSIZE, "too many listeners on one port")
    return found


def unix_alive(inode: int, cookie: int) -> bool:
    """Whether the UNIX socket with this sockfs inode and cookie still exists."""
    body = _UNIX_REQUEST.pack(AF_UNIX, 0, 0, _STATES_ALL, inode, 0, cookie & 0xFFFFFFFF, cookie >> 32)
    try:
        return bool(list(_ask(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, 0, body)))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return False
        raise


def unix_named(name: bytes) -> list[int]:
    """Cookies of the UNIX sockets whose name is exactly ``name`` (``\\0name`` in the abstract space)."""
    body = _UNIX_REQUEST.pack(AF_UNIX, 0, 0, _STATES_ALL, 0, _SHOW_NAME, _NO_COOKIE, _NO_COOKIE)
    found = []
    for payload in _ask(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP, body):
        cookie = _UNIX_MESSAGE.unpack_from(payload)[5]
        at = _UNIX_MESSAGE.size
        while at + 4 <= len(payload):
            length, kind = struct.unpack_from("=HH", payload, at)
            if length < 4:
                break
            if kind == _DIAG_NAME and payload[at + 4 : at + length] == name:
                found.append(cookie)
            at += (length + 3) & ~3
    return found


def cookies() -> set[int]:
    """Cookies of every socket of this network namespace that can be reached: TCP listeners, UDP, UNIX."""
    found: set[int] = set()
    for family in (AF_INET, AF_INET6):
        for protocol, states in ((IPPROTO_TCP, _STATE_LISTEN), (IPPROTO_UDP, _STATES_ALL)):
            body = _inet_request(family, protocol, states, 0)
            for payload in _ask(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP, body):
                found.add(int.from_bytes(payload[44:52], "little"))
    body = _UNIX_REQUEST.pack(AF_UNIX, 0, 0, _STATES_ALL, 0, 0, _NO_COOKIE, _NO_COOKIE)
    for payload in _ask(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP, body):
        found.add(_UNIX_MESSAGE.unpack_from(payload)[5])
    return found


def is_local(address: bytes) -> bool:
    """Whether packets to ``address`` (4 or 16 bytes) stay on this machine (route type ``local``, all of 127/8 too).

    False when there is no route at all: such a packet goes nowhere.
    """
    family = AF_INET if len(address) == 4 else AF_INET6
    bits = len(address) * 8
    body = struct.pack("=BBBBBBBBI", family, bits, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("=HH", 4 + len(address), _RTA_DST) + address
    try:
        for payload in _ask(NETLINK_ROUTE, _RTM_GETROUTE, 0, body):
            return payload[7] == _RTN_LOCAL
    except OSError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
            raise
    return False
