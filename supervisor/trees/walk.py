"""What lies in a tree now, as git would name it: each file's mode and blob, by a walk of our own.

Not by git: its index, attributes, filters and nested repositories can each hide a file or give it another name, and all
of them are the run's to write. An index of the last walk spares reading what has not changed since.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.vocabulary.errors import TooMuchError
from supervisor.vocabulary.versions import Entry

INDEX = "index"
LINK, FILE, PROGRAM = "120000", "100644", "100755"
_MAGIC = b"govrun-index 1 "
_TICK = 20_000_000  # nanoseconds: ctime comes from a clock that stands still between timer ticks
_LARGEST_INDEX = 256 << 20
LARGEST_READ = 256 << 20  # a sparse file can have any size, and costs nothing to whoever makes it
_CHUNK = 1 << 20
_NO_RULES = b"-"

_State = tuple[int, int, int, int, int, int]  # dev, ino, mode, size, mtime, ctime
_NEVER = (0, 0, 0, 0, 0, 0)  # no file's


class Found(NamedTuple):
    """``entries`` by path below the tree; ``read``: those that had to be read; ``unreadable`` could not be, or
    are too large: what stands for files among them is in ``texts``, by blob; of folders it is what was there before."""

    entries: dict[bytes, Entry]
    read: frozenset[bytes]
    unreadable: tuple[bytes, ...]
    texts: dict[str, bytes]


class Walk:
    """``ignored`` answers for a path below the tree, and whether it is a folder; ``rules`` names what it answers by.
    At most ``most`` names are looked at, in at most ``patience`` seconds.

    Raises ``TooMuchError``.
    """

    def __init__(
        self,
        tree: bytes,
        ignored: Callable[[bytes, bool], bool],
        rules: str = "",
        most: int = 400_000,
        patience: float = 60.0,
    ) -> None:
        self._tree = tree
        self._ignored = ignored
        self._rules = rules.encode() or _NO_RULES
        self._most = most
        self._patience = patience
        self._same_rules = False
        self._known: dict[bytes, tuple[Entry, _State]] = {}
        self._next: dict[bytes, tuple[Entry, _State]] = {}

    def load(self, folder: Path) -> None:
        """Take over the index that the last walk left; one that cannot be read is none."""
        try:
            with open(os.open(folder / INDEX, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
                raw = file.read(_LARGEST_INDEX + 1)
        except OSError:
            return
        head, _, body = raw.partition(b"\0")
        if len(raw) > _LARGEST_INDEX or not raw.endswith(b"\0") or not head.startswith(_MAGIC):
            return
        self._same_rules = head == _MAGIC + self._rules
        try:
            self._known = dict(_parsed(line) for line in body.split(b"\0") if line)
        except ValueError:
            self._known = {}

    def save(self, folder: Path) -> None:
        """Leave an index for the next walk, which reads again what could have been written to since. OSError."""
        temporary = folder / f".{INDEX}.{os.getpid()}"
        lines = [_MAGIC + self._rules, *(_line(path, *each) for path, each in self._next.items())]
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"\0".join(lines) + b"\0")
        os.replace(temporary, folder / INDEX)

    def known(self) -> Mapping[bytes, Entry]:
        """What the last walk found."""
        return {path: entry for path, (entry, _) in self._known.items()}

    def go(self) -> Found:
        """Walk."""
        started = time.time_ns() - _TICK
        entries: dict[bytes, Entry] = {}
        read, unreadable, texts = set(), list[bytes](), {}
        for path, info in self._files(unreadable):
            state = (info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
            known = self._known.get(path)
            if (known is None or not self._same_rules) and self._ignored(path, False):
                continue
            large = stat.S_ISREG(info.st_mode) and info.st_size > LARGEST_READ
            if known is not None and known[1] == state and not large:
                entry = known[0]
            elif blob := "" if large else blob_of(self._tree + b"/" + path, info):
                entry = Entry(_mode(info.st_mode), blob)
                read.add(path)
            else:
                unreadable.append(path)
                text = stand_in(info.st_size, info.st_mtime_ns)
                entry = Entry(_mode(info.st_mode), blob_named(text))
                texts[entry.blob] = text
                state = _NEVER
            entries[path] = entry
            self._next[path] = entry, state if info.st_ctime_ns < started else _NEVER
        entries |= self._unseen(unreadable)
        return Found(entries, frozenset(read), tuple(unreadable), texts)

    def _unseen(self, unlisted: Iterable[bytes]) -> dict[bytes, Entry]:
        """What the last walk found in folders that cannot be listed now: it is not known to have gone."""
        places = tuple(folder + b"/" for folder in unlisted)
        kept = {path: known for path, known in self._known.items() if path.startswith(places)}
        self._next.update(kept)
        return {path: entry for path, (entry, _) in kept.items()}

    def _files(self, unlisted: list[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
        """Files and links below the tree, but what lies in ignored folders and in git's own. ``unlisted`` takes the
        folders that cannot be listed."""
        pending, count, end = [b""], 0, time.monotonic() + self._patience
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(self._tree + b"/" + folder if folder else self._tree))
            except FileNotFoundError:
                continue  # gone meanwhile
            except OSError:
                unlisted.append(folder)
                continue
            count += len(entries)
            if count > self._most or time.monotonic() > end:
                raise TooMuchError("the tree is too large to be looked through", f"after {count} names")
            for each in entries:
                path = folder + b"/" + each.name if folder else each.name
                try:
                    info = each.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(info.st_mode):
                    if each.name != b".git" and not self._ignored(path, True):
                        pending.append(path)
                elif (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)) and each.name != b".git":
                    yield path, info


def blob_of(path: bytes, info: os.stat_result) -> str:
    """The name that git gives what lies there, which ``info`` is about; empty when it cannot be read, or changes."""
    try:
        if stat.S_ISLNK(info.st_mode):
            return blob_named(os.readlink(path))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found, size = hashlib.sha1(b"blob %d\0" % info.st_size, usedforsecurity=False), 0
        while piece := os.read(fd, _CHUNK):
            found.update(piece)
            size += len(piece)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return found.hexdigest() if size == info.st_size else ""


def content_of(path: bytes, blob: str, largest: int) -> bytes | None:
    """The content that git would call ``blob``, if it still lies at ``path`` and has at most ``largest`` bytes."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            data = os.readlink(path)
        else:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                data = file.read(largest + 1)
    except OSError:
        return None
    return data if len(data) <= largest and blob_named(data) == blob else None


def stand_in(size: int, mtime_ns: int) -> bytes:
    """What stands for the content of a file that is known by its size and time alone."""
    return b"govrun: %d bytes of %d ns were not kept here\n" % (size, mtime_ns)


def blob_named(data: bytes) -> str:
    """The name that git gives a content."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def _mode(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return LINK
    return PROGRAM if mode & stat.S_IXUSR else FILE


def _line(path: bytes, entry: Entry, state: _State) -> bytes:
    return f"{entry.mode} {entry.blob} {' '.join(map(str, state))} ".encode("ascii") + path


def _parsed(line: bytes) -> tuple[bytes, tuple[Entry, _State]]:
    mode, blob, dev, ino, bits, size, mtime, ctime, path = line.split(b" ", 8)
    state = (int(dev), int(ino), int(bits), int(size), int(mtime), int(ctime))
    return path, (Entry(mode.decode("ascii"), blob.decode("ascii")), state)
