"""Loading a filter program (seccomp(2)). Apart from building one, so that the child of a launch imports little."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

from supervisor.kernel.libc import syscall
from supervisor.vocabulary.errors import HostError

# linux/seccomp.h
SET_MODE_FILTER: Final = 1
GET_ACTION_AVAIL: Final = 2
FLAG_NEW_LISTENER: Final = 8
FLAG_WAIT_KILLABLE_RECV: Final = 0x20
LISTENER: Final = FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV
# seccomp(2) by machine: asm/unistd_64.h; asm-generic/unistd.h
SECCOMP_NUMBERS: Final = {"x86_64": 317, "aarch64": 277}
INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter, linux/filter.h


def seccomp_number() -> int:
    """The number of seccomp(2) here. Errors: ``HostError`` on a machine type there is no table for."""
    machine = os.uname().machine
    if machine not in SECCOMP_NUMBERS:
        raise HostError(
            f"no system call table for {machine}",
            "the filter has to know every system call by number",
            "run govrun on x86_64 or aarch64 with a 64-bit Python",
        )
    if struct.calcsize("P") != 8:
        raise HostError("a 32-bit Python cannot supervise", "the filter covers one architecture", "use a 64-bit Python")
    return SECCOMP_NUMBERS[machine]


class _Program(ctypes.Structure):
    """struct sock_fprog, linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def load(program: bytes, flags: int = LISTENER) -> int:
    """Put the calling thread under ``program``; returns the listener (close-on-exec) when ``flags`` ask for one.

    seccomp(2). The caller needs no_new_privs. Errors: ``OSError``; EBUSY means that a filter with a listener is already
    in force (the kernel allows one per process), EINVAL that a flag is unknown (before 5.19) or the program is bad.
    """
    if not program or len(program) % INSTRUCTION.size:
        raise OSError(errno.EINVAL, "seccomp: not a filter program")
    code = ctypes.create_string_buffer(program, len(program))
    head = _Program(len(program) // INSTRUCTION.size, ctypes.addressof(code))
    return syscall(seccomp_number(), SET_MODE_FILTER, flags, ctypes.addressof(head), name="seccomp")
