"""The references of files that have not changed, kept between runs.

What a source refers to *as it resolves* depends on more than its own bytes, so the key of an entry holds all of it:

* the blob id of the content, and the kind it was read as;
* its path in the tree (``super::x`` and ``../x`` depend on it);
* ``validity``, which stands for the tree: which names it has, where its links lead and what the files say that tell
  readers where to look (``go.mod``, ``Cargo.toml``, ``pom.xml`` …). ``tree_validity`` makes it.

A file that comes or goes anywhere in the tree makes other keys of all entries, since nearly every reference depends on
files that are *not* there (``a.py`` before ``a/__init__.py``). The answers of another version of the readers are not
found either: count ``VERSION`` up when one of them changes.

The file is only ever appended to, a record at a time, each with its length and checksum: reading ends at the first that
is not whole, and the next write then makes the file anew. What an answer says is checked as that of the worker is. The
folder has to be one that no run can write to. Nothing here fails: what cannot be read or written is not remembered.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from supervisor.inspection import wire
from supervisor.vocabulary.content import Findings

VERSION = 1
MOST_BYTES = 64 << 20
_MOST_KEPT = 48 << 20  # when the file is made anew: so it is not made anew at once again
_MOST_RECORD = 4 << 20
_MAGIC = b"govrun edges 1\n"
_HEAD = struct.Struct("!II16s")  # bytes of the body, checksum of key and body, key
_NAME = "edges"
_LINK, _SUBMODULE = 0o120000, 0o160000
# Files whose content readers look at to resolve what other files say, by name or extension, lower case.
_TELLING = frozenset({
    b"go.mod", b"go.work", b"cargo.toml", b"lib.rs", b"main.rs", b"pom.xml", b"settings.gradle", b"settings.gradle.kts",
    b"package.json", b"deno.json", b"deno.jsonc", b"import_map.json", b"pnpm-workspace.yaml", b"lerna.json",
    b"pyproject.toml", b"setup.cfg", b"setup.py", b"pytest.ini", b"tox.ini", b"pyrightconfig.json", b"mypy.ini",
})  # fmt: skip
_TELLING_EXTENSIONS = (b".json", b".pth")


class Key(NamedTuple):
    """``blob``: the content's id in git, in hexadecimal digits. ``path``: in the tree."""

    blob: str
    kind: str
    path: bytes
    validity: bytes

    def digest(self) -> bytes:
        """16 bytes. Parts are told apart by their lengths."""
        parts = (self.blob.encode("utf-8", "replace"), self.kind.encode("utf-8", "replace"), self.path, self.validity)
        made = hashlib.sha256(struct.pack("!I4Q", VERSION, *map(len, parts)))
        for part in parts:
            made.update(part)
        return made.digest()[:16]


def tree_validity(tree: bytes, entries: Iterable[tuple[bytes, int, bytes]]) -> bytes:
    """A digest of what resolution depends on. ``tree``: its absolute path, to which links can lead.

    ``entries``: (path, mode as git has it, blob id or any other digest of the content), in any order, of *everything*
    in the tree that a reader could come upon, tracked or not: also what is ignored, like ``node_modules`` or what a
    build generates. What is left out may change without notice.
    """
    made = hashlib.sha256(struct.pack("!Q", len(tree)) + tree)
    for path, mode, blob in sorted(entries):
        kind = stat.S_IFMT(mode)
        told = blob if kind in (_LINK, _SUBMODULE) or _is_telling(path) else b""
        made.update(struct.pack("!QQI", len(path), len(told), kind))
        made.update(path)
        made.update(told)
    return made.digest()


def _is_telling(path: bytes) -> bool:
    name = path.rpartition(b"/")[2].lower()
    return name in _TELLING or name.endswith(_TELLING_EXTENSIONS)


