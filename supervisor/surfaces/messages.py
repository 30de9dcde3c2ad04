"""What a process sends, copied: plain buffers, message headers, control messages and the descriptors they pass.

Datagrams are copied whole. Of a stream only the head is: its bytes are not judged, so the rest is fetched while it is
being sent, and a gigabyte in one call costs no gigabyte here.
"""

from __future__ import annotations

import errno
import os
import resource
import struct
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import memory, sockets
from supervisor.kernel.process import borrow
from supervisor.kernel.sockets import Control
from supervisor.kernel.spans import Spans, fetch
from supervisor.vocabulary.netacts import Message

Hold = Callable[[int], int]

HEAD = 1 << 18
_BATCH = 1 << 20  # bytes that one sendmmsg copies before it stops short
_CONTROL_MAX = 1 << 16
_MAX_RW = 0x7FFFF000  # MAX_RW_COUNT, linux/fs.h
_MSGHDR = struct.Struct("=QI4xQQQQI4x")  # struct user_msghdr, linux/socket.h
_MMSGHDR_SIZE = 64
# Control messages of IP sockets that change no route: IP_TOS, TTL, PKTINFO, PROTOCOL; IPV6_2292PKTINFO, 2292HOPLIMIT,
# PKTINFO, HOPLIMIT, DONTFRAG, TCLASS (linux/in.h, linux/in6.h).
_HARMLESS = {sockets.SOL_IP: (1, 2, 8, 52), sockets.SOL_IPV6: (2, 8, 50, 52, 62, 67)}


class Copied(NamedTuple):
    """Messages that share one address. ``refusal``: something in them cannot be judged."""

    messages: tuple[Message, ...] = ()
    address: bytes = b""
    refusal: str = ""


class _Header(NamedTuple):
    name: int
    namelen: int
    spans: Spans
    control: int
    controllen: int


def copy_plain(tid: int, pointer: int, size: int, limit: int | None) -> Copied:
    """The buffer of sendto(2). ``limit``: largest datagram, None for streams. OSError: EFAULT, EMSGSIZE."""
    data, rest = _copy_spans(tid, ((pointer, min(size, _MAX_RW)),), limit)
    return Copied((Message(data, rest),))


def copy_messages(tid: int, pointer: int, many: int | None, limit: int | None, hold: Hold, ip: bool) -> Copied:
    """The header of sendmsg(2), or for sendmmsg(2) the leading ones of ``many`` headers that share an address.

    sendmmsg may send fewer messages than it was given, so the call ends before the first one that goes elsewhere:
    one event then speaks of one destination. OSError: EFAULT, EINVAL, EMSGSIZE, ENOBUFS, EBADF of the first message.
    """
    messages: list[Message] = []
    address, refusal, total, passed = b"", "", 0, 0
    for at in range(1 if many is None else min(many, sockets.UIO_MAXIOV)):
        header_at = pointer + at * _MMSGHDR_SIZE
        try:
            header = _header(tid, header_at)
            name = memory.read(tid, header.name, header.namelen) if header.name else b""
            if at and name != address:
                break
            data, rest = _copy_spans(tid, header.spans, limit)
            control, fds, objection = _controls(tid, header, hold, ip)
            passed += len(fds)
            if at and passed > sockets.SCM_MAX_FD:
                break  # all of them are held here until the last message is out
        except OSError:
            if at:
                break  # as the kernel: what precedes a bad message is sent
            raise
        address, refusal, total = name, refusal or objection, total + len(data)
        length_at = header_at + _MSGHDR.size if many is not None else 0
        messages.append(Message(data, rest, control, fds, length_at))
        if rest or refusal or total >= _BATCH:
            break
    return Copied(tuple(messages), address, refusal)


def _header(tid: int, pointer: int) -> _Header:
    name, namelen, iov, iovlen, control, controllen, _ = _MSGHDR.unpack(memory.read(tid, pointer, _MSGHDR.size))
    if namelen >> 31:
        raise OSError(errno.EINVAL, "negative address length")
    if iovlen > sockets.UIO_MAXIOV:
        raise OSError(errno.EMSGSIZE, "too many buffers")
    raw = memory.read(tid, iov, iovlen * 16)
    spans, left = [], _MAX_RW
    for base, size in struct.iter_unpack("=QQ", raw):
        if size >> 63:
            raise OSError(errno.EINVAL, "negative buffer size")
        spans.append((base, min(size, left)))
        left -= spans[-1][1]
    return _Header(name, min(namelen, sockets.SOCKADDR_MAX), tuple(spans), control, controllen if control else 0)


def _copy_spans(tid: int, spans: Spans, limit: int | None) -> tuple[bytes, Spans]:
    total = sum(size for _, size in spans)
    if limit is not None and total > limit:
        raise OSError(errno.EMSGSIZE, "datagram larger than the send buffer")
    if limit is not None or total <= HEAD:
        return b"".join(memory.read(tid, base, size) for base, size in spans), ()
    return fetch(tid, spans, HEAD)


def _controls(tid: int, header: _Header, hold: Hold, ip: bool) -> tuple[bytes, tuple[int, ...], str]:
    """Control messages as the supervisor may send them, the descriptors they pass, and an objection."""
    if not header.controllen:
        return b"", (), ""
    if header.controllen > _CONTROL_MAX:
        raise OSError(errno.ENOBUFS, "control messages too large")
    out: list[Control] = []
    fds: list[int] = []
    objection = ""
    for one in sockets.controls(memory.read(tid, header.control, header.controllen)):
        if one.level == sockets.SOL_SOCKET and one.type == sockets.SCM_RIGHTS:
            passed = _descriptors(tid, one.data, hold, sockets.SCM_MAX_FD - len(fds))
            fds += passed
            out.append(Control(one.level, one.type, struct.pack(f"={len(passed)}i", *passed)))
            continue
        if one.level == sockets.SOL_SOCKET and one.type == sockets.SCM_CREDENTIALS:
            out.append(_credentials(tid, one))
            continue
        if ip and one.level in _HARMLESS and one.type not in _HARMLESS[one.level]:
            objection = "send: a control message that may route the packet elsewhere (IP options, routing headers)"
        out.append(one)
    return sockets.pack_controls(out), tuple(fds), objection


def _descriptors(tid: int, data: bytes, hold: Hold, most: int) -> list[int]:
    """Borrow the descriptors of one SCM_RIGHTS message. OSError: EINVAL (too many), EBADF; ETOOMANYREFS, as at the
    kernel's own limit of descriptors under way, when what is passed would take more than half of this process's."""
    numbers = struct.unpack(f"={len(data) // 4}i", data[: len(data) // 4 * 4])
    if len(numbers) > most:
        raise OSError(errno.EINVAL, "too many descriptors")
    # The kernel gives the lowest free number, so the number tells how many there are.
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    found = []
    for number in numbers:
        found.append(hold(borrow(tid, number)))
        if found[-1] >= highest:
            raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))
    return found


def _credentials(tid: int, one: Control) -> Control:
    """SCM_CREDENTIALS may only name the sender, which is the supervisor here: the process's own id becomes ours. Any
    other id stays, and the kernel refuses it as it would refuse the process."""
    if len(one.data) != 12:
        return one
    pid, uid, gid = struct.unpack("=iII", one.data)
    with open(f"/proc/{tid}/status", "rb") as status:
        tgid = next(int(line[5:]) for line in status if line.startswith(b"Tgid:"))
    return one._replace(data=struct.pack("=iII", os.getpid() if pid == tgid else pid, uid, gid))
