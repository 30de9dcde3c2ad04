"""Paths as a process names them -> handles and canonical names.

Resolution never goes through a magic link of ``/proc`` (openat2(2), RESOLVE_NO_MAGICLINKS): in this process
``/proc/self`` is the supervisor. A link of the caller's own that a path begins with is opened once, like a directory
descriptor that the call names (``ownlinks``), and the rest is resolved from there. What exists is pinned by an O_PATH
descriptor, what does not exist by its parent, and the act reaches exactly that. Since every path mutation of the run
passes through this one thread, nothing of the run can move between the two.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from supervisor.kernel.libc import (
    AT_FDCWD,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)
from supervisor.surfaces.exposure import PAIRS
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.ownlinks import OwnLink, own_link
from supervisor.vocabulary.events import Kind, Target

_FOLLOW_LIMIT = 40  # MAXSYMLINKS, linux/namei.h
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.LINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}


# Resolution that may not leave its start cannot reach /proc by an absolute path.
_CONFINED = RESOLVE_BENEATH | RESOLVE_IN_ROOT


_DEEPEST = 16  # levels above a name at which it is still looked for a git directory


class Overtaken(Exception):
    """What the act is about has just been taken back: another file lies at its name by now."""


class Refused(Exception):
    """The path cannot be resolved safely; the text says why and is told to the process. ``path``: as the process gave
    it, where that is known."""

    path: bytes = b""

    def told(self) -> str:
        """Why, and what the process named."""
        return f"{self}: {self.path.decode('utf-8', 'backslashreplace')}" if self.path else str(self)


class Spot(NamedTuple):
    """A name: its parent (an O_PATH descriptor), the last component as given, and what is there (-1: nothing)."""

    parent: int
    name: bytes
    handle: int
    target: Target

    def close(self) -> None:
        for fd in (self.parent, self.handle):
            if fd >= 0:
                os.close(fd)


class Caller(NamedTuple):
    """Whose view of the file system a path is resolved in."""

    tid: int
    tgid: int


def name_of(handle: int) -> bytes:
    """The canonical path of an O_PATH descriptor (proc(5), ``/proc/self/fd``)."""
    return os.readlink(b"/proc/self/fd/%d" % handle)


class Resolver:
    """``tree`` paths get their ``ignored`` fact; ``made`` knows the run's own names; ``given`` are the
    (device, inode) of files that were handed in open for writing."""

    def __init__(self, made: Made, ignored: Ignored, given: frozenset[tuple[int, int]] = frozenset()) -> None:
        self._made = made
        self._given = given
        self._ignored = ignored

    def base(self, caller: Caller, dirfd: int, path: bytes, resolve: int = 0) -> tuple[int, bytes]:
        """An O_PATH descriptor to resolve from, and what to resolve from it; AT_FDCWD for absolute paths. EBADF for an
        unknown ``dirfd``.

        No chroot or mount namespace of the run's own can differ from ours: it has no capability to make one.
        """
        if path.startswith(b"/") and not resolve & RESOLVE_IN_ROOT:
            link = _own(caller, path, resolve)
            if link is None or not link.rest:
                return AT_FDCWD, path
            _may_jump(resolve, nofollow=False)
            # Not a slash may stay in front of the rest: it would be absolute.
            return os.open(link.entry, os.O_PATH | os.O_CLOEXEC), link.rest.lstrip(b"/") or b"."
        where = f"/proc/{caller.tid}/cwd" if dirfd == AT_FDCWD else f"/proc/{caller.tid}/fd/{dirfd}"
        try:
            return os.open(where, os.O_PATH | os.O_CLOEXEC), path
        except FileNotFoundError as error:
            if dirfd == AT_FDCWD:
                raise
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error

    def existing(self, caller: Caller, dirfd: int, path: bytes, *, nofollow: bool = False, resolve: int = 0) -> Spot:
        """What ``path`` leads to. Errors: those of path_resolution(7), ``Refused``."""
        try:
            return self.pinned(self.reach(caller, dirfd, path, nofollow=nofollow, resolve=resolve))
        except Refused as refused:
            refused.path = path
            raise

    def reach(self, caller: Caller, dirfd: int, path: bytes, *, nofollow: bool = False, resolve: int = 0) -> int:
        """An O_PATH descriptor of what ``path`` leads to. Errors: as ``existing``."""
        if path == b"":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        handle = self._own_link(caller, path, nofollow=nofollow, resolve=resolve)
        if handle is not None:
            return handle
        base, path = self.base(caller, dirfd, path, resolve)
        try:
            return self._walk(base, path, os.O_PATH | (os.O_NOFOLLOW if nofollow else 0), resolve)
        except Refused:
            text = self._link_text(base, path)
            handle = self._own_link(caller, text, nofollow=nofollow, resolve=resolve) if text else None
            if handle is None:
                raise
            return handle
        finally:
            _close(base)

    def own(self, caller: Caller, path: bytes, *, nofollow: bool, resolve: int) -> Spot | None:
        """What the caller's own link that ``path`` itself is leads to (/dev/stdout, /proc/self/fd/1). None when it is
        none. Errors: ``Refused`` for another process's, ENOENT for a descriptor that is not open."""
        handle = self._own_link(caller, path, nofollow=nofollow, resolve=resolve)
        return self.pinned(handle) if handle is not None else None

    @staticmethod
    def _own_link(caller: Caller, path: bytes, *, nofollow: bool, resolve: int) -> int | None:
        link = _own(caller, path, resolve)
        if link is None or link.rest:
            return None
        _may_jump(resolve, nofollow=nofollow)
        return os.open(link.entry, os.O_PATH | os.O_CLOEXEC)

    def descriptor(self, caller: Caller, number: int) -> Spot:
        """What descriptor ``number`` of the calling thread refers to. ENOENT when it is not open. Threads may have
        tables of their own (unshare(2), CLONE_FILES)."""
        return self.pinned(os.open(f"/proc/{caller.tid}/fd/{number}", os.O_PATH | os.O_CLOEXEC))

    def pinned(self, handle: int) -> Spot:
        """The spot of an O_PATH descriptor, which is closed when it cannot be described."""
        try:
            return Spot(-1, b"", handle, self.describe(handle))
        except BaseException:
            os.close(handle)
            raise

    def entry(self, caller: Caller, dirfd: int, path: bytes, *, resolve: int = 0) -> Spot:
        """The name ``path`` itself, its last component not followed; what lies there may be absent."""
        if path == b"":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        given = path
        try:
            base, path = self.base(caller, dirfd, path, resolve)
            try:
                return self._entry(base, path, resolve)
            finally:
                _close(base)
        except Refused as refused:
            refused.path = given
            raise

    def creating(self, caller: Caller, dirfd: int, path: bytes, *, resolve: int = 0) -> Spot:
        """Where open(O_CREAT) would create: like ``entry``, but dangling symbolic links are followed."""
        if path == b"":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            return self._creating(*self.base(caller, dirfd, path, resolve), resolve)
        except Refused as refused:
            refused.path = path
            raise

    def _creating(self, base: int, path: bytes, resolve: int) -> Spot:
        try:
            for _ in range(_FOLLOW_LIMIT):
                spot = self._entry(base, path, resolve)
                if spot.target.kind is not Kind.LINK or path.endswith(b"/"):
                    return spot
                path = os.readlink(b"", dir_fd=spot.handle)
                os.close(spot.handle)
                _close(base)
                base = spot.parent
                if path.endswith(b"/"):
                    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        finally:
            _close(base)

    def _entry(self, base: int, path: bytes, resolve: int) -> Spot:
        head, name = _split(path)
        if head or resolve or base < 0:
            parent = self._walk(base, head or b".", os.O_PATH | os.O_DIRECTORY, resolve)
        elif not stat.S_ISDIR(os.fstat(base).st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        else:
            parent = os.dup(base)  # a name in the starting folder itself
        try:
            folder = self._canonical(parent)
            bare = name.rstrip(b"/")
            if bare in (b"", b".", b".."):
                return Spot(parent, name or b".", -1, self.describe(parent))
            full = (folder if folder != b"/" else b"") + b"/" + bare
            if len(bare) > 255:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            try:
                handle = os.open(bare, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            except FileNotFoundError:
                return Spot(parent, name, -1, self._target(full, None))
            return Spot(parent, name, handle, self._target(full, os.fstat(handle)))
        except BaseException:
            os.close(parent)
            raise

    def describe(self, handle: int) -> Target:
        """The target behind an O_PATH descriptor."""
        return self._target(self._canonical(handle), os.fstat(handle))

    def as_folder(self, target: Target) -> Target:
        """An absent target that is going to be a directory: ignore rules may speak of directories alone."""
        return target._replace(ignored=target.ignored or self._ignored.covers(target.path, directory=True))

    def foreign_links(self, target: Target) -> int:
        """How many further names the file has that the run did not make."""
        if target.kind is not Kind.FILE or target.unlinked or target.nlink < 2:
            return 0
        return max(0, target.nlink - 1 - self._made.other_names(target))

    def _canonical(self, handle: int) -> bytes:
        path = name_of(handle)
        if path.startswith(b"/proc/") or path == b"/proc":
            if path.endswith(b"/coredump_filter"):  # every Java machine asks at its start, and goes on without
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            raise Refused("/proc of a run is read-only")
        return path

    def _target(self, path: bytes, found: os.stat_result | None) -> Target:
        git = git_above(path) if _may_matter(path) else b""
        made = self._made.contains(path)
        if path.endswith(b"/govrun.toml"):
            # In a worktree or clone that the run itself made, a profile is content like any other.
            made = made or self._made.contains(path.rpartition(b"/")[0] + b"/.git")
        if found is None:
            return Target(path, Kind.ABSENT, made=made, ignored=self._ignored.covers(path), git=git)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), Kind.OTHER)
        unlinked = found.st_nlink == 0 or not path.startswith(b"/")
        return Target(
            path,
            kind,
            found.st_dev,
            found.st_ino,
            found.st_nlink,
            made=made,
            ignored=self._ignored.covers(path, directory=kind is Kind.DIR),
            unlinked=unlinked and kind is not Kind.BLOCK,
            given=(found.st_dev, found.st_ino) in self._given,
            git=git,
        )

    def _walk(self, base: int, path: bytes, flags: int, resolve: int) -> int:
        try:
            return openat2(base, path, flags, 0, resolve | RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno != errno.ELOOP or resolve & (RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS):
                raise
        # ELOOP is a loop of symbolic links or a magic link; without the flag only the former stays one. Where that walk
        # ends says nothing: magic links lead it through the supervisor.
        try:
            os.close(openat2(base, path, flags, 0, resolve))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise
        raise Refused("the path goes through a magic link of /proc")

    @staticmethod
    def _link_text(base: int, path: bytes) -> bytes:
        """The text of the symbolic link that ``path`` itself is, empty when it is none."""
        try:
            return os.readlink(path, dir_fd=None if base == AT_FDCWD else base)
        except OSError:
            return b""


def _own(caller: Caller, path: bytes, resolve: int) -> OwnLink | None:
    if resolve & _CONFINED:
        return None
    link = own_link(path, caller.tgid, caller.tid)
    if link is not None and not link.entry:
        refused = Refused("the path goes through a link of another process in /proc")
        refused.path = path
        raise refused
    return link


def _may_matter(path: bytes) -> bool:
    """Whether git could run or trust a file by this name if it lay in a git directory."""
    name = path.rpartition(b"/")[2]
    if name.startswith((b"config", b"commondir")) or b"/hooks" in path or b"/info" in path:
        return b"/.git/objects/" not in path or name.endswith(b"alternates")
    return b"/modules/" in path and b"/.git/" in path and b"/objects/" not in path


def git_above(path: bytes) -> bytes:
    """The nearest folder above ``path`` that git would take for a git directory, empty when there is none.

    Where HEAD lies does not matter: a commondir leads to objects and refs from afar (see ``exposure``).
    """
    folder = path.rpartition(b"/")[0]
    for _ in range(_DEEPEST):
        if not folder:
            break
        if any(all(os.path.lexists(folder + b"/" + name) for name in pair) for pair in PAIRS):
            return folder
        folder = folder.rpartition(b"/")[0]
    return b""


def _may_jump(resolve: int, *, nofollow: bool) -> None:
    """What openat2(2) answers for a magic link under the flags of the caller."""
    if nofollow or resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if resolve & RESOLVE_NO_XDEV:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def _split(path: bytes) -> tuple[bytes, bytes]:
    """Parent part and last component; trailing slashes stay with the component, since the kernel looks at them."""
    bare = path.rstrip(b"/")
    if not bare:
        return b"/", b"."
    head, slash, name = bare.rpartition(b"/")
    tail = path[len(bare) :]
    return (head or b"/") if slash else b"", name + (b"/" if tail else b"")


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
