"""Every system call a program may make, and what the filter answers: let it run, ask, or refuse.

Lists by name, because numbers differ per machine; what is in no list gets ENOSYS, which is what an older kernel would
say and what libraries are written to fall back from. Nothing here is a policy word: the table says *which* calls are
put to the supervisor, never what it should answer.

- A name is in exactly one of ALLOW, NOTIFY, REFUSE, BY_ARGUMENT (tests hold this against the kernel's headers).
- An argument test sees registers only. What lies behind a pointer (openat2, clone3, sendmsg) cannot be tested here.
- The kernel truncates ``int`` arguments to 32 bits, so a test on one looks at the low half alone: comparing all 64
  would let a caller slip past by setting a bit nobody reads.
"""

from __future__ import annotations

import errno
from typing import Final, Literal, NamedTuple

Opens = Literal["writes", "folders", "all"]

# linux/seccomp.h: return values of a filter.
ALLOWED: Final = 0x7FFF0000
NOTIFIED: Final = 0x7FC00000
KILL_PROCESS: Final = 0x80000000


def refused(number: int) -> int:
    """SECCOMP_RET_ERRNO with ``number``; 0 answers success without doing anything."""
    return 0x00050000 | number


class Check(NamedTuple):
    """One question about argument ``arg`` (0-5). With ``wide`` all 64 bits are compared to one value; otherwise the
    low 32 bits under ``mask``. True when the result is one of ``values``, or with ``any_bit`` when it is not zero."""

    arg: int
    values: tuple[int, ...] = (0,)
    mask: int = 0xFFFFFFFF
    any_bit: bool = False
    wide: bool = False


class Case(NamedTuple):
    """``action`` when every test holds."""

    action: int
    tests: tuple[Check, ...]
    reason: str


class Rule(NamedTuple):
    """Cases in order, the first that holds wins, else ``otherwise``."""

    cases: tuple[Case, ...]
    otherwise: int
    reason: str


class Group(NamedTuple):
    names: tuple[str, ...]
    action: int
    reason: str


def _group(action: int, reason: str, names: str) -> Group:
    return Group(tuple(names.split()), action, reason)


# The words that argument rules are written in (argument_rules.py).
def equals(arg: int, *values: int, mask: int = 0xFFFFFFFF) -> Check:
    return Check(arg, values, mask)


def has_bits(arg: int, bits: int) -> Check:
    return Check(arg, mask=bits, any_bit=True)


def is_null(arg: int) -> Check:
    return Check(arg, wide=True)


def when(action: int, reason: str, *tests: Check) -> Case:
    return Case(action, tests, reason)


# asm-generic/unistd.h, scripts/syscall.tbl: since 424 every architecture uses the same numbers, and libseccomp learns
# them late. The names are resolved by libseccomp when they are not here.
COMMON_NUMBERS: Final = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "faccessat2": 439,
    "process_madvise": 440, "epoll_pwait2": 441, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446, "memfd_secret": 447,
    "process_mrelease": 448, "futex_waitv": 449, "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452,
    "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "statmount": 457,
    "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461, "mseal": 462,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467,
    "file_getattr": 468, "file_setattr": 469,
}  # fmt: skip

