"""What sources say, kept between runs, so that a tree is not read anew each time.

An entry holds for one content (its blob id in git's SHA-256 form: SHA-1 ids can be made to collide), read as one kind
at one path, while everything its reader looked at in the tree is as it was (``looked.Looked``). Other versions of the
readers and grammars, and other questions, have files of their own.

The file lies in a folder that no run can write or read: that of the state. It is written whole and moved into place.
What somebody else owns or could have written, what is cut or changed, and what has another shape is not believed, and
nothing here fails: what cannot be read or written is not remembered. Refusals are not kept: another time the worker may
get through. Nor are secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection import looked, wire
from supervisor.inspection.looked import Look, Looked
from supervisor.vocabulary.content import Findings, Wanted

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

MOST_BYTES = 48 << 20  # of a file
MOST_FILES = 24
_MOST_LOOKS = 20_000  # of one answer
_MAGIC = b"govrun edges 2\n"
_SEAL = 64
_HEAD = len(_MAGIC) + _SEAL
_SUFFIX = b".edges"
_LIBRARIES = (
    "tree_sitter", "tree_sitter_go", "tree_sitter_hcl", "tree_sitter_java", "tree_sitter_javascript",
    "tree_sitter_python", "tree_sitter_rust", "tree_sitter_typescript",
)  # fmt: skip


class _Entry(NamedTuple):
    """``found``: as the worker sends it. ``looks`` and ``groups``: numbers of what it rests on."""

    kind: str
    blob: str
    found: object
    looks: list[int]
    groups: list[int]


def blob_id(content: bytes) -> str:
    """As git has it in repositories of the SHA-256 object format."""
    made = hashlib.sha256(b"blob %d\0" % len(content))
    made.update(content)
    return made.hexdigest()


class EdgeCache:
    """``folder`` is made when something is written. Made for one pass over the tree, which is looked at once: what has
    changed since the last pass is seen by the next. Paths are relative to the tree."""

    def __init__(self, folder: Path, wanted: Wanted, *, most: int = MOST_BYTES) -> None:
        self._folder = os.fsencode(folder)
        self._tree = wanted.tree
        self._path = os.path.join(self._folder, _name(wanted))
        self._most = most
        self._resolver: Resolver | None = None
        self._looks: list[Sequence[str]] = []
        self._numbers: dict[Look, int] | None = None
        self._groups: list[list[int]] = []
        self._group_numbers: dict[int, tuple[tuple[Look, ...], int]] = {}  # by id(), with what keeps that its own
        self._entries: dict[str, _Entry] = {}
        self._used: dict[str, None] = {}
        self._holding: dict[int, bool] = {}
        self._groups_holding: dict[int, bool] = {}
        self._changed = False
        with suppress(OSError, ValueError, TypeError, RecursionError):
            self._read(_content(self._folder, self._path, most))

    def get(self, kind: str, path: bytes, content: bytes) -> Findings | None:
        """None for what is not known."""
        name = os.fsdecode(path)
        entry = self._entries.get(name)
        if entry is None or entry.kind != kind or entry.blob != blob_id(content) or not self._holds(entry):
            return None
        try:
            found = wire.findings(entry.found)
        except wire.Garbled:
            return None
        if found.refusal:
            return None
        self._used[name] = None
        return found

    def put(self, kind: str, path: bytes, content: bytes, found: Findings, seen: Looked) -> None:
        size = len(seen.looks) + sum(len(group) for _, group in seen.groups)
        if found.refusal or found.secrets or found.statements or size > _MOST_LOOKS:
            return
        name = os.fsdecode(path)
        try:
            body = json.loads(wire.answer(0, found)[wire.HEAD.size + 1 :])
            wire.findings(body)
        except ValueError:
            return
        looks = [self._number(each) for each in seen.looks]
        groups = [self._group(each) for _, each in seen.groups]
        self._entries[name] = _Entry(kind, blob_id(content), body, looks, groups)
        self._used[name] = None
        self._changed = True

    def flush(self) -> None:
        """Write what was put."""
        if not self._changed:
            return
        self._changed = False
        with suppress(OSError):
            _make(self._folder)
            if not _is_ours(os.lstat(self._folder), stat.S_IFDIR):
                return
            left = list(self._entries)
            while len(body := self._body(left)) > self._most and left:
                # What was asked for in this pass goes last.
                left = sorted(left, key=lambda name: name not in self._used)[: len(left) // 2]
            self._write(body)
            self._tidy()

    # ------------------------------------------------------------------------------------------ what still holds

    def _holds(self, entry: _Entry) -> bool:
        if not all(self._is_so(number) for number in entry.looks):
            return False
        for number in entry.groups:
            known = self._groups_holding.get(number)
            if known is None:
                known = self._groups_holding[number] = all(self._is_so(each) for each in self._groups[number])
            if not known:
                return False
        return True

    def _is_so(self, number: int) -> bool:
        known = self._holding.get(number)
        if known is None:
            if self._resolver is None:
                from supervisor.inspection.resolving import Resolver

                self._resolver = Resolver(self._tree)
            what, path, seen = self._looks[number]
            known = self._holding[number] = looked.seen(self._resolver, what, path) == seen
        return known

    def _number(self, look: Look) -> int:
        if self._numbers is None:
            self._numbers = {Look(*each): number for number, each in enumerate(self._looks)}
        known = self._numbers.get(look)
        if known is None:
            known = self._numbers[look] = len(self._looks)
            self._looks.append(look)
        return known

    def _group(self, looks: tuple[Look, ...]) -> int:
        known = self._group_numbers.get(id(looks))
        if known is None:
            known = self._group_numbers[id(looks)] = looks, len(self._groups)
            self._groups.append([self._number(each) for each in looks])
        return known[1]

    # ---------------------------------------------------------------------------------------------------- the file

    def _read(self, body: bytes) -> None:
        looks, groups, entries = json.loads(body)
        for what, path, seen in looks:
            if not (isinstance(what, str) and isinstance(path, str) and isinstance(seen, str)):
                raise TypeError("a look of another shape")
        for group in groups:
            _check_numbers(group, len(looks))
        made: dict[str, _Entry] = {}
        for path, kind, blob, told, own, shared in entries:
            _check_numbers(own, len(looks))
            _check_numbers(shared, len(groups))
            made[path] = _Entry(kind, blob, told, own, shared)
        self._looks, self._groups, self._entries = looks, groups, made

    def _body(self, names: list[str]) -> bytes:
        """With the looks that these entries rest on, and no others."""
        looks: dict[int, int] = {}
        groups: dict[int, int] = {}

        def renumbered(numbers: list[int]) -> list[int]:
            return [looks.setdefault(each, len(looks)) for each in numbers]

        entries = []
        for name in names:
            kind, blob, told, own, shared = self._entries[name]
            shared = [groups.setdefault(each, len(groups)) for each in shared]
            entries.append((name, kind, blob, told, renumbered(own), shared))
        members = [renumbered(self._groups[each]) for each in groups]
        return json.dumps(([self._looks[each] for each in looks], members, entries)).encode("ascii")

    def _write(self, body: bytes) -> None:
        beside = self._path + b".%d.new" % os.getpid()
        with suppress(FileNotFoundError):
            os.unlink(beside)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + _seal(body) + body)
            os.rename(beside, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            raise

    def _tidy(self) -> None:
        """Of many files the ones go that were not written for the longest time."""
        with os.scandir(self._folder) as entries:
            found = [(each.stat(follow_symlinks=False).st_mtime_ns, each.path) for each in entries]
        for _, path in sorted(found)[: -MOST_FILES or None]:
            if path != self._path:
                os.unlink(path)


def _make(folder: bytes) -> None:
    """With what is missing above it, all of it the user's alone."""
    try:
        os.mkdir(folder, 0o700)
    except FileNotFoundError:
        _make(os.path.dirname(folder))
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return


