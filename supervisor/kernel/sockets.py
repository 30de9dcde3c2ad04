"""Raw socket calls on descriptors and raw addresses, and what a socket says of itself.

Python's ``socket`` module builds addresses from tuples and cannot pass on the very bytes that were judged (AF_UNSPEC,
short and overlong addresses, names without a NUL); it also costs a start 4 ms. Numbers: asm-generic/socket.h,
linux/socket.h, linux/in.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any, NamedTuple

from supervisor.kernel.libc import fail, libc

AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 0, 1, 2, 10, 16
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET = 1, 2, 3, 5
IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6 = 1, 6, 17, 58
SOL_IP, SOL_SOCKET, SOL_IPV6 = 0, 1, 41
SO_TYPE, SO_SNDBUF, SO_SNDTIMEO, SO_BINDTODEVICE, SO_PROTOCOL, SO_DOMAIN, SO_COOKIE = 3, 7, 21, 25, 38, 39, 57
MSG_OOB, MSG_EOR = 0x01, 0x80
MSG_DONTWAIT, MSG_NOSIGNAL, MSG_ZEROCOPY, MSG_FASTOPEN = 0x40, 0x4000, 0x4000000, 0x20000000
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
SOCKADDR_MAX = 128  # struct sockaddr_storage
UIO_MAXIOV = 1024
SCM_MAX_FD = 253

_CMSG = struct.Struct("=Qii")  # struct cmsghdr on 64-bit: cmsg_len is a size_t
_TGKILL = {"x86_64": 234, "aarch64": 131}


class _Msghdr(ctypes.Structure):
    """struct msghdr, bits/socket.h."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def _bind(name: str, restype: Any, *argtypes: Any) -> Any:
    return ctypes.CFUNCTYPE(restype, *argtypes, use_errno=True)((name, libc))


_INT, _PTR = ctypes.c_int, ctypes.c_void_p
_connect = _bind("connect", _INT, _INT, ctypes.c_char_p, ctypes.c_uint32)
_bind_to = _bind("bind", _INT, _INT, ctypes.c_char_p, ctypes.c_uint32)
_listen = _bind("listen", _INT, _INT, _INT)
_sendmsg = _bind("sendmsg", ctypes.c_ssize_t, _INT, _PTR, _INT)
_recv = _bind("recv", ctypes.c_ssize_t, _INT, _PTR, ctypes.c_size_t, _INT)
_socket = _bind("socket", _INT, _INT, _INT, _INT)
_getsockopt = _bind("getsockopt", _INT, _INT, _INT, _INT, _PTR, _PTR)
_getsockname = _bind("getsockname", _INT, _INT, _PTR, _PTR)
_setsockopt = _bind("setsockopt", _INT, _INT, _INT, _INT, ctypes.c_char_p, ctypes.c_uint32)
_tgkill = _bind("tgkill", _INT, _INT, _INT, _INT) if hasattr(libc, "tgkill") else None


class Facts(NamedTuple):
    """What a socket is: SO_DOMAIN, SO_TYPE, SO_PROTOCOL."""

    domain: int
    type: int
    protocol: int


class Address(NamedTuple):
    """A parsed sockaddr. ``host``: 4 or 16 bytes in network order (IP only), v4-mapped addresses as 4. ``path``: name
    of a UNIX socket, ``\\0name`` in the abstract space, empty when unnamed (autobind)."""

    family: int
    host: bytes = b""
    port: int = 0
    path: bytes = b""


class Control(NamedTuple):
    """One control message (cmsg(3))."""

    level: int
    type: int
    data: bytes


def getsockopt(fd: int, level: int, option: int, size: int) -> bytes:
    """getsockopt(2): up to ``size`` bytes. OSError: ENOTSOCK, ENOPROTOOPT …"""
    buffer = ctypes.create_string_buffer(size)
    length = ctypes.c_uint32(size)
    if _getsockopt(fd, level, option, ctypes.addressof(buffer), ctypes.addressof(length)) < 0:
        raise fail("getsockopt")
    return buffer.raw[: length.value]


def _int_option(fd: int, option: int) -> int:
    return int.from_bytes(getsockopt(fd, SOL_SOCKET, option, 4), "little", signed=True)


def facts(fd: int) -> Facts:
    """Domain, type and protocol of a socket. OSError(ENOTSOCK) for anything else."""
    return Facts(_int_option(fd, SO_DOMAIN), _int_option(fd, SO_TYPE), _int_option(fd, SO_PROTOCOL))


def kind(fd: int) -> int:
    """SO_TYPE."""
    return _int_option(fd, SO_TYPE)


def cookie(fd: int) -> int:
    """SO_COOKIE: an id that no other socket ever gets while the machine is up."""
    return int.from_bytes(getsockopt(fd, SOL_SOCKET, SO_COOKIE, 8), "little")


def send_buffer(fd: int) -> int:
    """SO_SNDBUF in bytes: no datagram can be larger."""
    return _int_option(fd, SO_SNDBUF)


def send_timeout(fd: int) -> float:
    """SO_SNDTIMEO in seconds, 0.0 = none. connect(2) obeys it too (socket(7))."""
    raw = getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, 16)
    return int.from_bytes(raw[:8], "little") + int.from_bytes(raw[8:], "little") / 1e6


