"""Path calls -> file events. One method a family; the registers are decoded as the kernel declares them.

Errors of the arguments themselves (EFAULT, ENOENT, ELOOP …) leave as ``OSError`` and are answered as they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.kernel import memory, process
from supervisor.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.attributes import Attributes, descriptor
from supervisor.surfaces.paths import Caller, Refused, Resolver, Spot
from supervisor.surfaces.processes import Process
from supervisor.surfaces.renames import Renames
from supervisor.vocabulary.acts import OpenAct, PathAct
from supervisor.vocabulary.events import Actor, FsEvent, FsOp, Kind, Target

if TYPE_CHECKING:
    from supervisor.surfaces.reads import Reads

Args = tuple[int, int, int, int, int, int]
# What open(2) knows; the kernel ignores other bits there, openat2 refuses them.
_KNOWN = (
    os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_TRUNC | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC
    | os.O_ASYNC | os.O_DIRECT | 0o100000 | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC | os.O_TMPFILE
)  # fmt: skip
_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY
_WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY
PLAIN_OPEN = _KNOWN & ~_WRITES  # the flags of an open that only reads


_MADE = {
    stat.S_IFREG: Kind.FILE,
    0: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
}


def _node(mode: int, device: int) -> Kind | None:
    """What mknod(2) makes. Devices need CAP_MKNOD, which no run has; 0:0 is overlayfs's whiteout and needs none."""
    kind = stat.S_IFMT(mode)
    if kind in (stat.S_IFDIR, stat.S_IFBLK) or (kind == stat.S_IFCHR and device):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    return Kind.OTHER if kind == stat.S_IFCHR else _MADE.get(kind)


class Call(NamedTuple):
    """One notified path call: its name, registers, and whose it is."""

    name: str
    args: Args
    caller: Caller
    process: Process
    actor: Actor
    git_tool: bool


def dirfd(register: int) -> int:
    """A descriptor argument: the low 32 bits, signed (the upper half is undefined)."""
    low = register & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