def _check_numbers(numbers: object, end: int) -> None:
    if not isinstance(numbers, list) or set(map(type, numbers)) - {int}:
        raise TypeError("numbers of another shape")
    if numbers and not 0 <= min(numbers) <= max(numbers) < end:
        raise ValueError("numbers of nothing")


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _content(folder: bytes, path: bytes, most: int) -> bytes:
    """Errors: OSError, ``ValueError``, also for what is not a whole file of ours."""
    if not _is_ours(os.lstat(folder), stat.S_IFDIR):
        raise ValueError("a folder of somebody else")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not _is_ours(found, stat.S_IFREG) or found.st_size > most + _HEAD:
            raise ValueError("a file of somebody else")
        content = file.read(most + _HEAD + 1)
    body = content[_HEAD:]
    if content[:_HEAD] != _MAGIC + _seal(body):
        raise ValueError("a file that is not whole")
    return body


def _is_ours(found: os.stat_result, kind: int) -> bool:
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _name(wanted: Wanted) -> bytes:
    """Of the file for these questions to the readers as they are now."""
    made = hashlib.sha256(repr((tuple(wanted), sys.version)).encode())
    for part in _versions():
        made.update(part)
    return made.hexdigest()[:32].encode() + _SUFFIX


def _versions() -> Iterator[bytes]:
    """The readers' own sources, and which files the grammars are: reading a source takes less than importing one."""
    own = os.path.dirname(__file__)
    with suppress(OSError):
        for name in sorted(each for each in os.listdir(own) if each.endswith(".py")):
            with open(os.path.join(own, name), "rb") as file:
                yield b"%s %s\n" % (name.encode(), hashlib.sha256(file.read()).digest())
    for library in _LIBRARIES:
        spec = find_spec(library)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            with suppress(OSError), os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda each: each.name):
                    if entry.name.endswith(".so"):
                        found = entry.stat()
                        yield b"%s %d %d\n" % (os.fsencode(entry.path), found.st_size, found.st_mtime_ns)


__all__ = ["MOST_BYTES", "MOST_FILES", "EdgeCache", "blob_id"]