ALLOW: Final = (
    _group(
        ALLOWED,
        "works on descriptors that are already open; the open was judged",
        """
        read write close lseek pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 pipe pipe2 dup dup2 dup3
        select pselect6 poll ppoll flock fsync fdatasync sync syncfs sync_file_range ftruncate fallocate fadvise64
        readahead getdents getdents64 sendfile splice tee vmsplice copy_file_range close_range cachestat
        epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4
        timerfd_create timerfd_settime timerfd_gettime inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
        memfd_create""",
    ),
    _group(
        ALLOWED,
        "looks at files and changes none; Landlock and the file modes bound it",
        """
        stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getcwd chdir
        fchdir getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr
        name_to_handle_at statmount listmount""",
    ),
    _group(
        ALLOWED,
        "the caller's own memory",
        """
        munmap brk mremap msync mincore madvise mlock mlock2 munlock mlockall munlockall remap_file_pages mbind
        set_mempolicy get_mempolicy set_mempolicy_home_node pkey_alloc pkey_free membarrier mseal map_shadow_stack""",
    ),
    # Slot of the mapping rule: a writable shared mapping needs a descriptor opened for writing (mmap(2) EACCES, and a
    # mapping of a read-only one never gains PROT_WRITE), and that open was judged. Move them to BY_ARGUMENT to learn
    # which inodes are mapped: (prot & PROT_WRITE), (flags & MAP_TYPE) in {1, 3}, not MAP_ANONYMOUS.
    _group(ALLOWED, "mappings: bounded by the judged open", "mmap mprotect pkey_mprotect"),
    _group(
        ALLOWED,
        "processes of one's own; children inherit the filter",
        """
        fork vfork exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp getsid setpgid setsid
        set_tid_address pidfd_open times getrusage restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn
        umask rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause futex futex_wait futex_wake futex_waitv
        futex_requeue set_robust_list get_robust_list rseq arch_prctl seccomp kcmp""",
    ),
    _group(
        ALLOWED,
        "identities: the kernel limits them to those the caller already has",
        """
        getuid getgid geteuid getegid getgroups getresuid getresgid setuid setgid setreuid setregid setresuid
        setresgid setfsuid setfsgid setgroups capget capset""",
    ),
    _group(
        ALLOWED,
        "clocks and timers of the caller; setting the clock needs a capability it lacks",
        """
        nanosleep clock_nanosleep getitimer setitimer alarm gettimeofday time clock_gettime clock_getres timer_create
        timer_settime timer_gettime timer_getoverrun timer_delete adjtimex clock_adjtime""",
    ),
    _group(
        ALLOWED,
        "scheduling and limits: reads, and the caller's own values",
        """
        sched_yield sched_getparam sched_getscheduler sched_getattr sched_getaffinity sched_get_priority_max
        sched_get_priority_min sched_rr_get_interval getpriority ioprio_get getrlimit setrlimit getcpu""",
    ),
    _group(ALLOWED, "reads of the system", "uname sysinfo getrandom lsm_get_self_attr lsm_list_modules"),
    _group(
        ALLOWED,
        "sockets that exist: reading them, and sending on a connection that was judged",
        """
        accept accept4 recvfrom recvmsg recvmmsg shutdown getsockname getpeername getsockopt""",
    ),
    # No path and no descriptor: without an ipc namespace these reach objects of the same user's other processes.
    _group(
        ALLOWED,
        "System V objects: databases and fakeroot need them; only an ipc namespace separates them",
        """
        shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl""",
    ),
    _group(
        ALLOWED,
        "queues that are open already; opening one is refused",
        """
        mq_timedsend mq_timedreceive mq_notify mq_getsetattr""",
    ),
    _group(
        ALLOWED,
        "a further, nested sandbox only takes away",
        """
        landlock_create_ruleset landlock_add_rule landlock_restrict_self""",
    ),
)

NOTIFY: Final = (
    _group(NOTIFIED, "starts a program", "execve execveat"),
    _group(NOTIFIED, "flags lie in memory, where they can be changed after a look", "openat2"),
    _group(NOTIFIED, "creates or truncates by name, whatever the flags", "creat truncate"),
    _group(
        NOTIFIED,
        "changes names",
        """
        rename renameat renameat2 unlink unlinkat rmdir link linkat symlink symlinkat mkdir mkdirat mknod mknodat""",
    ),
    # The descriptor forms too: ownership is enough for them, a descriptor opened read-only outside the scope does.
    _group(
        NOTIFIED,
        "changes metadata; Landlock does not look at it",
        """
        chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes futimesat utimensat setxattr
        lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat""",
    ),
    _group(NOTIFIED, "reaches or offers an address", "connect bind listen"),
    _group(
        NOTIFIED,
        "signals: supervisor and guard run as the same user",
        """
        kill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal""",
    ),
    _group(NOTIFIED, "takes from another process, or acts on its memory", "process_madvise pidfd_getfd"),
)

