"""Calls that change what a file is rather than what it holds: mode, owner, times, extended attributes.

Landlock does not see them, and most work through a descriptor that was opened for reading: the descriptor is resolved
back to its file and judged by that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.kernel import memory, process
from supervisor.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.paths import Caller, Resolver, Spot
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.events import FsEvent, FsOp

if TYPE_CHECKING:
    from supervisor.surfaces.files import Call

_XATTR_NAME_MAX = 256  # linux/limits.h, the NUL included
_XATTR_SIZE_MAX = 65536


def descriptor(resolver: Resolver, caller: Caller, number: int) -> Spot:
    """What a descriptor argument refers to. EBADF when it is not open."""
    try:
        return resolver.descriptor(caller, number)
    except FileNotFoundError as error:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error


class Attributes:
    """The chmod, chown, utime and xattr families."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.calls: dict[str, Callable[[Call], Attempt]] = {
            "chmod": lambda c: self._chmod(c, self._at(c, AT_FDCWD, c.args[0], 0), c.args[1]),
            "fchmod": lambda c: self._chmod(c, self._fd(c, c.args[0]), c.args[1]),
            "fchmodat": lambda c: self._chmod(c, self._at(c, _int(c.args[0]), c.args[1], 0), c.args[2]),
            "fchmodat2": lambda c: self._chmod(c, self._at(c, _int(c.args[0]), c.args[1], c.args[3]), c.args[2]),
            "chown": lambda c: self._chown(c, self._at(c, AT_FDCWD, c.args[0], 0), c.args[1], c.args[2]),
            "lchown": lambda c: self._chown(
                c, self._at(c, AT_FDCWD, c.args[0], AT_SYMLINK_NOFOLLOW), c.args[1], c.args[2]
            ),
            "fchown": lambda c: self._chown(c, self._fd(c, c.args[0]), c.args[1], c.args[2]),
            "fchownat": lambda c: self._chown(
                c, self._at(c, _int(c.args[0]), c.args[1], c.args[4]), c.args[2], c.args[3]
            ),
            "utime": lambda c: self._utime(c, self._at(c, AT_FDCWD, c.args[0], 0), c.args[1], "utimbuf"),
            "utimes": lambda c: self._utime(c, self._at(c, AT_FDCWD, c.args[0], 0), c.args[1], "timeval"),
            "futimesat": lambda c: self._utime(c, self._at_or_fd(c, 0), c.args[2], "timeval"),
            "utimensat": lambda c: self._utime(c, self._at_or_fd(c, c.args[3]), c.args[2], "timespec"),
            "setxattr": lambda c: self._setxattr(c, self._at(c, AT_FDCWD, c.args[0], 0), *c.args[1:5]),
            "lsetxattr": lambda c: self._setxattr(
                c, self._at(c, AT_FDCWD, c.args[0], AT_SYMLINK_NOFOLLOW), *c.args[1:5]
            ),
            "fsetxattr": lambda c: self._setxattr(c, self._fd(c, c.args[0]), *c.args[1:5]),
            "setxattrat": self._setxattrat,
            "removexattr": lambda c: self._removexattr(c, self._at(c, AT_FDCWD, c.args[0], 0), c.args[1]),
            "lremovexattr": lambda c: self._removexattr(
                c, self._at(c, AT_FDCWD, c.args[0], AT_SYMLINK_NOFOLLOW), c.args[1]
            ),
            "fremovexattr": lambda c: self._removexattr(c, self._fd(c, c.args[0]), c.args[1]),
            "removexattrat": lambda c: self._removexattr(
                c, self._at(c, _int(c.args[0]), c.args[1], c.args[2]), c.args[3]
            ),
        }

    def _at(self, call: Call, base: int, address: int, flags: int) -> Spot:
        flags &= 0xFFFFFFFF
        if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        path = memory.string(call.caller.tid, address) if address or not flags & AT_EMPTY_PATH else b""
        if path == b"" and flags & AT_EMPTY_PATH:
            if base == AT_FDCWD:
                return self._resolver.existing(call.caller, AT_FDCWD, b".")
            return descriptor(self._resolver, call.caller, base)
        return self._resolver.existing(call.caller, base, path, nofollow=bool(flags & AT_SYMLINK_NOFOLLOW))

    def _at_or_fd(self, call: Call, flags: int) -> Spot:
        """utimensat(2) with a NULL path means the descriptor itself."""
        if call.args[1] == 0:
            if flags & 0xFFFFFFFF & ~AT_EMPTY_PATH:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if _int(call.args[0]) == AT_FDCWD:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            return self._fd(call, call.args[0])
        return self._at(call, _int(call.args[0]), call.args[1], flags)

    def _fd(self, call: Call, register: int) -> Spot:
        """A descriptor that is changed through: one that only names a place (O_PATH) does not do."""
        number = _int(register)
        if number >= 0 and process.descriptor_flags(call.caller.tid, number) & os.O_PATH:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return descriptor(self._resolver, call.caller, number)

    def _act(self, act: PathAct, spot: Spot) -> PathAct:
        """A name shared with files outside the run gets an inode of its own before it is altered."""
        links = self._resolver.foreign_links(spot.target)
        return act._replace(links=links, name=spot.target.path) if links else act

    def _event(self, call: Call, spot: Spot, mode: int = 0, xattr: bytes = b"") -> FsEvent:
        return FsEvent(call.actor, FsOp.META, call.name, spot.target, git_tool=call.git_tool, mode=mode, xattr=xattr)

    def _chmod(self, call: Call, spot: Spot, mode: int) -> Attempt:
        mode &= 0o7777
        act = PathAct("chmod", -1, b"", spot.handle, mode=mode)
        return Attempt(self._event(call, spot, mode), self._act(act, spot), (spot,))

    def _chown(self, call: Call, spot: Spot, uid: int, gid: int) -> Attempt:
        act = PathAct("chown", -1, b"", spot.handle, uid=_id(uid), gid=_id(gid))
        return Attempt(self._event(call, spot), self._act(act, spot), (spot,))

    def _utime(self, call: Call, spot: Spot, address: int, form: str) -> Attempt:
        try:
            times = _times(call.caller.tid, address, form) if address else None
        except OSError:
            spot.close()
            raise
        act = PathAct("utimens", -1, b"", spot.handle, times=times)
        return Attempt(self._event(call, spot), self._act(act, spot), (spot,))

    def _setxattrat(self, call: Call) -> Attempt:
        if call.args[5] < 16:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        raw = memory.read(call.caller.tid, call.args[4], 16)  # struct xattr_args, linux/xattr.h
        value, size, flags = (int.from_bytes(raw[a:b], "little") for a, b in ((0, 8), (8, 12), (12, 16)))
        spot = self._at(call, _int(call.args[0]), call.args[1], call.args[2])
        return self._setxattr(call, spot, call.args[3], value, size, flags)

    def _setxattr(self, call: Call, spot: Spot, name_at: int, value_at: int, size: int, flags: int) -> Attempt:
        try:
            name = _xattr_name(call.caller.tid, name_at)
            if size > _XATTR_SIZE_MAX:
                raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
            value = memory.read(call.caller.tid, value_at, size)
        except OSError:
            spot.close()
            raise
        act = PathAct("setxattr", -1, b"", spot.handle, flags=_int(flags), xattr=name, value=value)
        return Attempt(self._event(call, spot, xattr=name), self._act(act, spot), (spot,))

    def _removexattr(self, call: Call, spot: Spot, name_at: int) -> Attempt:
        try:
            name = _xattr_name(call.caller.tid, name_at)
        except OSError:
            spot.close()
            raise
        act = PathAct("removexattr", -1, b"", spot.handle, xattr=name)
        return Attempt(self._event(call, spot, xattr=name), self._act(act, spot), (spot,))


def _xattr_name(tid: int, address: int) -> bytes:
    try:
        name = memory.string(tid, address, _XATTR_NAME_MAX)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE)) from error
        raise
    if name == b"":
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return name


def _times(tid: int, address: int, form: str) -> tuple[int, int, int, int]:
    """(atime s, ns, mtime s, ns) from a struct utimbuf, timeval[2] or timespec[2]."""
    if form == "utimbuf":
        atime, mtime = memoryview(memory.read(tid, address, 16)).cast("q")
        return atime, 0, mtime, 0
    a, b, c, d = memoryview(memory.read(tid, address, 32)).cast("q")
    if form == "timespec":
        return a, b, c, d
    if not (0 <= b < 1_000_000 and 0 <= d < 1_000_000):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return a, b * 1000, c, d * 1000


def _id(register: int) -> int:
    """A user or group id: 32 bits unsigned, of which all ones mean "leave it" (chown(2))."""
    low = register & 0xFFFFFFFF
    return -1 if low == 0xFFFFFFFF else low


def _int(register: int) -> int:
    low = register & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low
