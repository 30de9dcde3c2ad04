"""Whether anybody still has a file open for writing, asked with a lease that is given back at once (fcntl(2))."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import sys

from supervisor.kernel.libc import libc

F_SETLEASE = 1024  # linux/fcntl.h
_OVERLAYFS = 0x794C7630  # linux/magic.h


def has_writer(fd: int) -> bool | None:
    """``fd`` is open for reading. True also for a shared writable mapping whose descriptor is closed (not on overlayfs,
    where such a mapping is not seen). None: it cannot be told here, because the file belongs to another user or its
    file system knows no leases.
    """
    try:
        # F_RDLCK is refused while the inode is open for writing anywhere.
        fcntl.fcntl(fd, F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(fd, F_SETLEASE, fcntl.F_UNLCK)
    return False


def sees_mappings(fd: int) -> bool:
    """Whether ``has_writer`` knows of shared mappings of this file (statfs(2), f_type)."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit machines
    if libc.fstatfs(fd, buffer) < 0:
        return False
    return int.from_bytes(buffer.raw[:8], sys.byteorder) & 0xFFFFFFFF != _OVERLAYFS
