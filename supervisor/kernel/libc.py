"""System calls that Python's ``os`` lacks, one wrapper each, built once.

Every wrapper raises ``OSError`` with the call's name. Numbers come from asm-generic/unistd.h for calls newer than
5.1 (the same on every architecture) and from the C library's own functions for the rest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

# asm-generic/unistd.h
NR_PIDFD_SEND_SIGNAL = 424
NR_PIDFD_OPEN = 434
NR_CLOSE_RANGE = 436
NR_OPENAT2 = 437
NR_PIDFD_GETFD = 438

# linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

# linux/fcntl.h
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39


class _OpenHow(ctypes.Structure):
    """struct open_how, linux/openat2.h."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def fail(name: str, path: bytes | None = None) -> OSError:
    """The errno of the last call through this library as an ``OSError``."""
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}", os.fsdecode(path) if path is not None else None)


def _function(name: str, *argtypes: Any) -> Any:
    fn = getattr(libc, name)
    fn.argtypes = argtypes
    fn.restype = c_int
    return fn


# A prototype of its own per call: re-assigning argtypes of the one ``syscall`` symbol would be shared state, and
# variadic calls without argtypes pass 32-bit rubbish in the seventh argument.
_PROTO6 = ctypes.CFUNCTYPE(c_long, c_long, c_long, c_long, c_long, c_long, c_long, c_long, use_errno=True)
_raw = _PROTO6(("syscall", libc))
_openat2 = ctypes.CFUNCTYPE(c_long, c_long, c_long, c_char_p, c_void_p, c_size_t, use_errno=True)(("syscall", libc))
_renameat2 = _function("renameat2", c_int, c_char_p, c_int, c_char_p, c_uint)
_linkat = _function("linkat", c_int, c_char_p, c_int, c_char_p, c_int)
_fchmodat = _function("fchmodat", c_int, c_char_p, c_uint, c_int)
_utimensat = _function("utimensat", c_int, c_char_p, c_void_p, c_int)
_tee = ctypes.CFUNCTYPE(ctypes.c_ssize_t, c_int, c_int, c_size_t, c_uint, use_errno=True)(("tee", libc))
_prctl = _function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def syscall(number: int, *args: int, name: str = "syscall") -> int:
    """A raw system call with up to six integer arguments. Errors: ``OSError``."""
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    result: int = _raw(number, *padded)
    if result < 0:
        raise fail(name)
    return result


def file_system(fd: int) -> int:
    """The kind of file system that a file lies on (statfs(2), f_type; linux/magic.h). Errors: ``OSError``."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit machines
    if libc.fstatfs(fd, buffer) < 0:
        raise fail("fstatfs")
    return int.from_bytes(buffer.raw[:8], sys.byteorder) & 0xFFFFFFFF


def openat2(dirfd: int, path: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): a new descriptor, always close-on-exec."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    fd: int = _openat2(NR_OPENAT2, dirfd, path, ctypes.addressof(how), 24)
    if fd < 0:
        raise fail("openat2", path)
    return fd


def renameat2(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
    """rename(2) with flags."""
    if _renameat2(olddir, old, newdir, new, flags) < 0:
        raise fail("renameat2", old)


def linkat(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
    """link(2). Python's ``os.link`` cannot follow ``/proc/self/fd/N`` on every version, hence this."""
    if _linkat(olddir, old, newdir, new, flags) < 0:
        raise fail("linkat", old)


def utimensat(dirfd: int, name: bytes | None, times: tuple[int, int, int, int] | None, flags: int) -> None:
    """utimensat(2); ``times`` = (atime s, atime ns, mtime s, mtime ns), where ns may be UTIME_NOW or UTIME_OMIT."""
    buffer = (c_long * 4)(*times) if times is not None else None
    if _utimensat(dirfd, name, ctypes.addressof(buffer) if buffer is not None else None, flags) < 0:
        raise fail("utimensat", name)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2) with integer arguments."""
    result: int = _prctl(option, arg2, arg3, arg4, arg5)
    if result < 0:
        raise fail("prctl")
    return result


def tee(source: int, to: int, most: int) -> int:
    """tee(2), without waiting: copy what is in one pipe into another and leave it there; how many bytes, 0 for none."""
    done: int = _tee(source, to, most, 2)  # SPLICE_F_NONBLOCK, linux/splice.h
    if done < 0:
        if ctypes.get_errno() == errno.EAGAIN:
            return 0
        raise fail("tee")
    return done


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """close_range(2): close every descriptor from ``first`` on. Any failure is fatal to the caller (a leak)."""
    syscall(NR_CLOSE_RANGE, first, last, 0, name="close_range")


def errno_of(error: OSError) -> int:
    """The errno to hand to a process; an error without one must never read as success."""
    return error.errno or errno.EIO
