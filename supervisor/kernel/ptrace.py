"""The few ptrace(2) requests that an exec check needs. All from one thread: ptrace binds tracer threads."""

from __future__ import annotations

import ctypes
import os

from supervisor.kernel.libc import fail, libc

# linux/ptrace.h
PTRACE_CONT = 7
PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
O_TRACEEXEC = 0x10
O_EXITKILL = 0x100000
EVENT_EXEC = 4
EVENT_STOP = 128
WALL = 0x40000000  # __WALL, linux/wait.h: threads too

_ptrace = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long, use_errno=True)(
    ("ptrace", libc)
)


def _call(request: int, tid: int, data: int) -> None:
    if _ptrace(request, tid, 0, data) < 0:
        raise fail("ptrace")


def seize(tid: int) -> None:
    """Attach without stopping, to be stopped at the next successful exec. The tracee dies with the tracer."""
    _call(PTRACE_SEIZE, tid, O_TRACEEXEC | O_EXITKILL)


def interrupt(tid: int) -> None:
    """Stop a seized thread that runs (it reports an EVENT_STOP)."""
    _call(PTRACE_INTERRUPT, tid, 0)


def resume(tid: int, signal: int) -> None:
    """Let a stopped tracee go on, delivering ``signal`` (0: none)."""
    _call(PTRACE_CONT, tid, signal)


def listen(tid: int) -> None:
    """Leave a tracee in its group stop (job control) while it can still be told apart from a running one."""
    _call(PTRACE_LISTEN, tid, 0)


def detach(tid: int, signal: int = 0) -> None:
    """Let a stopped tracee go for good, delivering ``signal`` (0: none)."""
    _call(PTRACE_DETACH, tid, signal)


def reap(of: int = -1) -> tuple[int, int] | None:
    """The next state change of any child or tracee, or of one, as (pid, wait status), None when there is none now.

    Never blocks: a failing execve gives no stop, so whoever waits for one hangs.
    """
    try:
        pid, status = os.waitpid(of, os.WNOHANG | WALL)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


_PTRACE_GETEVENTMSG = 0x4201


def event_message(tid: int) -> int:
    """PTRACE_GETEVENTMSG: at an exec stop, the former id of the thread that executed."""
    value = ctypes.c_ulong()
    if _ptrace(_PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(value)) < 0:
        raise fail("ptrace")
    return value.value
