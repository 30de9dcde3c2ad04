"""What lies in the tree, for readers that resolve what a source asks for: files, folders, small configuration files.

Paths are texts relative to the tree (``src/a.py``, the empty text is the tree itself); bytes that are not UTF-8 stand
in them as surrogates. ``..``, absolute paths and NUL lead nowhere. Symbolic links are followed inside the tree and
never out of it. Nothing here raises for what it finds there: what cannot be read is not there.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from supervisor.inspection.looked import (
    AT,
    FOLDERS,
    HAS,
    KIND,
    LIKE,
    NAMES,
    TEXT,
    Look,
    Looked,
    Seen,
    looks_of,
)
from supervisor.inspection.projects import is_foreign, joined

_Made = TypeVar("_Made")

FILE: Final = "file"
FOLDER: Final = "folder"
_OTHER: Final = "other"
_STAMP: Final = "stamp"
_MOST_LINKS = 40
_MOST_SEEN = 50_000  # names that are remembered while one file is inspected
_MOST_TEXTS = 4_000
_MOST_BYTES = 16 << 20  # of remembered texts
_MOST_LISTED = 10_000  # names in a folder
_MOST_LISTINGS = 10_000
_LONGEST = 4096
_MOST_PARTS = 128
_FRESH = 50_000_000  # nanoseconds: file times are only so exact, so what changed just now may change unseen
_NO_NAME = re.compile(r"/\.{0,2}/")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Spot(NamedTuple):
    """``kind`` is empty for what is not there. ``at`` is where it is, links resolved; None outside of the tree."""

    kind: str
    at: str | None


class _Stamp(NamedTuple):
    mtime: int
    ctime: int  # nobody can set it back
    size: int
    inode: int
    device: int


class _Text(NamedTuple):
    stamp: _Stamp
    content: bytes


class _Listing(NamedTuple):
    stamp: _Stamp
    names: tuple[str, ...]
    folders: tuple[str, ...]


class _Memo(NamedTuple):
    """``depends``: (what, path) -> what was there when ``made`` was made of it. ``number`` and ``looks``: see
    ``Looked``."""

    round: int
    depends: dict[tuple[str, str], object]
    made: object
    number: int
    looks: tuple[Look, ...]


class _Derived(NamedTuple, Generic[_Made]):
    content: bytes
    made: _Made


_UNKNOWN: Final = _Stamp(-1, -1, -1, -1, -1)  # equal to no other
_GONE: Final = _Stamp(-2, -2, -2, -2, -2)
_EMPTY: Final = _Listing(_UNKNOWN, (), ())
_NOTHING: Final = _Spot("", None)
_OUTSIDE: Final = _Spot(_OTHER, None)


class Resolver:
    """``tree``: its absolute canonical path. One for each worker; ``begin`` before each file, since what is there is
    remembered until then."""

    def __init__(self, tree: bytes) -> None:
        self.tree = tree.rstrip(b"/")
        self._root = os.fsdecode(self.tree)
        self._seen: dict[str, _Spot] = {}
        self._texts: OrderedDict[str, _Text] = OrderedDict()
        self._held = 0
        self._listings: OrderedDict[str, _Listing] = OrderedDict()
        self._round = 0  # counts the calls of ``begin``
        self._memos: dict[str, _Memo] = {}
        self._depends: dict[tuple[str, str], object] | None = None  # only while something is made
        self._derived: OrderedDict[tuple[str, str], _Derived[object]] = OrderedDict()
        self._looks: dict[tuple[str, str], Seen] = {}  # since ``begin``
        self._groups: dict[int, tuple[Look, ...]] = {}
        self._made = 0  # counts memos

    def begin(self) -> None:
        """From now on the tree is looked at anew."""
        self._seen = {}
        self._round += 1
        self._looks, self._groups = {}, {}

    def looked(self) -> Looked:
        """At what, since ``begin``."""
        return Looked(looks_of(self._looks), tuple(self._groups.items()))

    def relative_of(self, path: bytes) -> str | None:
        """An absolute path, relative to the tree; None for what is not in it. Links are not resolved."""
        if not path.startswith(self.tree + b"/"):
            return None
        found = os.fsdecode(path[len(self.tree) + 1 :])
        return found if _is_plain(found) else None

    def kind(self, relative: str) -> str:
        """``FILE``, ``FOLDER``, or empty for anything else."""
        kind = self._look(relative).kind
        self._note(KIND, relative, kind)
        found = self._looks[KIND, relative] = kind if kind != _OTHER else ""
        return found

    def exists_file(self, relative: str) -> bool:
        return self.kind(relative) == FILE

    def exists_dir(self, relative: str) -> bool:
        return self.kind(relative) == FOLDER

    def canonical(self, relative: str) -> str:
        """The same place with links resolved, as far as it exists. What a link leads out of the tree keeps its name."""
        found = self._looks[AT, relative] = self._canonical(relative)
        return found

    def _canonical(self, relative: str) -> str:
        if not _is_plain(relative):
            return relative
        head, rest = relative, ""
        while head:
            spot = self._look(head)
            if spot.kind:
                return relative if spot.at is None else joined(spot.at, rest)
            head, _, name = head.rpartition("/")
            rest = joined(name, rest)
        return relative

    def text(self, relative: str, most: int = 1 << 20) -> bytes | None:
        """The content of a file of at most ``most`` bytes; None for all else. Always what is there now."""
        found = self._looks[f"{TEXT}{most}", relative] = self._content(relative, most)
        return found

    def _content(self, relative: str, most: int) -> bytes | None:
        spot = self._look(relative)
        if spot.kind != FILE or spot.at is None:
            self._note(KIND, relative, spot.kind)
            return None
        self._note(_STAMP, spot.at, _UNKNOWN)
        kept = self._texts.get(spot.at)
        if kept is not None and self._stamp_of(spot.at) == kept.stamp:
            self._texts.move_to_end(spot.at)
            self._note(_STAMP, spot.at, kept.stamp)
            return kept.content if len(kept.content) <= most else None
        try:
            descriptor = self._open(spot.at, _FILE_FLAGS)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                return None
            content = _read(descriptor, most + 1)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if len(content) > most:
            return None
        if kept is not None and kept.content == content:
            content = kept.content  # what was derived from it stays
        stamp = _stamp(found)
        stamp = stamp if _is_settled(stamp) else _UNKNOWN
        self._note(_STAMP, spot.at, stamp)
        self._keep_text(spot.at, _Text(stamp, content))
        return content

    def derived(self, purpose: str, relative: str, make: Callable[[bytes], _Made], most: int = 1 << 20) -> _Made | None:
        """``make`` of the file's content, asked again only when that has changed; None where there is no such file.
        ``purpose`` names what is made."""
        content = self.text(relative, most)
        key = (purpose, relative)
        if content is None:
            self._derived.pop(key, None)
            return None
        kept = self._derived.get(key)
        if kept is not None and (kept.content is content or kept.content == content):
            self._derived.move_to_end(key)
            return kept.made  # type: ignore[return-value]
        made = make(content)
        self._derived[key] = _Derived(content, made)
        if len(self._derived) > _MOST_TEXTS:
            self._derived.popitem(last=False)
        return made

    def remembered(self, name: str, make: Callable[[], _Made]) -> _Made:
        """``make()``, asked again only when something has changed that it looked at here. ``name`` names what is made;
        there are few of them."""
        kept = self._memos.get(name)
        if kept is None or (kept.round != self._round and not self._holds(kept.depends)):
            kept = self._memos[name] = self._memo(make)
        elif kept.round != self._round:
            kept = self._memos[name] = kept._replace(round=self._round)
        if self._depends is not None:
            self._depends.update(kept.depends)
        self._groups[kept.number] = kept.looks
        return kept.made  # type: ignore[return-value]

    def _memo(self, make: Callable[[], object]) -> _Memo:
        around = self._depends, self._looks, self._groups
        depends = self._depends = dict[tuple[str, str], object]()
        looks: dict[tuple[str, str], Seen] = {}
        groups: dict[int, tuple[Look, ...]] = {}
        self._looks, self._groups = looks, groups
        self._made += 1
        number = self._made
        try:
            made = make()
        finally:
            self._depends, self._looks, self._groups = around
        inner = (look for group in groups.values() for look in group)
        return _Memo(self._round, depends, made, number, tuple(dict.fromkeys((*looks_of(looks), *inner))))

    def _note(self, what: str, path: str, found: object) -> None:
        if self._depends is not None:
            self._depends[what, path] = found

    def _holds(self, depends: dict[tuple[str, str], object]) -> bool:
        for (what, path), found in depends.items():
            if (self._stamp_of(path) if what == _STAMP else self._look(path).kind) != found:
                return False
        return True

    def listdir(self, relative: str) -> tuple[str, ...]:
        """The names in a folder, sorted, at most 10,000; none where there is no such folder. Always current."""
        found = self._looks[NAMES, relative] = self._listing(relative).names
        return found

    def folders(self, relative: str) -> tuple[str, ...]:
        """The names of those among them that are folders, no links, and may hold sources."""
        found = self._looks[FOLDERS, relative] = self._listing(relative).folders
        return found

    def names_like(self, relative: str, endings: tuple[str, ...]) -> tuple[str, ...]:
        """Those among them that end like this or have no ending; not those that hold nobody's sources."""
        names = self._listing(relative).names
        found = tuple(name for name in names if ("." not in name or name.endswith(endings)) and not is_foreign(name))
        self._looks[LIKE + " ".join(endings), relative] = found
        return found

    def holding(self, relative: str, wanted: Collection[str]) -> frozenset[str]:
        """Which of some names (without spaces) are in a folder, whatever they are."""
        found = frozenset(wanted).intersection(self._listing(relative).names)
        self._looks[HAS + " ".join(sorted(wanted)), relative] = " ".join(sorted(found))
        return found

    def _listing(self, relative: str) -> _Listing:
        spot = self._look(relative)
        if spot.kind != FOLDER or spot.at is None:
            self._note(KIND, relative, spot.kind)
            return _EMPTY
        self._note(_STAMP, spot.at, _UNKNOWN)
        kept = self._listings.get(spot.at)
        if kept is not None and self._stamp_of(spot.at) == kept.stamp:
            self._listings.move_to_end(spot.at)
            self._note(_STAMP, spot.at, kept.stamp)
            return kept
        try:
            descriptor = self._open(spot.at, _FOLDER_FLAGS)
        except OSError:
            return _EMPTY
        try:
            stamp = _stamp(os.fstat(descriptor))
            names: dict[str, bool] = {}
            with os.scandir(descriptor) as entries:
                for entry in islice(entries, _MOST_LISTED):
                    names[entry.name] = entry.is_dir(follow_symlinks=False)
        except OSError:
            return _EMPTY
        finally:
            os.close(descriptor)
        in_order = tuple(sorted(names))
        found = _Listing(stamp, in_order, tuple(name for name in in_order if names[name] and not is_foreign(name)))
        if _is_settled(stamp):
            self._note(_STAMP, spot.at, stamp)
            self._listings[spot.at] = found
            if len(self._listings) > _MOST_LISTINGS:
                self._listings.popitem(last=False)
        return found

    def _stamp_of(self, at: str) -> _Stamp:
        try:
            return _stamp(os.lstat(f"{self._root}/{at}"))
        except OSError:
            return _GONE

    # ---------------------------------------------------------------------------------------------- looking

    def _look(self, relative: str) -> _Spot:
        known = self._seen.get(relative)
        if known is not None:
            return known
        if not _is_plain(relative):
            return _NOTHING
        above, _, name = relative.rpartition("/")
        parent = self._seen.get(above)
        if parent is None:
            found = self._walked("", relative)
        elif parent.kind == FOLDER and parent.at is not None:
            found = self._walked(parent.at, name)
        else:
            found = _NOTHING
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[relative] = found
        return found

    def _walked(self, folder: str, path: str) -> _Spot:
        """What ``path`` leads to from a real folder, name by name."""
        ahead = path.split("/")[::-1] if path else []
        links, kind = 0, FOLDER
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if not folder or kind != FOLDER:
                    return _OUTSIDE
                folder = folder.rpartition("/")[0]
                continue
            at = joined(folder, name)
            if kind != FOLDER:
                return _NOTHING
            kind, target = self._entry(at)
            if not kind:
                return _NOTHING
            if target is None:
                folder = at
                continue
            links, kind = links + 1, FOLDER
            if target.startswith("/"):
                if not target.startswith(self._root + "/"):
                    return _OUTSIDE
                folder, target = "", target[len(self._root) + 1 :]
            if links > _MOST_LINKS or len(ahead) > _MOST_PARTS:
                return _OUTSIDE
            ahead += target.split("/")[::-1]
        return _Spot(kind, folder)

    def _entry(self, at: str) -> tuple[str, str | None]:
        """Kind, and where it leads if it is a link."""
        place = f"{self._root}/{at}"
        try:
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                return _OTHER, os.readlink(place)
        except (OSError, ValueError):
            return "", None
        return (FOLDER if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else _OTHER), None

    def _open(self, at: str, flags: int) -> int:
        """Name by name, so that no folder can become a link on the way. ``OSError``."""
        parts = at.split("/") if at else []
        descriptor = os.open(self._root or "/", _FOLDER_FLAGS)
        for number, part in enumerate(parts, 1):
            try:
                inner = os.open(part, flags if number == len(parts) else _FOLDER_FLAGS, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor

    def _keep_text(self, at: str, text: _Text) -> None:
        gone = self._texts.pop(at, None)
        self._held += len(text.content) - (len(gone.content) if gone is not None else 0)
        self._texts[at] = text
        while len(self._texts) > _MOST_TEXTS or self._held > _MOST_BYTES:
            _, gone = self._texts.popitem(last=False)
            self._held -= len(gone.content)


def _is_plain(relative: str) -> bool:
    """Whether every name in it is one."""
    if not relative:
        return True
    if len(relative) > _LONGEST or "\0" in relative or relative.count("/") >= _MOST_PARTS:
        return False
    return _NO_NAME.search(f"/{relative}/") is None


def _stamp(found: os.stat_result) -> _Stamp:
    return _Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


def _is_settled(stamp: _Stamp) -> bool:
    return max(stamp.mtime, stamp.ctime) + _FRESH < time.time_ns()


def _read(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0:
        data = os.read(descriptor, min(most, 1 << 18))
        if not data:
            break
        parts.append(data)
        most -= len(data)
    return b"".join(parts)
