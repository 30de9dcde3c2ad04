"""Calls whose answer depends on their registers: in order, the first case that holds wins.

A register test cannot be raced, and cannot see what lies behind a pointer. The kernel truncates ``int`` arguments to
32 bits, so tests on one look at the low half alone.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from supervisor.kernel.syscall_table import ALLOWED, NOTIFIED, Opens, Rule, equals, has_bits, is_null, refused, when
from supervisor.vocabulary.errors import InternalError

# linux/sched.h. CLONE_NEWTIME (0x80) lies in clone's exit-signal byte, so only unshare can mean it.
_NEW_NAMESPACES: Final = 0x7E020000
_NEW_TIME: Final = 0x80
# asm-generic/fcntl.h; the same on x86-64 and aarch64. Access mode 3 (neither read nor write) counts as write intent.
_O_PATH: Final = 0o10000000
_WRITE_INTENT: Final = 0o3 | 0o100 | 0o1000
# fcntl(2) commands that set nothing but the caller's own flags, locks and pipes.
_FCNTL_PLAIN: Final = (
    0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 16, 17, 36, 37, 38, 1025, 1027, 1028, 1030, 1031, 1032, 1033, 1034, 1035, 1037,
)  # fmt: skip
_F_SETOWN: Final = 8
_F_SETOWN_EX: Final = 15
# ioctl_list(2). Setters of these file systems ask for ownership, not for a descriptor opened for writing, so their
# whole type bytes are refused but for what only reads: fs and ext4, XFS, generic v, FAT, btrfs, ceph, bcachefs, f2fs.
_FS_TYPES: Final = (0x6600, 0x5800, 0x7600, 0x7200, 0x9400, 0x9700, 0xBC00, 0xF500)
_FS_READERS: Final = (
    0x80086601, 0x80046601, 0x80087601, 0x80047601, 0x80086603, 0xC020660B, 0x400C6615, 0xC0096616, 0xC080661A,
    0x8010661B, 0xC0046686, 0xC0286687, 0x801C581F, 0x80047210, 0x82307201, 0x82307202,
    # Cloning asks for a destination opened for writing; deduplication changes no content.
    0x40049409, 0x4020940D, 0xC0189436, 0x81009431, 0x8400941F, 0xD000941E, 0xD0009412, 0x80089419, 0x81F8943C,
    0x8004F50C,
)  # fmt: skip
# The reserved call by which a nested start learns which run it is in; the value spells "govr".
RESERVED_PRCTL: Final = 0x676F7672
_MSG_FASTOPEN: Final = 0x20000000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_TYPE: Final = 0xF


def _open(flags: int, opens: Opens) -> Rule:
    # O_PATH first: with it O_CREAT and O_TRUNC are ignored, and such a descriptor cannot be handed in anyway.
    cases = [
        when(ALLOWED, "names a place, opens nothing", has_bits(flags, _O_PATH)),
        when(NOTIFIED, "write intent", has_bits(flags, _WRITE_INTENT)),
    ]
    if opens == "folders":
        # For opendir, which Landlock would refuse. Not a bound: a folder can be opened without this flag.
        why = "listings of hidden folders and of what lies above them"
        cases.append(when(NOTIFIED, why, has_bits(flags, os.O_DIRECTORY)))
    elif opens not in ("writes", "all"):
        raise InternalError(f"the filter knows no opens={opens!r}")
    otherwise = NOTIFIED if opens == "all" else ALLOWED
    return Rule(tuple(cases), otherwise, "reading is bounded by Landlock and the file modes")


def _own_process(arg: int) -> Rule:
    cases = (when(ALLOWED, "0 is the caller", equals(arg, 0)),)
    return Rule(cases, NOTIFIED, "a named process may be the supervisor: same user, and Landlock does not look")


def _send(flags: int, address: int | None) -> Rule:
    cases = [when(refused(errno.EOPNOTSUPP), "opens a connection past connect", has_bits(flags, _MSG_FASTOPEN))]
    if address is not None:
        cases.append(when(ALLOWED, "no address: the connection was judged", is_null(address)))
    return Rule(tuple(cases), NOTIFIED, "may carry an address")


_SOCKET: Final = Rule(
    (
        when(ALLOWED, "local", equals(0, _AF_UNIX)),
        when(ALLOWED, "TCP", equals(0, _AF_INET, _AF_INET6), equals(1, 1, mask=_SOCK_TYPE), equals(2, 0, 6)),
        when(
            ALLOWED, "UDP, ping", equals(0, _AF_INET, _AF_INET6), equals(1, 2, mask=_SOCK_TYPE), equals(2, 0, 17, 1, 58)
        ),
        # Type 10 is SOCK_PACKET, which the kernel turns into AF_PACKET.
        when(refused(errno.EPERM), "raw", equals(0, _AF_INET, _AF_INET6), equals(1, 3, 10, mask=_SOCK_TYPE)),
        # MPTCP, SCTP and SMC connect past Landlock's TCP rights.
        when(refused(errno.EPROTONOSUPPORT), "other transports", equals(0, _AF_INET, _AF_INET6)),
        when(ALLOWED, "interface and route lookups", equals(0, _AF_NETLINK), equals(2, 0)),
        when(refused(errno.EPROTONOSUPPORT), "other netlink families", equals(0, _AF_NETLINK)),
    ),
    refused(errno.EAFNOSUPPORT),
    "packet, vsock, crypto and other families leave by ways nobody judges",
)

_IOCTL: Final = Rule(
    (
        when(refused(errno.EPERM), "types on the user's terminal (TIOCSTI, TIOCLINUX)", equals(1, 0x5412, 0x541C)),
        when(refused(errno.EPERM), "names who gets signals (FIOSETOWN, SIOCSPGRP)", equals(1, 0x8901, 0x8902)),
        when(ALLOWED, "reads attributes, clones", equals(1, *_FS_READERS)),
        when(refused(errno.EOPNOTSUPP), "sets attributes through any descriptor", equals(1, *_FS_TYPES, mask=0xFF00)),
    ),
    ALLOWED,
    "devices are bounded by the judged open",
)

_PRCTL: Final = Rule(
    (
        when(NOTIFIED, "which run is this", equals(0, RESERVED_PRCTL)),
        # Success without effect: an undumpable process could not be read, and refusing breaks ssh-agent and gpg.
        when(refused(0), "PR_SET_DUMPABLE 0", equals(0, 4), is_null(1)),
        when(refused(errno.EPERM), "PR_SET_MM would change what /proc says of the program", equals(0, 35)),
        when(refused(errno.EINVAL), "PR_SCHED_CORE reaches other processes", equals(0, 62)),
    ),
    ALLOWED,
    "the caller's own attributes",
)

_FCNTL: Final = Rule(
    (
        when(ALLOWED, "flags, locks, pipes", equals(1, *_FCNTL_PLAIN)),
        when(ALLOWED, "F_SETOWN: nobody", equals(1, _F_SETOWN), equals(2, 0)),
        when(NOTIFIED, "names who gets signals", equals(1, _F_SETOWN, _F_SETOWN_EX)),
    ),
    # Leases stall whoever opens the file, F_SETSIG picks the signal that is sent; new commands are unknown.
    refused(errno.EINVAL),
    "leases, signal choice and commands unknown here",
)


_SCHED_IDLE: Final = 5
_RESET_ON_FORK: Final = 0x40000000
_SCHEDULER: Final = Rule(
    (
        # The supervisor waits for its target when it hands in a file: one that hardly ever runs would hold up all.
        when(
            refused(0),
            "SCHED_IDLE is answered without effect",
            equals(0, 0),
            equals(1, _SCHED_IDLE, _SCHED_IDLE | _RESET_ON_FORK),
        ),
        when(ALLOWED, "0 is the caller", equals(0, 0)),
    ),
    NOTIFIED,
    "a named process may be the supervisor",
)

# Options that change where a judged connection goes, or when it is made.
_SOCKOPT: Final = (
    when(refused(errno.ENOPROTOOPT), "TCP_FASTOPEN_CONNECT: a later send keeps what connect promised",
          equals(1, 6), equals(2, 30)),
    when(refused(errno.EPERM), "IP_OPTIONS: source routes", equals(1, 0), equals(2, 4)),
    when(refused(errno.EPERM), "IPV6_RTHDR, IPV6_2292RTHDR, IPV6_2292PKTOPTIONS: source routes",
          equals(1, 41), equals(2, 57, 5, 6)),
)  # fmt: skip

# linux/ptrace.h: TRACEME, ATTACH and SEIZE begin a trace; every other request fails on what one does not trace yet.
_BEGINS_TRACE: Final = (0, 16, 0x4206)


def _ptrace(debug: bool) -> Rule:
    if not debug:
        return Rule((), NOTIFIED, "a traced process does what its tracer wants")
    begins = when(NOTIFIED, "begins a trace: only inside the run", equals(0, *_BEGINS_TRACE))
    return Rule((begins,), ALLOWED, "a tracee of one's own")


def by_argument(opens: Opens, *, debug: bool) -> dict[str, Rule]:
    """Rules on registers. ``opens``: "writes" puts opens with write intent to the supervisor, "folders" also
    those with O_DIRECTORY, "all" every open. ``debug``: traces that have begun are nobody else's business."""
    fork_rule = Rule((when(refused(errno.EPERM), "new namespaces", has_bits(0, _NEW_NAMESPACES)),), ALLOWED, "threads")
    unshare = (when(refused(errno.EPERM), "new namespaces", has_bits(0, _NEW_NAMESPACES | _NEW_TIME)),)
    persona = (when(ALLOWED, "query, Linux, no address randomisation", equals(0, 0xFFFFFFFF, 0, 8, 0x20000, 0x20008,
                                                                          0x40000, 0x40008)),)  # fmt: skip
    self_only = (when(ALLOWED, "the caller", equals(0, 0)),)
    return {
        "open": _open(1, opens),
        "openat": _open(2, opens),
        "clone": fork_rule,
        "unshare": Rule(unshare, ALLOWED, "own file table, own working directory"),
        "personality": Rule(persona, refused(errno.EPERM), "odd personalities change what the kernel does"),
        "ioctl": _IOCTL,
        "fcntl": _FCNTL,
        "prctl": _PRCTL,
        "socket": _SOCKET,
        "socketpair": Rule((when(ALLOWED, "local", equals(0, _AF_UNIX)),), refused(errno.EAFNOSUPPORT), "only local"),
        # TCP_FASTOPEN_CONNECT turns connect into a promise that a later send keeps.
        "setsockopt": Rule(_SOCKOPT, ALLOWED, "options of one's own socket"),
        "sendto": _send(3, 4),
        "sendmsg": _send(2, None),
        "sendmmsg": _send(3, None),
        "ptrace": _ptrace(debug),
        "prlimit64": _own_process(0),
        "sched_setaffinity": _own_process(0),
        "sched_setscheduler": _SCHEDULER,
        "sched_setparam": _own_process(0),
        # The policy is in memory; util-linux falls back to sched_setscheduler.
        "sched_setattr": Rule((), refused(errno.ENOSYS), "the policy cannot be seen"),
        # Only "this process": a group or a user may include the supervisor.
        "setpriority": Rule((when(ALLOWED, "the caller", equals(0, 0), equals(1, 0)),), NOTIFIED, "others"),
        "ioprio_set": Rule((when(ALLOWED, "the caller", equals(0, 1), equals(1, 0)),), NOTIFIED, "others"),
        "migrate_pages": Rule(self_only, refused(errno.EPERM), "pages of other processes"),
        "move_pages": Rule(self_only, refused(errno.EPERM), "pages of other processes"),
    }  # fmt: skip
