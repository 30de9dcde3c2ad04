"""Processes by descriptor and by ``/proc``: pidfds, borrowed descriptors, identity, the subreaper flag."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import NamedTuple

from supervisor.kernel.libc import (
    NR_PIDFD_GETFD,
    NR_PIDFD_OPEN,
    NR_PIDFD_SEND_SIGNAL,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    prctl,
    syscall,
)

PIDFD_THREAD = os.O_EXCL  # linux/pidfd.h, 6.9


class Status(NamedTuple):
    """The lines of ``/proc/TID/status`` that matter (proc(5)). Signal sets are bit masks, bit n-1 = signal n."""

    tgid: int
    ppid: int
    umask: int
    tracer: int
    pending: int
    blocked: int
    ignored: int


def pidfd_open(tid: int) -> int:
    """A pidfd for a thread or process id. Plain pidfd_open(2) refuses the id of a thread that is no leader, so that
    one is asked for as a thread (6.9) and, on older kernels, through its thread group."""
    try:
        return syscall(NR_PIDFD_OPEN, tid, 0, name="pidfd_open")
    except OSError as error:
        # A non-leader: EINVAL before 6.9, ENOENT since.
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    try:
        return syscall(NR_PIDFD_OPEN, tid, PIDFD_THREAD, name="pidfd_open")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return syscall(NR_PIDFD_OPEN, status(tid).tgid, 0, name="pidfd_open")


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor (pidfd_getfd(2)), close-on-exec."""
    return syscall(NR_PIDFD_GETFD, pidfd, fd, 0, name="pidfd_getfd")


def borrow(tid: int, fd: int) -> int:
    """A duplicate of descriptor ``fd`` of thread ``tid``. EBADF when it is not open there."""
    if fd < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    pidfd = pidfd_open(tid)
    try:
        return pidfd_getfd(pidfd, fd)
    finally:
        os.close(pidfd)


def pidfd_signal(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2)."""
    syscall(NR_PIDFD_SEND_SIGNAL, pidfd, number, 0, 0, name="pidfd_send_signal")


def become_subreaper() -> None:
    """Orphans below this process become its children (PR_SET_CHILD_SUBREAPER), so none leaves the tree."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Receive signal ``number`` when the parent thread ends (PR_SET_PDEATHSIG)."""
    prctl(PR_SET_PDEATHSIG, number)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 8192)
    finally:
        os.close(fd)


def status(tid: int) -> Status:
    """Parse ``/proc/TID/status``. OSError when the thread is gone."""
    fields: dict[bytes, bytes] = {}
    for line in _read(f"/proc/{tid}/status").split(b"\n"):
        key, _, value = line.partition(b":")
        fields[key] = value.strip()
    try:
        return Status(
            int(fields[b"Tgid"]),
            int(fields[b"PPid"]),
            int(fields.get(b"Umask", b"0777"), 8),  # absent for a process that is ending: it creates nothing
            int(fields[b"TracerPid"]),
            int(fields[b"SigPnd"], 16) | int(fields[b"ShdPnd"], 16),
            int(fields[b"SigBlk"], 16),
            int(fields[b"SigIgn"], 16),
        )
    except (KeyError, ValueError) as error:
        raise OSError(errno.ESRCH, "unreadable status") from error


def pidfd_of_leader(tid: int) -> int | None:
    """A pidfd when ``tid`` leads its thread group, None when it is another thread. OSError (ESRCH) when it is gone."""
    try:
        return syscall(NR_PIDFD_OPEN, tid, 0, name="pidfd_open")
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def family(pid: int) -> tuple[int, int, int]:
    """(parent, process group, start in clock ticks since boot) from ``/proc/PID/stat``, fields 4, 5 and 22 (proc(5)).

    With the start a pid names a process for good. The name in field 2 may hold spaces and parentheses.
    """
    text = _read(f"/proc/{pid}/stat")
    try:
        words = text[text.rindex(b")") + 2 :].split()
        return int(words[1]), int(words[2]), int(words[19])
    except (ValueError, IndexError) as error:
        raise OSError(errno.ESRCH, "unreadable stat") from error


def layout(tid: int) -> tuple[int, int, int]:
    """Begin and end of the code, and the bottom of the stack: fields 26 to 28 of ``/proc/TID/stat`` (proc(5)).

    New with every exec, as long as addresses are randomised. The stack is 0 until an exec has set up its image, and
    all of them are for whoever may not look.
    """
    text = _read(f"/proc/{tid}/stat")
    try:
        words = text[text.rindex(b")") + 2 :].split()
        return int(words[23]), int(words[24]), int(words[25])
    except (ValueError, IndexError) as error:
        raise OSError(errno.ESRCH, "unreadable stat") from error


def parent_of(pid: int) -> int:
    """Parent process id. OSError when the process is gone."""
    return family(pid)[0]


def umask(tid: int) -> int:
    """The file mode mask of a thread (``Umask:`` in its status, proc(5)). OSError when it is gone."""
    text = _read(f"/proc/{tid}/status")
    at = text.find(b"Umask:")
    if at < 0:
        raise OSError(errno.ESRCH, "the thread is ending")
    return int(text[at + 6 : text.index(b"\n", at)], 8)


def descriptor_flags(tid: int, number: int) -> int:
    """The flags a descriptor was opened with (``flags:`` in its fdinfo). EBADF when it is not open."""
    try:
        text = _read(f"/proc/{tid}/fdinfo/{number}")
    except FileNotFoundError as error:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error
    at = text.index(b"flags:")
    return int(text[at + 6 : text.index(b"\n", at)], 8)


def open_descriptors(tid: int) -> int:
    """How many descriptors the process holds: the size of its fd directory (Linux 6.2)."""
    return os.stat(f"/proc/{tid}/fd").st_size


# linux/pidfd.h: PIDFD_GET_INFO is _IOWR(0xFF, 11, struct pidfd_info), of which the first version has 64 bytes.
_INFO = struct.Struct("QQ11Ii")
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11
_INFO_EXIT = 1 << 3


def exit_status(pidfd: int, pid: int) -> int | None:
    """The wait status of a process that has ended, whoever its parent is: from the kernel once it was reaped (Linux
    6.15), else from its entry in /proc while that is left. None where neither tells."""
    told = bytearray(_INFO.pack(_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, told)
        mask, *_, status = _INFO.unpack(told)
        if mask & _INFO_EXIT:
            return int(status)
    except OSError:
        pass  # an older kernel
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[49]) if fields[0] == b"Z" else None  # proc(5), field 52
