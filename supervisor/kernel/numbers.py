"""Numbers of the calls that are put to the supervisor, by machine.

Kept beside the filter so that a start with a cached filter does not load libseccomp; a test holds them against it.
Sources: arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import os

from supervisor.vocabulary.errors import HostError

_COMMON = {
    424: "pidfd_send_signal",
    437: "openat2",
    438: "pidfd_getfd",
    440: "process_madvise",
    452: "fchmodat2",
    463: "setxattrat",
    466: "removexattrat",
}

_X86_64 = _COMMON | {
    2: "open", 42: "connect", 44: "sendto", 46: "sendmsg", 49: "bind", 50: "listen", 59: "execve", 62: "kill",
    72: "fcntl", 76: "truncate", 82: "rename", 83: "mkdir", 84: "rmdir", 85: "creat", 86: "link", 87: "unlink",
    88: "symlink", 90: "chmod", 91: "fchmod", 92: "chown", 93: "fchown", 94: "lchown", 101: "ptrace",
    129: "rt_sigqueueinfo", 132: "utime", 133: "mknod", 141: "setpriority", 142: "sched_setparam",
    144: "sched_setscheduler", 157: "prctl", 188: "setxattr", 189: "lsetxattr", 190: "fsetxattr", 197: "removexattr",
    198: "lremovexattr", 199: "fremovexattr", 200: "tkill", 203: "sched_setaffinity", 234: "tgkill", 235: "utimes",
    251: "ioprio_set", 257: "openat", 258: "mkdirat", 259: "mknodat", 260: "fchownat", 261: "futimesat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 266: "symlinkat", 268: "fchmodat", 280: "utimensat",
    297: "rt_tgsigqueueinfo", 302: "prlimit64", 307: "sendmmsg", 310: "process_vm_readv", 311: "process_vm_writev",
    312: "kcmp", 316: "renameat2", 322: "execveat",
}  # fmt: skip

_AARCH64 = _COMMON | {
    5: "setxattr", 6: "lsetxattr", 7: "fsetxattr", 14: "removexattr", 15: "lremovexattr", 16: "fremovexattr",
    25: "fcntl", 30: "ioprio_set", 33: "mknodat", 34: "mkdirat", 35: "unlinkat", 36: "symlinkat", 37: "linkat",
    38: "renameat", 45: "truncate", 52: "fchmod", 53: "fchmodat", 54: "fchownat", 55: "fchown", 56: "openat",
    88: "utimensat", 117: "ptrace", 118: "sched_setparam", 119: "sched_setscheduler", 122: "sched_setaffinity",
    129: "kill", 130: "tkill", 131: "tgkill", 138: "rt_sigqueueinfo", 140: "setpriority", 167: "prctl",
    200: "bind", 201: "listen", 203: "connect", 206: "sendto", 211: "sendmsg", 221: "execve",
    240: "rt_tgsigqueueinfo", 261: "prlimit64", 269: "sendmmsg", 270: "process_vm_readv", 271: "process_vm_writev",
    272: "kcmp", 276: "renameat2", 281: "execveat",
}  # fmt: skip


def notified() -> dict[int, str]:
    """Number -> name for this machine. Errors: ``HostError`` on a machine without a table."""
    machine = os.uname().machine
    table = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(machine)
    if table is None:
        raise HostError(
            f"no system call table for {machine}", "the filter knows calls by number", "run govrun on x86_64 or aarch64"
        )
    return table
