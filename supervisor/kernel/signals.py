"""Signals as readable events (signalfd(2)), so that none ever interrupts a system call of the loop.

Not a convenience: an ADDFD with SECCOMP_ADDFD_FLAG_SEND that a signal interrupts is taken back by the kernel after the
call was already marked as answered, and the process reads result 0 - its own stdin - as the file it opened.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from supervisor.kernel.libc import fail, libc

_SIGINFO = 128  # struct signalfd_siginfo
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class SignalFd:
    """Blocks ``numbers`` for this thread and delivers them through ``fd``. Children of fork must unblock them."""

    def __init__(self, numbers: Iterable[int]) -> None:
        wanted = tuple(numbers)
        signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        bits = sum(1 << (number - 1) for number in set(wanted))  # sigset_t: bit n-1 stands for signal n
        self.fd: int = libc.signalfd(-1, bits.to_bytes(128, "little"), _NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise fail("signalfd")

    def fileno(self) -> int:
        return self.fd

    def read(self) -> set[int]:
        """The signals that arrived since the last call."""
        found: set[int] = set()
        while True:
            try:
                data = os.read(self.fd, 16 * _SIGINFO)
            except BlockingIOError:
                return found
            found.update(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), _SIGINFO))
