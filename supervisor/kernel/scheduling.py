"""Scheduling of the supervisor: it is woken for microseconds at a time and should not queue behind the run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

from supervisor.kernel.libc import syscall

# asm/unistd_64.h; asm-generic/unistd.h
_NR_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_RESET_ON_FORK = 1
_SLICE = 100_000  # nanoseconds; EEVDF takes sched_runtime of SCHED_OTHER as the wished slice (Linux 6.12)


def prefer(nice: int) -> None:
    """Lower this process's nice value where allowed, and ask for a short slice. Neither is needed to be correct.

    Children start with the usual values again (SCHED_FLAG_RESET_ON_FORK): the agent must not inherit the preference.
    """
    number = _NR_SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return
    current = os.getpriority(os.PRIO_PROCESS, 0)
    for wanted in (nice, current):
        # struct sched_attr, linux/sched/types.h: size, policy, flags, nice, priority, runtime, deadline, period
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, _RESET_ON_FORK, wanted, 0, _SLICE, 0, 0)
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        with contextlib.suppress(OSError):
            syscall(number, 0, ctypes.addressof(buffer), 0, name="sched_setattr")
            return
