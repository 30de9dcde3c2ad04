"""Capabilities: giving them up so that no exec brings them back.

capabilities(7), linux/capability.h. For an ordinary user there is nothing to give up and every step is a no-op; for
root the bounding set is emptied and the securebits are locked, because uid 0 alone would regain all at the next exec.
Groups and uids stay as they are.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final, NamedTuple

from supervisor.kernel.libc import PR_GET_NO_NEW_PRIVS, PR_SET_NO_NEW_PRIVS, fail, libc, prctl
from supervisor.vocabulary.errors import HostError

PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_GET_SECUREBITS: Final = 27
PR_SET_SECUREBITS: Final = 28
PR_CAP_AMBIENT: Final = 47
_AMBIENT_CLEAR_ALL: Final = 4
CAP_KILL: Final = 5
CAP_SETPCAP: Final = 8
# linux/securebits.h: NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, and the lock of each and of KEEP_CAPS.
_LOCKED_BITS: Final = 0b1110_1111
_VERSION_3: Final = 0x20080522


class CapSets(NamedTuple):
    """Bit masks as in ``/proc/PID/status``: bit n = capability n."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


def read(process: str = "self") -> CapSets:
    """The five sets of a process by ``/proc``. Errors: ``OSError``; ``HostError`` if the lines are missing."""
    found: dict[str, int] = {}
    with open(f"/proc/{process}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.startswith("Cap"):
                found[name] = int(value, 16)
    try:
        return CapSets(found["CapInh"], found["CapPrm"], found["CapEff"], found["CapBnd"], found["CapAmb"])
    except KeyError as error:
        why, fix = f"/proc/{process}/status lacks {error}", "mount /proc, or use Linux 6.2 or newer"
        raise HostError("the kernel does not tell capabilities", why, fix) from error


def _capset(permitted: int, effective: int, inheritable: int) -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
    rows = [(effective >> s & 0xFFFFFFFF, permitted >> s & 0xFFFFFFFF, inheritable >> s & 0xFFFFFFFF) for s in (0, 32)]
    data = ctypes.create_string_buffer(struct.pack("=6I", *rows[0], *rows[1]), 24)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) < 0:
        raise fail("capset")


def set_effective(wanted: int) -> None:
    """Make the effective set ``wanted`` of what is permitted; the permitted set stays, so it can be raised again."""
    sets = read()
    _capset(sets.permitted, wanted & sets.permitted, 0)


def no_new_privs() -> None:
    """prctl(2) PR_SET_NO_NEW_PRIVS: no exec gains rights any more. Cannot be undone; inherited."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if prctl(PR_GET_NO_NEW_PRIVS) != 1:
        raise HostError(
            "no_new_privs did not stick", "something intercepts prctl", "start govrun outside of that sandbox"
        )


def drop_all() -> None:
    """Empty all five sets of the calling thread for good and set no_new_privs.

    Order: the bounding set and the securebits need CAP_SETPCAP, so the sets themselves go last. Where the caller has no
    CAP_SETPCAP the bounding set stays, and no_new_privs alone keeps an exec from gaining (the kernel then intersects
    the new permitted set with the old, empty one). Errors: ``HostError`` when a capability remains.
    """
    no_new_privs()
    sets = read()
    if sets.effective >> CAP_SETPCAP & 1:
        _empty_bounding()
        prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | _LOCKED_BITS)
    prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _capset(0, 0, 0)
    left = read()
    may_bound = not sets.effective >> CAP_SETPCAP & 1
    if left.permitted or left.effective or left.inheritable or left.ambient or (left.bounding and not may_bound):
        raise HostError("capabilities could not be given up", f"still held: {left}", "start govrun as an ordinary user")


def _empty_bounding() -> None:
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # one past the last capability of this kernel
                return
            raise