class EdgeCache:
    """``folder``: where the file lies; it is made when something is written. Nothing is read before the first question.
    ``flush`` writes what was put."""

    def __init__(self, folder: Path, *, most: int = MOST_BYTES) -> None:
        self._folder = os.fsencode(folder)
        self._path = os.path.join(self._folder, _NAME.encode())
        self._most = most
        self._kept: dict[bytes, bytes] | None = None
        self._used: dict[bytes, None] = {}  # in the order of the last use
        self._new: dict[bytes, bytes] = {}
        self._whole = False  # the file can be appended to

    def get(self, key: Key) -> Findings | None:
        """What was put, references and ``pending`` alone; None for what is not known."""
        digest = key.digest()
        body = self._new.get(digest) or self._read().get(digest)
        if body is None:
            return None
        found = _checked(body)
        if found is None:
            del self._read()[digest]
            self._whole = False
            return None
        self._use(digest)
        return found

    def put(self, key: Key, found: Findings) -> None:
        """References and ``pending`` are kept. A refusal is not: another time the worker may get through."""
        if found.refusal:
            return
        digest = key.digest()
        told = Findings(references=found.references, pending=found.pending)
        try:
            body = wire.answer(0, told)[wire.HEAD.size :]
        except (ValueError, UnicodeError):
            return
        if len(body) > _MOST_RECORD or _checked(body) != told:
            return
        self._use(digest)
        if self._read().get(digest) != body:
            self._new[digest] = body

    def flush(self) -> None:
        kept = self._read()
        if not self._new and self._whole:
            return
        added = sum(_HEAD.size + len(body) for body in self._new.values())
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            if self._whole and os.lstat(self._path).st_size + added <= self._most:
                self._append()
            else:
                self._rewrite(kept)
        except OSError:
            self._whole = False
        kept.update(self._new)
        self._new = {}

    def _use(self, digest: bytes) -> None:
        self._used.pop(digest, None)
        self._used[digest] = None

    def _read(self) -> dict[bytes, bytes]:
        if self._kept is None:
            self._kept, self._whole = {}, False
            with suppress(OSError):
                content = _content(self._path, self._most)
                self._kept, self._whole = _records(content)
        return self._kept

    def _append(self) -> None:
        """One write: another govrun may do the same. What is torn all the same has another checksum."""
        data = b"".join(_record(digest, body) for digest, body in self._new.items())
        if not data:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                self._whole = False
        finally:
            os.close(descriptor)

    def _rewrite(self, kept: dict[bytes, bytes]) -> None:
        """What was used last comes first, then the rest while there is room."""
        most = min(_MOST_KEPT, self._most * 3 // 4)
        parts, size = [_MAGIC], len(_MAGIC)
        written: set[bytes] = set()
        known = {**kept, **self._new}
        for digest in (*reversed(self._used), *reversed(known)):
            body = known.get(digest)
            if body is None or digest in written or size + _HEAD.size + len(body) > most:
                continue
            written.add(digest)
            parts.append(_record(digest, body))
            size += len(parts[-1])
        beside = self._path + b".%d.new" % os.getpid()
        with suppress(FileNotFoundError):
            os.unlink(beside)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"".join(parts))
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            raise
        self._whole = True


def _record(digest: bytes, body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body, zlib.crc32(digest)), digest) + body


def _content(path: bytes, most: int) -> bytes:
    """``OSError``, also for what is no file of ours or larger than it can be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > 2 * most:
            raise OSError("not a file that was written here")
        return file.read(2 * most)


def _records(content: bytes) -> tuple[dict[bytes, bytes], bool]:
    """Key -> body, and whether all of the content was read."""
    found: dict[bytes, bytes] = {}
    if not content.startswith(_MAGIC):
        return found, False
    at = len(_MAGIC)
    while at + _HEAD.size <= len(content):
        size, checksum, digest = _HEAD.unpack_from(content, at)
        body = content[at + _HEAD.size : at + _HEAD.size + size]
        if size > _MOST_RECORD or len(body) != size or zlib.crc32(body, zlib.crc32(digest)) != checksum:
            return found, False
        found[digest] = body
        at += _HEAD.size + size
    return found, at == len(content)


def _checked(body: bytes) -> Findings | None:
    """None for anything that was not put."""
    try:
        found = wire.read_answer(body)
    except (ValueError, TypeError):
        return None
    if not isinstance(found, Findings) or found.refusal:
        return None
    return Findings(references=found.references, pending=found.pending)
