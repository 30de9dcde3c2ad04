"""Landlock: domains the kernel keeps whatever happens to the supervisor.

Struct layouts and constants: linux/landlock.h; behaviour: landlock(7), Documentation/userspace-api/landlock.rst.

- A domain bounds what paths may be *opened or changed by name*. Descriptors opened outside it keep working inside,
  which is how files are handed to a process that may write nowhere.
- It does not see chmod, chown, utime, xattrs, stat or chdir.
- Rights unknown to the running kernel are masked out of what is handled, so a ruleset states what it wants once;
  ``fs_rights`` tells a caller who must know what remains.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from supervisor.kernel.libc import syscall
from supervisor.vocabulary.errors import HostError

NR_CREATE_RULESET: Final = 444
NR_ADD_RULE: Final = 445
NR_RESTRICT_SELF: Final = 446

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_DIR: Final = 1 << 4
REMOVE_FILE: Final = 1 << 5
MAKE_CHAR: Final = 1 << 6
MAKE_DIR: Final = 1 << 7
MAKE_REG: Final = 1 << 8
MAKE_SOCK: Final = 1 << 9
MAKE_FIFO: Final = 1 << 10
MAKE_BLOCK: Final = 1 << 11
MAKE_SYM: Final = 1 << 12
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15

READ: Final = READ_FILE | READ_DIR
# IOCTL_DEV is left out on purpose: terminals need it, and the devices are named one by one.
WRITE_ALL: Final = (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK
    | MAKE_SYM | REFER | TRUNCATE
)  # fmt: skip
# What a rule on anything but a directory may name; the kernel answers EINVAL to more.
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

BIND_TCP: Final = 1 << 0
CONNECT_TCP: Final = 1 << 1

SCOPE_ABSTRACT_UNIX: Final = 1 << 0
SCOPE_SIGNAL: Final = 1 << 1

_RULE_PATH_BENEATH: Final = 1
_RULE_NET_PORT: Final = 2
# First ABI of each right: 1 = 5.13, 2 = 5.19, 3 = 6.2, 4 = 6.7 (network), 5 = 6.10, 6 = 6.12 (scopes).
_FS_BY_ABI: Final = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))


def abi() -> int:
    """The ABI of the running kernel; 0 where Landlock is not built in (ENOSYS), not switched on (EOPNOTSUPP), or kept
    away by a container's own filter (EPERM)."""
    try:
        return syscall(NR_CREATE_RULESET, 0, 0, 1, name="landlock_create_ruleset")
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def missing() -> int:
    """Why there is no Landlock, as the errno that ``abi`` reads as 0; 0 where there is one."""
    try:
        syscall(NR_CREATE_RULESET, 0, 0, 1, name="landlock_create_ruleset")
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def fs_rights(version: int) -> int:
    """Every file right that ABI ``version`` can handle."""
    rights = 0
    for since, mask in _FS_BY_ABI:
        rights |= mask if version >= since else 0
    return rights


def net_rights(version: int) -> int:
    """Every network right that ABI ``version`` can handle."""
    return BIND_TCP | CONNECT_TCP if version >= 4 else 0


def scopes(version: int) -> int:
    """Every scope that ABI ``version`` can handle."""
    return SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if version >= 6 else 0


class Ruleset:
    """A ruleset descriptor that can be filled before a fork and entered after it.

    What ``handled_*`` names is forbidden in the domain except where a rule grants it; what they do not name stays as it
    was. ``REFER`` is the exception: from ABI 2 on, moving files between directories is forbidden unless granted.
    """

    def __init__(self, handled_fs: int, *, handled_net: int = 0, scoped: int = 0) -> None:
        """Errors: ``HostError`` when this kernel has no Landlock."""
        version = abi()
        if version == 0:
            raise HostError(
                "the kernel offers no Landlock",
                "it keeps a run's writes inside its scope even if govrun fails",
                "boot with `landlock` in the lsm= kernel parameter (CONFIG_SECURITY_LANDLOCK=y, Linux 5.13 or newer)",
            )
        self.handled_fs = handled_fs & fs_rights(version)
        self.handled_net = handled_net & net_rights(version)
        self.scoped = scoped & scopes(version)
        attributes = struct.pack("=QQQ", self.handled_fs, self.handled_net, self.scoped)
        size = 24 if version >= 6 else 16 if version >= 4 else 8
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        self.fd = syscall(NR_CREATE_RULESET, ctypes.addressof(buffer), size, 0, name="landlock_create_ruleset")

    def grant(self, target: bytes | int, access: int, *, missing_ok: bool = False) -> bool:
        """Grant ``access`` on a path (symlinks followed) or an open descriptor, and on all beneath a directory.

        Rights that are not handled or do not apply to a plain file are left out. False when the path is missing and
        ``missing_ok``, or when nothing of ``access`` is left. Errors: ``OSError`` with the path.
        """
        if isinstance(target, int):
            return self._grant_fd(target, access)
        try:
            fd = os.open(target, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            if missing_ok:
                return False
            raise
        try:
            return self._grant_fd(fd, access)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fsdecode(target)) from error
        finally:
            os.close(fd)

    def _grant_fd(self, fd: int, access: int) -> bool:
        access &= self.handled_fs
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= FILE_RIGHTS
        if access:
            # struct landlock_path_beneath_attr is packed.
            self._add(_RULE_PATH_BENEATH, struct.pack("=Qi", access, fd))
        return bool(access)

    def grant_all(self, rules: Sequence[tuple[bytes | int, int]], *, missing_ok: bool = False) -> list[bytes]:
        """Grant each (target, access); returns the paths that do not exist, which only ``missing_ok`` allows."""
        absent: list[bytes] = []
        for target, access in rules:
            granted = self.grant(target, access, missing_ok=missing_ok)
            if not granted and isinstance(target, bytes) and not os.path.exists(target):
                absent.append(target)
        return absent

    def grant_port(self, port: int, access: int) -> None:
        """Grant BIND_TCP or CONNECT_TCP on a port; 0 with BIND_TCP means the ephemeral range. Needs ABI 4."""
        access &= self.handled_net
        if access:
            self._add(_RULE_NET_PORT, struct.pack("=QQ", access, port))

    def _add(self, kind: int, attributes: bytes) -> None:
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        syscall(NR_ADD_RULE, self.fd, kind, ctypes.addressof(buffer), 0, name="landlock_add_rule")

    def restrict_self(self, flags: int = 0) -> None:
        """Enter the domain: this thread and what it forks from now on, for good. Needs no_new_privs.

        Errors: ``OSError``; EPERM without no_new_privs, E2BIG when 16 domains are stacked already.
        """
        syscall(NR_RESTRICT_SELF, self.fd, flags, name="landlock_restrict_self")

    def close(self) -> None:
        """Close the descriptor; a domain entered through it stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Ruleset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def restrict_self(
    handled_fs: int,
    rules: Sequence[tuple[bytes | int, int]],
    *,
    handled_net: int = 0,
    scoped: int = 0,
    missing_ok: bool = False,
) -> None:
    """Build a ruleset and enter it at once."""
    with Ruleset(handled_fs, handled_net=handled_net, scoped=scoped) as ruleset:
        ruleset.grant_all(rules, missing_ok=missing_ok)
        ruleset.restrict_self()
