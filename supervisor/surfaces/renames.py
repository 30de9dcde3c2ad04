"""rename(2) and its kin: two names, whole directories, and the lock files of git."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.kernel import memory
from supervisor.kernel.libc import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.contents import plain_content
from supervisor.surfaces.exposure import CONFIG_MOST, Exposure
from supervisor.surfaces.paths import Refused, Resolver, Spot
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.events import ConfigChange, FsEvent, FsOp, GitConfigEvent, Kind, Target

if TYPE_CHECKING:
    from supervisor.surfaces.files import Call

REPLACE = b"refs/replace/"
_GUARDED = (b"refs/notes/govrun", b"refs/govrun/", REPLACE)
_ABOVE = (b"refs/notes", b"refs/govrun")
_PEELED = re.compile(rb"\^(?:[0-9a-f]{40}|[0-9a-f]{64})")
_PACKED_LINE = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64}) (refs/[^\x00-\x20\x7f]+)")
_MOST = 50_000  # names in a moved directory that are listed
_PACKED_MOST = 64 << 20


class ConfigDelta(NamedTuple):
    """Keys that differ between two versions of a configuration file, and those whose value git would run."""

    changes: tuple[ConfigChange, ...]
    executable: tuple[str, ...]


class Renames:
    """What renames need to know.

    ``is_git``: whether a path lies in a git directory. ``delta`` compares two configuration files (their bytes; the
    third argument says that it is a submodule's), raising ValueError when one cannot be read. ``plain``: a move between
    two paths needs no look inside.
    """

    def __init__(
        self,
        resolver: Resolver,
        is_git: Callable[[bytes], bool],
        delta: Callable[[bytes, bytes, bool], ConfigDelta],
        plain: Callable[[bytes, bytes], bool],
    ) -> None:
        self._resolver = resolver
        self._is_git = is_git
        self._delta = delta
        self._plain = plain
        self.exposure = Exposure(
            lambda content, module: delta(b"", content, module).executable, lambda path: plain(path, path)
        )
        self.calls: dict[str, Callable[[Call], Attempt]] = {
            "rename": lambda c: self._rename(c, AT_FDCWD, c.args[0], AT_FDCWD, c.args[1], 0),
            "renameat": lambda c: self._rename(c, _fd(c.args[0]), c.args[1], _fd(c.args[2]), c.args[3], 0),
            "renameat2": lambda c: self._rename(c, _fd(c.args[0]), c.args[1], _fd(c.args[2]), c.args[3], c.args[4]),
        }

    def _rename(self, call: Call, old_base: int, old_at: int, new_base: int, new_at: int, flags: int) -> Attempt:
        flags &= 0xFFFFFFFF
        both = flags & RENAME_EXCHANGE and flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)
        if both or flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if flags & RENAME_WHITEOUT:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # needs CAP_MKNOD
        old_path = memory.string(call.caller.tid, old_at)
        new_path = memory.string(call.caller.tid, new_at)
        old = self._resolver.entry(call.caller, old_base, old_path)
        try:
            new = self._resolver.entry(call.caller, new_base, new_path)
        except (OSError, Refused):
            old.close()
            raise
        try:
            if any(spot.name.rstrip(b"/") in (b".", b"..") for spot in (old, new)):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            return self._judged(call, old, new, flags)
        except BaseException:
            old.close()
            new.close()
            raise

    def _judged(self, call: Call, old: Spot, new: Spot, flags: int) -> Attempt:
        if old.target.kind is Kind.ABSENT:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        act = PathAct("rename", old.parent, old.name, old.handle, new.parent, new.name, flags=flags)
        exchange = bool(flags & RENAME_EXCHANGE)
        if not exchange and self._is_config(old.target, new.target):
            return self._config(call, old, new, act)
        if not exchange and self._is_packed(old.target.path, new.target.path):
            return self._packed(call, old, new, act)
        event = FsEvent(
            call.actor,
            FsOp.RENAME,
            call.name,
            old.target,
            new.target,
            exchange,
            self._beneath(old, new),
            self._beneath(new, old) if exchange else (),
            makes=old.target.kind,
            git_tool=call.git_tool,
        )
        return Attempt(event, act, (old, new))

    def _beneath(self, moved: Spot, other: Spot) -> tuple[bytes, ...] | None:
        if moved.target.kind is not Kind.DIR or self._plain(moved.target.path, other.target.path):
            return ()
        return names_in(moved.handle)

    def _is_config(self, old: Target, new: Target) -> bool:
        """Git's own way: the lock file beside the configuration of a git directory replaces it."""
        folder, _, name = new.path.rpartition(b"/")
        if name not in (b"config", b"config.worktree") or old.path != new.path + b".lock":
            return False
        if new.git == folder or not self._is_git(new.path):
            return new.git == folder
        # A git directory that is being made does not look like one yet.
        module = new.path.rpartition(b"/modules/")[2].split(b"/")
        refs = any(part in (b"refs", b"logs", b"objects") for part in module)
        return folder.endswith(b"/.git") or (b"/modules/" in new.path and not refs)

    def _is_packed(self, old: bytes, new: bytes) -> bool:
        named = new.endswith(b"/packed-refs") and old in (new + b".lock", new + b".new")
        return named and self._is_git(new)

    def _packed(self, call: Call, old: Spot, new: Spot, act: PathAct) -> Attempt:
        """Git moves loose refs into packed-refs. What lands is the copy that is judged; govrun's own refs may only
        move there with the value they have."""
        folder = new.target.path.rpartition(b"/")[0]
        refusal, content = "", b""
        altered: tuple[bytes, ...] = ()
        try:
            content = _content(old, _PACKED_MOST)
            must_be_packed(content)
            before = _content(new, _PACKED_MOST) if new.target.kind is not Kind.ABSENT else b""
            now = _records(content)
            altered = tuple(
                name
                for name in altered_records(before, content)
                if name not in now or loose_value(folder, name) != now[name]
            )
        except (OSError, ValueError) as error:
            refusal = f"the new packed-refs cannot be read: {error}"
        event = FsEvent(
            call.actor, FsOp.RENAME, call.name, old.target, new.target, git_tool=call.git_tool, records=altered,
            locked=True, refusal=refusal,
        )  # fmt: skip
        return Attempt(event, act._replace(replace=content), (old, new))

    def unpacked(self, path: bytes) -> tuple[bytes, ...]:
        """For a loose ref of govrun that is about to go: its name, unless packed-refs holds the same value."""
        if b"govrun" not in path:
            return ()
        for mark in (b"/refs/notes/govrun", b"/refs/govrun/"):
            folder, found, rest = path.rpartition(mark)
            if not found or folder.endswith(b"/logs") or rest.endswith(b".lock") or not self._is_git(folder):
                continue
            name = mark[1:] + rest
            value = loose_value(folder, name)
            packed = _records(plain_content(folder + b"/packed-refs", _PACKED_MOST))
            return () if value is not None and packed.get(name) == value else (name,)
        return ()

    def _config(self, call: Call, old: Spot, new: Spot, act: PathAct) -> Attempt:
        """Git replaces a configuration by its lock file. What lands is the copy that is judged here: the process may
        still hold the lock file open for writing."""
        refusal, content = "", b""
        delta = ConfigDelta((), ())
        try:
            content = _content(old, CONFIG_MOST)
            before = _content(new, CONFIG_MOST) if new.target.kind is not Kind.ABSENT else b""
            delta = self._delta(before, content, b"/modules/" in new.target.path)
        except (OSError, ValueError) as error:
            refusal = f"the new configuration cannot be read: {error}"
        event = GitConfigEvent(call.actor, old.target, new.target, delta.changes, delta.executable, refusal)
        return Attempt(event, act._replace(replace=content), (old, new))


def altered_records(before: bytes, after: bytes) -> tuple[bytes, ...]:
    """Guarded refs whose line differs between two versions of packed-refs (git-pack-refs(1))."""
    old, new = _records(before), _records(after)
    changed = (name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return tuple(sorted(name for name in changed if name in new or not name.startswith(REPLACE)))


def _records(content: bytes) -> dict[bytes, bytes]:
    """Refs that hold the record of runs, that take the place of those, and that change what git shows of any object."""
    found: dict[bytes, bytes] = {}
    for line in content.split(b"\n"):
        value, _, name = line.partition(b" ")
        if name.startswith(_GUARDED) or name in _ABOVE:
            found[name] = value
    return found


def must_be_packed(content: bytes) -> None:
    """ValueError for packed-refs that git could not read, or in which it would not find what is there."""
    if not content:
        return
    header, *lines = content.split(b"\n")
    if not header.startswith(b"#"):
        header, lines = b"", [header, *lines]
    if lines.pop() != b"":
        raise ValueError("its last line does not end")
    last = b""
    for line in lines:
        if _PEELED.fullmatch(line):
            continue
        match = _PACKED_LINE.fullmatch(line)
        if match is None:
            raise ValueError("a line of it is no ref")
        if b" sorted" in header and match[1] <= last:
            raise ValueError("it says that it is sorted and is not")
        last = match[1]


def loose_value(folder: bytes, name: bytes) -> bytes | None:
    """The value of a loose ref file, None when there is none."""
    return plain_content(folder + b"/" + name, 256).strip() or None


def _fd(register: int) -> int:
    low = register & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def _content(spot: Spot, most: int) -> bytes:
    if spot.target.kind is not Kind.FILE:
        raise ValueError("it is no regular file")
    fd = os.open(b"/proc/self/fd/%d" % spot.handle, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        content = b""
        while len(content) <= most and (chunk := os.read(fd, most + 1 - len(content))):
            content += chunk
    finally:
        os.close(fd)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 20} MiB")
    return content


def names_in(handle: int) -> tuple[bytes, ...] | None:
    """Every name in the directory behind an O_PATH descriptor, relative to it. None: too many, or not all readable."""
    found: list[bytes] = []
    pending = [b""]
    root = b"/proc/self/fd/%d" % handle
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root + b"/" + folder if folder else root) as entries:
                for entry in entries:
                    name = folder + b"/" + entry.name if folder else entry.name
                    found.append(name)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
        except OSError:
            return None
        if len(found) > _MOST:
            return None
    return tuple(found)