class Files:
    """``renames`` and ``attributes`` decode the two largest families, ``reads`` opens that only read, where those are
    judged."""

    def __init__(
        self, resolver: Resolver, renames: Renames, attributes: Attributes, reads: Reads | None = None
    ) -> None:
        self._resolver = resolver
        self._reads = reads
        self._renames = renames
        self._attributes = attributes
        calls: dict[str, Callable[[Call], Attempt]] = {
            "open": lambda c: self._open(c, AT_FDCWD, c.args[0], c.args[1], c.args[2]),
            "creat": lambda c: self._open(c, AT_FDCWD, c.args[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, c.args[1]),
            "openat": lambda c: self._open(c, dirfd(c.args[0]), c.args[1], c.args[2], c.args[3]),
            "openat2": self._openat2,
            "unlink": lambda c: self._unlink(c, AT_FDCWD, c.args[0], 0),
            "rmdir": lambda c: self._unlink(c, AT_FDCWD, c.args[0], AT_REMOVEDIR),
            "unlinkat": lambda c: self._unlink(c, dirfd(c.args[0]), c.args[1], c.args[2]),
            "mkdir": lambda c: self._make(c, AT_FDCWD, c.args[0], stat.S_IFDIR | c.args[1] & 0o1777, 0),
            "mkdirat": lambda c: self._make(c, dirfd(c.args[0]), c.args[1], stat.S_IFDIR | c.args[2] & 0o1777, 0),
            "mknod": lambda c: self._make(c, AT_FDCWD, c.args[0], c.args[1] & 0xFFFF, c.args[2]),
            "mknodat": lambda c: self._make(c, dirfd(c.args[0]), c.args[1], c.args[2] & 0xFFFF, c.args[3]),
            "symlink": lambda c: self._symlink(c, c.args[0], AT_FDCWD, c.args[1]),
            "symlinkat": lambda c: self._symlink(c, c.args[0], dirfd(c.args[1]), c.args[2]),
            "link": lambda c: self._link(c, AT_FDCWD, c.args[0], AT_FDCWD, c.args[1], 0),
            "linkat": lambda c: self._link(c, dirfd(c.args[0]), c.args[1], dirfd(c.args[2]), c.args[3], c.args[4]),
            "truncate": self._truncate,
        }
        self.calls = calls | renames.calls | attributes.calls

    def attempt(self, call: Call) -> Attempt:
        """The event and act of ``call``. OSError: answer that errno; ``Refused``: deny with its text."""
        attempt = self.calls[call.name](call)
        if isinstance(attempt.event, FsEvent):
            return attempt._replace(event=self.exposed(attempt.event))
        return attempt

    def exposed(self, event: FsEvent) -> FsEvent:
        """The event with what it would make a git directory of."""
        exposed = self._renames.exposure.of(event)
        if not exposed.refusal and not exposed.settled:
            return event
        return event._replace(exposes=exposed.refusal, settled=exposed.settled)

    # -- open ---------------------------------------------------------------------------------------------------

    def _openat2(self, call: Call) -> Attempt:
        size = call.args[3]
        if size < 24:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        raw = memory.read(call.caller.tid, call.args[2], min(size, 4096))
        if any(raw[24:]) or size > 4096:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        flags, mode, resolve = (int.from_bytes(raw[at : at + 8], "little") for at in (0, 8, 16))
        unknown = flags & ~(_KNOWN | os.O_PATH) or resolve & ~0x3F
        if unknown or (mode and not flags & (os.O_CREAT | _TMPFILE)) or mode & ~0o7777:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if resolve & 0x20:  # RESOLVE_CACHED: may always say "not cached"
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._open(call, dirfd(call.args[0]), call.args[1], flags, mode, resolve)

    def _open(self, call: Call, base: int, address: int, flags: int, mode: int, resolve: int = 0) -> Attempt:
        path = memory.string(call.caller.tid, address)
        flags &= _KNOWN | os.O_PATH
        if flags & os.O_PATH or not flags & _WRITES:
            if self._reads is not None:
                return self._reads.attempt(call, base, path, flags, resolve)
            return self._plain(call, base, path, flags, resolve)
        mode &= 0o7777
        if flags & _TMPFILE:
            return self._tmpfile(call, base, path, flags, mode, resolve)
        creates, excl = flags & os.O_CREAT, flags & os.O_CREAT and flags & os.O_EXCL
        if creates and path.endswith(b"/"):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if creates and flags & os.O_DIRECTORY:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # since 6.4; a racy oddity before
        if not creates:
            return self._reopen(call, self._follow(call, base, path, flags, resolve), flags)
        spot = None if excl else self._own_descriptor(call, path, flags, resolve)
        if spot is None:
            spot = self._resolver.entry(call.caller, base, path, resolve=resolve)
        if spot.target.kind is Kind.LINK and not flags & (os.O_EXCL | os.O_NOFOLLOW):
            text = os.readlink(b"", dir_fd=spot.handle)
            spot.close()
            if text.endswith(b"/"):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            try:
                return self._reopen(call, self._follow(call, base, path, flags, resolve), flags)
            except FileNotFoundError:
                spot = self._resolver.creating(call.caller, base, path, resolve=resolve)
        if spot.target.kind is not Kind.ABSENT:
            if not excl:
                return self._reopen(call, spot, flags)
            spot.close()
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        masked = mode & ~self._umask(call, spot.parent)
        event = FsEvent(call.actor, FsOp.CREATE, call.name, spot.target, git_tool=call.git_tool, mode=masked)
        act = OpenAct(spot.parent, spot.name, -1, flags, masked, call.caller.tid, Kind.ABSENT, spot.target.path)
        return Attempt(event, act, (spot,))

    def _own_descriptor(self, call: Call, path: bytes, flags: int, resolve: int) -> Spot | None:
        """``/dev/stdout`` and its like exist whenever the descriptor does; O_CREAT adds nothing."""
        try:
            return self._resolver.own(call.caller, path, nofollow=bool(flags & os.O_NOFOLLOW), resolve=resolve)
        except FileNotFoundError:
            return None

    def _follow(self, call: Call, base: int, path: bytes, flags: int, resolve: int) -> Spot:
        return self._resolver.existing(call.caller, base, path, nofollow=bool(flags & os.O_NOFOLLOW), resolve=resolve)

    def _reopen(self, call: Call, spot: Spot, flags: int) -> Attempt:
        target = spot.target
        if target.kind is Kind.LINK or (target.kind is Kind.DIR and flags & os.O_CREAT):
            spot.close()
            number = errno.ELOOP if target.kind is Kind.LINK else errno.EISDIR
            raise OSError(number, os.strerror(number))
        if self._reads is not None and target.kind in (Kind.CHAR, Kind.FIFO) and not flags & os.O_ACCMODE:
            return self._reads.opening(call, spot, flags)  # nothing is created or truncated there
        event = FsEvent(call.actor, FsOp.WRITE, call.name, target, git_tool=call.git_tool)
        links = self._resolver.foreign_links(target)
        tid = call.caller.tid
        act = OpenAct(-1, b"", spot.handle, flags, 0, tid, target.kind, target.path, links, target.made)
        return Attempt(event, act, (spot,))

    def _tmpfile(self, call: Call, base: int, path: bytes, flags: int, mode: int, resolve: int) -> Attempt:
        if not flags & os.O_DIRECTORY or flags & os.O_ACCMODE not in (os.O_WRONLY, os.O_RDWR):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        spot = self._resolver.existing(call.caller, base, path, resolve=resolve)
        folder = spot.target
        # A file without a name in that folder: judged as a creation there, and again when it is linked in.
        target = Target(folder.path + b"/#tmpfile", Kind.ABSENT, made=folder.made, ignored=folder.ignored)
        masked = mode & ~self._umask(call, spot.handle)
        event = FsEvent(call.actor, FsOp.CREATE, call.name, target, git_tool=call.git_tool, mode=masked)
        act = OpenAct(-1, b"", spot.handle, flags, masked, call.caller.tid, folder.kind, target.path)
        return Attempt(event, act, (spot,))

    def _plain(self, call: Call, base: int, path: bytes, flags: int, resolve: int) -> Attempt:
        """An open that only reads. Nothing is performed but listings that the kernel's floor leaves to us, so whatever
        cannot be resolved here is left to the kernel, which grants nothing hidden."""
        try:
            nofollow = bool(flags & os.O_NOFOLLOW)
            spot = self._resolver.existing(call.caller, base, path, nofollow=nofollow, resolve=resolve)
        except (Refused, OSError):
            spot = Spot(-1, b"", -1, Target(b"/proc", Kind.OTHER))
        event = FsEvent(call.actor, FsOp.READ, call.name, spot.target)
        act = OpenAct(-1, b"", spot.handle, flags, 0, call.caller.tid, spot.target.kind, spot.target.path)
        return Attempt(event, act, (spot,))

    # -- names --------------------------------------------------------------------------------------------------

    def _unlink(self, call: Call, base: int, address: int, flags: int) -> Attempt:
        if flags & 0xFFFFFFFF & ~AT_REMOVEDIR:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        spot = self._resolver.entry(call.caller, base, memory.string(call.caller.tid, address))
        self._must_exist(spot)
        self._must_be_removable(spot, bool(flags & AT_REMOVEDIR))
        # A folder that can be removed is empty: git tidies up so once it has packed what was in it.
        records = () if flags & AT_REMOVEDIR else self._renames.unpacked(spot.target.path)
        event = FsEvent(call.actor, FsOp.UNLINK, call.name, spot.target, git_tool=call.git_tool, records=records)
        name = "rmdir" if flags & AT_REMOVEDIR else "unlink"
        return Attempt(event, PathAct(name, spot.parent, spot.name), (spot,))

    def _make(self, call: Call, base: int, address: int, mode: int, device: int) -> Attempt:
        makes = _MADE.get(stat.S_IFMT(mode))
        if call.name.startswith("mknod"):
            makes = _node(mode, device)
        if makes is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        spot = self._resolver.entry(call.caller, base, memory.string(call.caller.tid, address))
        self._must_be_absent(spot)
        masked = mode & ~self._umask(call, spot.parent)
        event = FsEvent(
            call.actor,
            FsOp.CREATE,
            call.name,
            self._resolver.as_folder(spot.target) if makes is Kind.DIR else spot.target,
            makes=makes,
            git_tool=call.git_tool,
            mode=masked & 0o7777,
        )
        name = "mkdir" if makes is Kind.DIR else "mknod"
        return Attempt(event, PathAct(name, spot.parent, spot.name, mode=masked, dev=device), (spot,))

    def _symlink(self, call: Call, text_at: int, base: int, address: int) -> Attempt:
        text = memory.string(call.caller.tid, text_at)
        spot = self._resolver.entry(call.caller, base, memory.string(call.caller.tid, address))
        self._must_be_absent(spot)
        event = FsEvent(call.actor, FsOp.CREATE, call.name, spot.target, makes=Kind.LINK, git_tool=call.git_tool)
        return Attempt(event, PathAct("symlink", spot.parent, spot.name, text=text), (spot,))

    def _link(self, call: Call, old_base: int, old_at: int, new_base: int, new_at: int, flags: int) -> Attempt:
        flags &= 0xFFFFFFFF
        if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        old = self._linked(call, old_base, memory.string(call.caller.tid, old_at), flags)
        try:
            new = self._resolver.entry(call.caller, new_base, memory.string(call.caller.tid, new_at))
        except (OSError, Refused):
            old.close()
            raise
        if new.target.kind is not Kind.ABSENT:
            old.close()
        self._must_be_absent(new)
        event = FsEvent(
            call.actor, FsOp.LINK, call.name, old.target, new.target, makes=old.target.kind, git_tool=call.git_tool
        )
        act = PathAct("link", -1, b"", old.handle, other_parent=new.parent, other_name=new.name)
        return Attempt(event, act, (old, new))

    def _linked(self, call: Call, base: int, path: bytes, flags: int) -> Spot:
        """What linkat(2) takes as its source."""
        if path == b"" and flags & AT_EMPTY_PATH:
            if base == AT_FDCWD:
                return self._resolver.existing(call.caller, base, b".")
            return descriptor(self._resolver, call.caller, base)
        follow = bool(flags & AT_SYMLINK_FOLLOW)
        try:
            return self._resolver.existing(call.caller, base, path, nofollow=not follow)
        except OSError as error:
            if error.errno == errno.ELOOP and not follow:
                # Only a magic link is ELOOP here: the link itself, which lies on another file system.
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from error
            raise

    def _truncate(self, call: Call) -> Attempt:
        size = call.args[1] - (1 << 64) if call.args[1] >= 1 << 63 else call.args[1]
        if size < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        spot = self._resolver.existing(call.caller, AT_FDCWD, memory.string(call.caller.tid, call.args[0]))
        if spot.target.kind is not Kind.FILE:
            spot.close()
            number = errno.EISDIR if spot.target.kind is Kind.DIR else errno.EINVAL
            raise OSError(number, os.strerror(number))
        event = FsEvent(call.actor, FsOp.WRITE, call.name, spot.target, git_tool=call.git_tool)
        links = self._resolver.foreign_links(spot.target)
        act = PathAct("truncate", -1, b"", spot.handle, size=size, links=links, tid=call.caller.tid)
        return Attempt(event, act, (spot,))

    # -- shared -------------------------------------------------------------------------------------------------

    @staticmethod
    def _must_exist(spot: Spot) -> None:
        if spot.target.kind is Kind.ABSENT:
            spot.close()
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    @staticmethod
    def _must_be_removable(spot: Spot, folder: bool) -> None:
        """What the kernel would refuse anyway is answered as it would: git tries rmdir on folders in use."""
        is_folder = spot.target.kind is Kind.DIR
        number = 0
        if is_folder != folder:
            number = errno.EISDIR if is_folder else errno.ENOTDIR
        elif folder and spot.handle >= 0:
            with contextlib.suppress(OSError), os.scandir(b"/proc/self/fd/%d" % spot.handle) as entries:
                number = errno.ENOTEMPTY if next(entries, None) is not None else 0
        if number:
            spot.close()
            raise OSError(number, os.strerror(number))

    @staticmethod
    def _must_be_absent(spot: Spot) -> None:
        # `.`, `..` and `/` exist whatever their handle says.
        if spot.target.kind is not Kind.ABSENT:
            spot.close()
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    @staticmethod
    def _umask(call: Call, folder: int) -> int:
        """The mask the kernel would apply: none where the folder has a default ACL (acl(5)).

        Asked each time: threads and processes may share theirs or not (clone(2), CLONE_FS).
        """
        try:
            os.getxattr(b"/proc/self/fd/%d" % folder, b"system.posix_acl_default")
        except OSError:
            return process.umask(call.caller.tid)
        return 0


__all__ = ["AT_SYMLINK_NOFOLLOW", "Args", "Call", "Files", "dirfd"]