# Landlock scopes signals to the domain from ABI 6 on; before that the filter has to ask.
THREAD_SIGNALS: Final = ("tkill", "tgkill")
# Asked about unless `debug`. With it the two that debuggers call all the time are not: Landlock keeps them inside the
# run's domain, and ptrace has a rule on its request.
DEBUGGING: Final = ("process_vm_readv", "process_vm_writev")

REFUSE: Final = (
    _group(
        refused(errno.ENOSYS),
        "a second way to do file and network work that no filter sees",
        """
        io_uring_setup io_uring_enter io_uring_register io_setup io_destroy io_getevents io_pgetevents io_submit
        io_cancel""",
    ),
    _group(refused(errno.ENOSYS), "flags lie in memory; the C library falls back to clone", "clone3"),
    _group(
        refused(errno.ENOSYS),
        "a name space of its own beside the file system, shared by a user's processes",
        "mq_open mq_unlink",
    ),
    _group(
        refused(errno.ENOSYS),
        "key rings outlive and cross runs; programs take it as a kernel without keys",
        "add_key request_key keyctl",
    ),
    _group(refused(errno.ENOSYS), "memory the supervisor could not read", "memfd_secret"),
    _group(refused(errno.ENOSYS), "acts on other processes; rarely used", "process_mrelease"),
    _group(
        refused(errno.EPERM),
        "changes what paths mean",
        """
        mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick
        mount_setattr""",
    ),
    _group(refused(errno.EPERM), "enters another process's namespaces", "setns"),
    _group(refused(errno.EPERM), "opens files past every path check", "open_by_handle_at"),
    _group(
        refused(errno.EPERM),
        "kernel surfaces an unprivileged program has no use for",
        """
        bpf userfaultfd fanotify_init fanotify_mark lsm_set_self_attr syslog""",
    ),
    _group(refused(errno.EACCES), "what perf sees on a host with perf_event_paranoid = 3", "perf_event_open"),
    _group(refused(errno.EOPNOTSUPP), "sets file attributes through a descriptor opened for reading", "file_setattr"),
    _group(
        refused(errno.EPERM),
        "the machine, not the tree",
        """
        kexec_load kexec_file_load init_module finit_module delete_module quotactl quotactl_fd swapon swapoff reboot
        acct settimeofday clock_settime sethostname setdomainname vhangup iopl ioperm""",
    ),
    _group(refused(errno.ENOSYS), "16-bit segments; a kernel built without them says the same", "modify_ldt"),
    _group(
        refused(errno.ENOSYS),
        "obsolete: no kernel implements them any more, or none should",
        """
        uselib ustat sysfs _sysctl create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall
        tuxcall security vserver set_thread_area get_thread_area lookup_dcookie epoll_ctl_old epoll_wait_old""",
    ),
)


# They make what outlives them, and that somebody else can find.
_IPC: Final = ("shmget", "semget", "msgget")


def by_name(debug: bool, abi: int, *, ipc: bool = True) -> dict[str, int]:
    """Name to filter return value for every call whose arguments do not matter.

    ``debug`` lets debuggers work on processes of the run; ``abi`` is the Landlock ABI in force, 0 for none;
    ``ipc``: System V objects can be had.
    """
    table = {name: group.action for part in (ALLOW, NOTIFY, REFUSE) for group in part for name in group.names}
    table |= dict.fromkeys(DEBUGGING, ALLOWED if debug else NOTIFIED)
    table |= dict.fromkeys(THREAD_SIGNALS, ALLOWED if abi >= 6 else NOTIFIED)
    if not ipc:
        table |= dict.fromkeys((*_IPC, "shmat"), refused(errno.EACCES))
    return table
