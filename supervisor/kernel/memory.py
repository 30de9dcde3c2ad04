"""The memory of another process: process_vm_readv(2), each byte read once.

A fresh process is read without touching its procfs entry (15-20 us for the first touch). What cannot be read is an
error, never an empty value: callers answer EFAULT.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from supervisor.kernel.libc import fail, libc

PATH_MAX = 4096  # linux/limits.h, the NUL included
PAGE = 4096
ARG_MAX_STRING = 131072  # MAX_ARG_STRLEN, linux/binfmts.h


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def _bind(name: str) -> Any:
    fn = ctypes.CFUNCTYPE(
        ctypes.c_ssize_t,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_ulong,
        ctypes.c_void_p,
        ctypes.c_ulong,
        ctypes.c_ulong,
        use_errno=True,
    )
    return fn((name, libc))


_readv = _bind("process_vm_readv")
_writev = _bind("process_vm_writev")


class _Scratch:
    """One small buffer with its iovec, reused: most reads are names, and building these costs more than the call."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(PAGE)
        self.local = _Iovec(ctypes.addressof(self.buffer), 0)
        self.remote = _Iovec(0, 0)
        self.local_at, self.remote_at = ctypes.addressof(self.local), ctypes.addressof(self.remote)


_SCRATCH = _Scratch()  # one thread reads


def read(pid: int, address: int, size: int) -> bytes:
    """Exactly ``size`` bytes at ``address``. OSError(EFAULT) when any of them is not mapped."""
    if size == 0:
        return b""
    scratch = _SCRATCH
    if size > PAGE:
        return _read_large(pid, address, size)
    scratch.local.size = scratch.remote.size = size
    scratch.remote.base = address
    done = _readv(pid, scratch.local_at, 1, scratch.remote_at, 1, 0)
    if done < 0:
        raise fail("process_vm_readv")
    if done != size:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return ctypes.string_at(scratch.local.base, size)


def _read_large(pid: int, address: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    local = _Iovec(ctypes.addressof(buffer), size)
    remote = _Iovec(address, size)
    done = _readv(pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)
    if done < 0:
        raise fail("process_vm_readv")
    if done != size:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return buffer.raw


def write(pid: int, address: int, data: bytes) -> None:
    """Write ``data`` at ``address`` of the process. OSError(EFAULT) when it does not fit."""
    if not data:
        return
    buffer = ctypes.create_string_buffer(data, len(data))
    local = _Iovec(ctypes.addressof(buffer), len(data))
    remote = _Iovec(address, len(data))
    done = _writev(pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)
    if done < 0:
        raise fail("process_vm_writev")
    if done != len(data):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


def _pieces(pid: int, spans: list[tuple[int, int]]) -> list[bytes]:
    """Read several spans in one call. A short result means that a page is missing: the spans after it come empty."""
    total = sum(size for _, size in spans)
    buffer = ctypes.create_string_buffer(total)
    local = _Iovec(ctypes.addressof(buffer), total)
    remote = (_Iovec * len(spans))(*(_Iovec(*span) for span in spans))
    done = _readv(pid, ctypes.addressof(local), 1, ctypes.addressof(remote), len(spans), 0)
    if done < 0:
        raise fail("process_vm_readv")
    raw, out, at = buffer.raw[:done], [], 0
    for _, size in spans:
        out.append(raw[at : at + size])
        at += size
    return out


def string(pid: int, address: int, limit: int = PATH_MAX) -> bytes:
    """A NUL-terminated string of at most ``limit`` bytes, the NUL counted.

    Errors: EFAULT (not mapped, NULL), ENAMETOOLONG (no NUL within ``limit``). Reads up to the end of a page at a
    time, since the next page may not be there.
    """
    parts: list[bytes] = []
    got = 0
    while got < limit:
        size = min(limit - got, PAGE - (address + got) % PAGE, 256 if not parts else PAGE)
        chunk = read(pid, address + got, size)
        end = chunk.find(b"\0")
        if end >= 0:
            parts.append(chunk[:end])
            return b"".join(parts)
        parts.append(chunk)
        got += size
    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def pointers(pid: int, address: int, limit: int = 100_000) -> list[int]:
    """A NULL-terminated vector of pointers, as execve(2) takes them. E2BIG past ``limit`` of them."""
    found: list[int] = []
    if address == 0:
        return found  # Linux takes a NULL argv as an empty one
    while len(found) <= limit:
        size = min(PAGE - address % PAGE, 512 if not found else PAGE) // 8 * 8 or 8
        chunk = memoryview(read(pid, address, size)).cast("Q")
        for value in chunk:
            if value == 0:
                return found
            found.append(value)
        address += size
    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))


def strings(pid: int, address: int, total: int = 2 << 20) -> tuple[bytes, ...]:
    """The strings of an argument vector: one read for the pointers, one vectored read for the strings.

    Errors: EFAULT, E2BIG (a string over 128 KiB, or more than ``total`` bytes together).
    """
    found: list[bytes] = []
    addresses = pointers(pid, address)
    for at in range(0, len(addresses), 512):
        batch = addresses[at : at + 512]
        spans = [(a, min(256, PAGE - a % PAGE)) for a in batch]
        for a, piece in zip(batch, _pieces(pid, spans), strict=True):
            end = piece.find(b"\0")
            try:
                found.append(piece[:end] if end >= 0 else string(pid, a, ARG_MAX_STRING))
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG)) from error
                raise
        if sum(map(len, found)) > total:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    return tuple(found)
