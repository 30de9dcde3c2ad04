"""Whether anybody still has a file open for writing, asked with a lease that is given back at once (fcntl(2))."""

from __future__ import annotations

import errno
import fcntl

from supervisor.kernel.libc import file_system

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
    try:
        return file_system(fd) != _OVERLAYFS
    except OSError:
        return False
