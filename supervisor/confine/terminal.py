"""The controlling terminal: handed to the agent, taken back at its end.

Only the guard, which the user's shell waits for, moves the foreground group; tcsetpgrp(3) from a background group
needs SIGTTOU blocked or ignored.
"""

from __future__ import annotations

import os
import signal
import termios

Modes = list[int | list[bytes | int]]


def open_foreground() -> int:
    """A descriptor of the controlling terminal when this process group is in its foreground, else -1."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return -1
    if is_ours(fd):
        return fd
    os.close(fd)
    return -1


def is_ours(fd: int) -> bool:
    """Whether this process group is in the foreground of the terminal."""
    try:
        return fd >= 0 and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def modes(fd: int) -> Modes | None:
    """How the terminal is set (termios(3)), None where there is none."""
    try:
        return termios.tcgetattr(fd) if fd >= 0 else None
    except termios.error:
        return None


def restore(fd: int, saved: Modes | None) -> None:
    """Set the terminal as it was: a program that was killed could not do so itself. Only for whoever has it."""
    if saved is None:
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, saved)  # not TCSADRAIN: output that was stopped (Ctrl-S) never drains
    except termios.error:
        pass  # it is gone
    finally:
        signal.signal(signal.SIGTTOU, before)


def give(fd: int, group: int) -> None:
    """Put ``group`` in the foreground; a terminal that is gone, or a group that ended, changes nothing."""
    if fd < 0:
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(fd, group)
    except OSError:
        pass
    finally:
        signal.signal(signal.SIGTTOU, before)
