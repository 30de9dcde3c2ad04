"""Inodes that the run opened for writing and that are judged by content, until nobody can write to them any more.

Every write-open passes the supervisor, so nothing else has to be watched: no folder, no walk at the start. Each entry
keeps one read-only descriptor, which names the file through renames (proc(5)), sees writes through other names,
descriptors passed on and mappings, and can be asked for writers (``kernel.leases``). A watch on the inode only makes
the look come sooner.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator

from supervisor.kernel import leases
from supervisor.kernel.inotify import Watches
from supervisor.surfaces.reading import identity_of
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Actor
from supervisor.vocabulary.versions import Identity, Version

_MOST = 16_384  # each costs a descriptor; a quarter of what this process may hold
_DELETED = b" (deleted)"


class Written:
    """One inode. ``accepted`` is what to go back to, ``seen`` the state that was judged last (None: never) and
    ``digest`` its content. ``names``: the judged ones by which it came here. ``mappable``: it may be changed through a
    mapping, and a store to a page that is dirty already moves no time stamp. ``inherited``: handed in at the start.
    ``opens``: how often the run opened it for writing; ``closings``: writers, of whomever, that have gone since it was
    judged last."""

    __slots__ = (
        "accepted",
        "actor",
        "closings",
        "digest",
        "fd",
        "git_tool",
        "inherited",
        "key",
        "mappable",
        "names",
        "opens",
        "seen",
        "watch",
    )

    def __init__(self, fd: int, key: tuple[int, int], actor: Actor, accepted: Version) -> None:
        self.fd, self.key, self.actor, self.accepted = fd, key, actor, accepted
        self.watch = -1
        self.mappable = self.git_tool = self.inherited = False
        self.seen: Identity | None = None
        self.digest = b""
        self.opens = self.closings = 0
        self.names: set[bytes] = set()

    def leads(self) -> set[bytes]:
        """Those of its names that still lead to it."""
        self.names = {name for name in self.names if leads_to(name, self.key)}
        return self.names

    def is_written(self) -> bool:
        """Whether somebody can still write to it; unsure means yes."""
        return leases.has_writer(self.fd) is not False

    def path(self) -> bytes:
        """The name it is known by now; empty when that name is gone (others may be left: ``nlink``)."""
        try:
            name = os.readlink(b"/proc/self/fd/%d" % self.fd)
        except OSError as error:  # ENAMETOOLONG: somebody else moved a folder above it
            what = f"a file that the run writes to can no longer be named ({os.fsdecode(next(iter(self.names), b'?'))})"
            raise StopRun(what, str(error)) from error
        return b"" if name.endswith(_DELETED) and not leads_to(name, self.key) else name

    def identity(self) -> Identity:
        return identity_of(os.fstat(self.fd))


class Ledger:
    """All of them. Descriptors are the ledger's: entries are closed by ``drop``."""

    def __init__(self) -> None:
        self._watches = Watches()
        self._entries: dict[tuple[int, int], Written] = {}
        self._by_watch: dict[int, Written] = {}
        self._most = min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def fileno(self) -> int:
        """Readable when a writer has gone."""
        return self._watches.fd

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Written]:
        return iter(list(self._entries.values()))

    def get(self, device: int, inode: int) -> Written | None:
        return self._entries.get((device, inode))

    def has_room(self, count: int = 1) -> bool:
        return len(self._entries) + count <= self._most

    def enter(
        self, fd: int, name: bytes, actor: Actor, accepted: Version, *, mappable: bool, git_tool: bool
    ) -> Written:
        """Keep the inode behind ``fd`` (any open descriptor), known as ``name``. An inode that is there already keeps
        its accepted version. OSError(EACCES): the file cannot be read; OSError(ENFILE): there are too many."""
        own = os.open(b"/proc/self/fd/%d" % fd, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        info = os.fstat(own)
        key = (info.st_dev, info.st_ino)
        entry = self._entries.get(key)
        if entry is not None:
            os.close(own)
        elif not self.has_room():
            os.close(own)
            raise OSError(errno.ENFILE, "too many files are being written at once")
        else:
            entry = self._entries[key] = Written(own, key, actor, accepted)
            self._watch(entry)
        entry.actor, entry.git_tool = actor, git_tool
        entry.names.add(name)
        entry.mappable = entry.mappable or mappable
        return entry

    def _watch(self, entry: Written) -> None:
        try:
            entry.watch = self._watches.add(entry.fd)
        except OSError:
            return  # then it is looked at before the next command, and not sooner
        self._by_watch[entry.watch] = entry

    def closed(self) -> list[Written]:
        """Entries that lost a writer since the last call."""
        watches, lost = self._watches.drain()
        if lost:
            return list(self._entries.values())
        found = [self._by_watch[watch] for watch in watches if watch in self._by_watch]
        for entry in found:
            entry.closings += 1
        return found

    def drop(self, entry: Written) -> None:
        """Nobody writes to it any more, or it is no longer in place."""
        if self._entries.pop(entry.key, None) is None:
            return
        if self._by_watch.pop(entry.watch, None) is not None:
            self._watches.remove(entry.watch)
        os.close(entry.fd)


def leads_to(name: bytes, key: tuple[int, int]) -> bool:
    """Whether the inode ``key`` lies at that name."""
    try:
        info = os.lstat(name)
    except OSError:
        return False
    return (info.st_dev, info.st_ino) == key
