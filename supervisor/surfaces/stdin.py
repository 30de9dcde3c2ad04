"""What waits on the standard input of a program that is about to run, without taking it away."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios

from supervisor.kernel import process
from supervisor.kernel.libc import tee


def waiting_input(tid: int, most: int) -> bytes | None:
    """All that the program will read there, up to ``most`` bytes; None where that is not known yet: a terminal, a
    socket, a pipe that somebody can still write to. A here-document is a file without a name, or a pipe that is full
    before the program starts (bash, dash)."""
    try:
        copy = process.borrow(tid, 0)
    except OSError:
        return b""  # closed: there is nothing to read
    try:
        mode = os.fstat(copy).st_mode
        if stat.S_ISREG(mode):
            at = os.lseek(copy, 0, os.SEEK_CUR)
            return os.pread(copy, most, at)
        if stat.S_ISCHR(mode):
            return b"" if os.fstat(copy).st_rdev == os.makedev(1, 3) else None
        return _piped(copy, most) if stat.S_ISFIFO(mode) else None
    except OSError:
        return None
    finally:
        os.close(copy)


def _piped(copy: int, most: int) -> bytes | None:
    """tee(2) leaves the data where it is. POLLHUP: nobody has the other end open for writing (poll(2))."""
    poll = select.poll()
    poll.register(copy, select.POLLIN)
    closed = any(event & select.POLLHUP for _, event in poll.poll(0))
    if not closed:
        return None
    waits = int.from_bytes(fcntl.ioctl(copy, termios.FIONREAD, bytes(4)), sys.byteorder)
    out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, min(max(waits, 1), most))
        found = b""
        size = tee(copy, into, most)
        if size != waits:
            return None
        while len(found) < size and (chunk := os.read(out, size - len(found))):
            found += chunk
        return found
    finally:
        os.close(out)
        os.close(into)
