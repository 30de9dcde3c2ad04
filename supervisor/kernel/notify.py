"""The seccomp notification listener (seccomp_unotify(2)): receive, answer, install descriptors.

Plain ``fcntl.ioctl`` on kept buffers: one ctypes call per notification would cost as much as the act itself.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from typing import NamedTuple

# linux/seccomp.h: SECCOMP_IOC_MAGIC '!', _IOWR/_IOW numbers
IOCTL_RECV = 0xC0502100
IOCTL_SEND = 0xC0182101
IOCTL_ID_VALID = 0x40082102
IOCTL_ADDFD = 0x40182103
IOCTL_SET_FLAGS = 0x40082104
FLAG_CONTINUE = 1
FD_SYNC_WAKE_UP = 1

# struct seccomp_notif: id, pid, flags, {nr, arch, instruction_pointer, args[6]}
_NOTIF = struct.Struct("=QII iIQ 6Q")
_RESP = struct.Struct("=QqiI")
_ADDFD = struct.Struct("=QIIII")
_O_CLOEXEC = 0o2000000


class Notification(NamedTuple):
    """``tid`` is the calling thread's id; ``args`` are the six registers, unsigned."""

    id: int
    tid: int
    number: int
    args: tuple[int, int, int, int, int, int]


class Gone(Exception):
    """The notified thread died: whatever was done for it stays done, nobody waits for the answer."""


class Listener:
    """One listener descriptor. Not closed while the run lives: a closed one turns every mediated call into ENOSYS."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._zero = bytes(_NOTIF.size)

    def fileno(self) -> int:
        return self.fd

    def wake_synchronously(self) -> bool:
        """Ask for SYNC_WAKE_UP (Linux 6.6): hands the CPU straight to the other side. False where it is unknown."""
        try:
            fcntl.ioctl(self.fd, IOCTL_SET_FLAGS, FD_SYNC_WAKE_UP)
        except OSError:
            return False
        return True

    def receive(self) -> Notification | None:
        """The next notification; None when its thread died meanwhile."""
        buffer = bytearray(self._zero)  # the kernel refuses a buffer that is not zeroed
        try:
            fcntl.ioctl(self.fd, IOCTL_RECV, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        ident, tid, _, number, _, _, *args = _NOTIF.unpack(buffer)
        return Notification(ident, tid, number, (args[0], args[1], args[2], args[3], args[4], args[5]))

    def send(self, ident: int, error: int = 0, value: int = 0, cont: bool = False) -> None:
        """Answer. ``error`` is a positive errno. Raises ``Gone`` when the thread no longer waits."""
        self._ioctl(IOCTL_SEND, _RESP.pack(ident, value, -error, FLAG_CONTINUE if cont else 0))

    def install(self, ident: int, fd: int, cloexec: bool) -> int:
        """Put a duplicate of ``fd`` into the thread's table at its lowest free number, which is returned; the thread
        still waits. Errors: ``Gone``; OSError(EMFILE) when its table is full.

        Not in one step with the answer (ADDFD_FLAG_SEND): the thread would run before our own copy is closed, so that
        its close(2) would not be the last one (locks, end of file, inotify), and a signal to us between the two halves
        makes the kernel take the file back after it has answered.
        """
        return self._ioctl(IOCTL_ADDFD, _ADDFD.pack(ident, 0, fd, 0, _O_CLOEXEC if cloexec else 0))

    def valid(self, ident: int) -> bool:
        """Whether the thread still waits for this answer."""
        try:
            fcntl.ioctl(self.fd, IOCTL_ID_VALID, struct.pack("=Q", ident))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def _ioctl(self, request: int, packed: bytes) -> int:
        try:
            done: int = fcntl.ioctl(self.fd, request, bytearray(packed))
            return done
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINPROGRESS):
                raise Gone from error
            raise