def confine_to_loopback(fd: int) -> None:
    """Bind the socket to ``lo`` (SO_BINDTODEVICE, no privilege needed while it is bound to no other interface).

    A listener bound to 0.0.0.0 or :: is then reached through loopback addresses only. Not through the machine's other
    addresses, though such packets come by ``lo`` as well: they count as received on the interface that has the address
    (``rt_iif``). A socket filter could tell them apart, but on TCP attaching one takes CAP_NET_ADMIN on new kernels.
    """
    if _setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, b"lo\0", 3) < 0:
        raise fail("setsockopt SO_BINDTODEVICE")


def name(fd: int) -> bytes:
    """getsockname(2): the raw sockaddr."""
    buffer = ctypes.create_string_buffer(SOCKADDR_MAX)
    length = ctypes.c_uint32(SOCKADDR_MAX)
    if _getsockname(fd, ctypes.addressof(buffer), ctypes.addressof(length)) < 0:
        raise fail("getsockname")
    return buffer.raw[: min(length.value, SOCKADDR_MAX)]


def new(domain: int, kind: int, protocol: int) -> int:
    """socket(2), close-on-exec."""
    fd: int = _socket(domain, kind | os.O_CLOEXEC, protocol)
    if fd < 0:
        raise fail("socket")
    return fd


def connect(fd: int, address: bytes) -> None:
    """connect(2) with exactly these bytes."""
    if _connect(fd, address, len(address)) < 0:
        raise fail("connect")


def bind(fd: int, address: bytes) -> None:
    """bind(2) with exactly these bytes."""
    if _bind_to(fd, address, len(address)) < 0:
        raise fail("bind")


def listen(fd: int, backlog: int) -> None:
    """listen(2)."""
    if _listen(fd, backlog) < 0:
        raise fail("listen")


def sendmsg(fd: int, data: bytes, address: bytes, control: bytes, flags: int) -> int:
    """sendmsg(2) of one buffer. MSG_NOSIGNAL is always added: SIGPIPE belongs to the process that asked, not to us."""
    span = _Iovec(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0, len(data))
    header = _Msghdr(
        ctypes.cast(ctypes.c_char_p(address), ctypes.c_void_p).value if address else None,
        len(address),
        ctypes.addressof(span),
        1,
        ctypes.cast(ctypes.c_char_p(control), ctypes.c_void_p).value if control else None,
        len(control),
        0,
    )
    # c_int: a flag word with bit 31 set arrives as it is
    done: int = _sendmsg(fd, ctypes.addressof(header), ctypes.c_int(flags | MSG_NOSIGNAL).value)
    if done < 0:
        raise fail("sendmsg")
    return done


def receive(fd: int, size: int) -> bytes:
    """recv(2)."""
    buffer = ctypes.create_string_buffer(size)
    done: int = _recv(fd, ctypes.addressof(buffer), size, 0)
    if done < 0:
        raise fail("recv")
    return buffer.raw[:done]


def signal_thread(tgid: int, tid: int, number: int) -> None:
    """tgkill(2): a signal to one thread, as the kernel itself raises SIGPIPE."""
    if _tgkill is None:
        raise OSError(errno.ENOSYS, "this C library has no tgkill")
    if _tgkill(tgid, tid, number) < 0:
        raise fail("tgkill")


def parse(raw: bytes, *, unspec_is_inet: bool = False) -> Address:
    """A sockaddr as the kernel reads it.

    ``unspec_is_inet``: IPv4 bind and datagram sends take AF_UNSPEC for AF_INET (``inet_bind``, ``udp_sendmsg``).
    OSError(EINVAL) for what is too short for its family. Unknown families come back without host and path.
    """
    if len(raw) < 2:
        raise OSError(errno.EINVAL, "short address")
    family = int.from_bytes(raw[:2], "little")
    if family == AF_UNSPEC and unspec_is_inet:
        family = AF_INET
    if family == AF_INET:
        _at_least(raw, 16)
        return Address(AF_INET, raw[4:8], int.from_bytes(raw[2:4], "big"))
    if family == AF_INET6:
        _at_least(raw, 24)
        host = raw[8:24]
        if host[:12] == bytes(10) + b"\xff\xff":
            host = host[12:]
        return Address(AF_INET6, host, int.from_bytes(raw[2:4], "big"))
    if family == AF_UNIX:
        name = raw[2:]
        if name[:1] == b"\0":
            return Address(AF_UNIX, path=name)  # every byte counts, NULs too (unix(7))
        return Address(AF_UNIX, path=name.partition(b"\0")[0])
    return Address(family)


def _at_least(raw: bytes, size: int) -> None:
    if len(raw) < size:
        raise OSError(errno.EINVAL, "short address")


def unix_address(path: bytes) -> bytes:
    """A sockaddr_un for a pathname."""
    return struct.pack("=H", AF_UNIX) + path + b"\0"


def controls(raw: bytes) -> list[Control]:
    """Split a control buffer. OSError(EINVAL) for a header that does not fit, as ``sock_cmsg_send`` answers."""
    found: list[Control] = []
    at = 0
    while at + _CMSG.size <= len(raw):
        length, level, kind = _CMSG.unpack_from(raw, at)
        if length < _CMSG.size or at + length > len(raw):
            raise OSError(errno.EINVAL, "bad control message")
        found.append(Control(level, kind, raw[at + _CMSG.size : at + length]))
        at += (length + 7) & ~7
    return found


def pack_controls(messages: list[Control]) -> bytes:
    """The inverse of ``controls``."""
    out = b""
    for level, kind, data in messages:
        length = _CMSG.size + len(data)
        out += _CMSG.pack(length, level, kind) + data + bytes(-length % 8)
    return out
