"""Watches on single inodes (inotify(7)), so that the end of a write is noticed as it happens."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from ctypes import c_char_p, c_int, c_uint32

from supervisor.kernel.libc import fail, libc

# linux/inotify.h
IN_CLOSE_WRITE = 0x00000008
IN_Q_OVERFLOW = 0x00004000
_EVENT = struct.Struct("=iIII")  # struct inotify_event: wd, mask, cookie, len
_BUFFER = 1 << 16


class Watches:
    """One inotify instance. ``fd`` is readable when something happened."""

    def __init__(self) -> None:
        init = libc.inotify_init1
        init.restype = c_int
        self.fd: int = init(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise fail("inotify_init1")
        add = libc.inotify_add_watch
        add.argtypes, add.restype = (c_int, c_char_p, c_uint32), c_int
        remove = libc.inotify_rm_watch
        remove.argtypes, remove.restype = (c_int, c_int), c_int
        self._add, self._remove = add, remove

    def fileno(self) -> int:
        return self.fd

    def add(self, fd: int) -> int:
        """Watch the inode behind an open descriptor for the close of a writer. Returns the watch; two of one inode are
        one. OSError(ENOSPC): max_user_watches is reached, which only costs latency."""
        watch: int = self._add(self.fd, b"/proc/self/fd/%d" % fd, IN_CLOSE_WRITE)
        if watch < 0:
            raise fail("inotify_add_watch")
        return watch

    def remove(self, watch: int) -> None:
        """Give up a watch; one that the kernel dropped by itself (the inode is gone) is no error."""
        if self._remove(self.fd, watch) < 0 and ctypes.get_errno() != errno.EINVAL:
            raise fail("inotify_rm_watch")

    def drain(self) -> tuple[set[int], bool]:
        """Watches whose inode lost a writer since the last call, and whether events were lost (IN_Q_OVERFLOW)."""
        found: set[int] = set()
        lost = False
        while True:
            try:
                data = os.read(self.fd, _BUFFER)
            except BlockingIOError:
                return found, lost
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size + length
                lost = lost or bool(mask & IN_Q_OVERFLOW)
                if mask & IN_CLOSE_WRITE:
                    found.add(watch)

    def close(self) -> None:
        os.close(self.fd)
