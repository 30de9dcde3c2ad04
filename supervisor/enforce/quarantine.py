"""Where rejected versions go: moved, never copied and deleted, as long as one file system holds both.

A moved inode stays what it is: what somebody writes into it later, through a descriptor that was open, is kept too.

``<folder>/<n>-<escaped name>`` is an entry, ``index.jsonl`` has one line for each: ``n``, ``name`` (in the folder),
``path`` (UTF-8, other bytes as lone surrogates), ``when`` (ns since the epoch), ``kind``, ``identity`` (dev, ino, size,
mtime, ctime), ``bytes``, ``blob`` (git's name of the content; empty over 16 MiB or unreadable), ``own`` (a restored
version that had been visible). A line with ``dropped`` says that an entry was removed, since the limits were reached.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from supervisor.enforce.staging import Spot, copy_data, identity_of, move, pin, xattrs_of
from supervisor.kernel import libc
from supervisor.vocabulary.versions import Identity

INDEX = "index.jsonl"
_PART = b".part-"
_LARGEST_HASHED = 16 << 20
_MOST_WEIGHED = 20_000  # entries of a folder that are looked at to tell its size
_LONGEST = 100
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Quarantine:
    """The folder (made 0700) of one run, at most ``most`` entries and ``most_bytes``; the newest always stays.

    Raises ``OSError``.
    """

    def __init__(self, folder: Path, most: int = 10_000, most_bytes: int = 1 << 30) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = os.fsencode(folder)
        self._most, self._most_bytes = most, most_bytes
        self._folder = os.open(folder, _FOLDER)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._index = os.open(INDEX, flags, 0o600, dir_fd=self._folder)
        except OSError:
            os.close(self._folder)
            raise
        self._entries: dict[bytes, int] = {}  # name -> bytes, oldest first
        self._identities: dict[tuple[int, int, int, int], bytes] = {}  # of entries that an earlier process made
        self._bytes = 0
        self._number = 0
        self._unwritten = b""
        self._missing: list[bytes] = []  # named in the index, and not there
        self._resume()

    @property
    def device(self) -> int:
        """st_dev of the folder."""
        return os.fstat(self._folder).st_dev

    def take(self, source: Spot, path: bytes, *, own: bool = False, again: bool = False) -> bytes:
        """Move what lies at ``source`` here; ``path`` is where it had been. Returns where it is now.

        ``again``: an earlier process may have copied it already and died before it removed the source.

        Errors: ``OSError``; then it still lies at ``source``, perhaps with a copy here.
        """
        info = source.look()
        if info is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        name = b"%d-%s" % (self._number + 1, _escaped(os.path.basename(path)))
        target = self._spot(name)
        size, blob = self._weigh(source, info), _blob(source, info)
        try:
            move(source, target, libc.RENAME_NOREPLACE)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            known = self._known(info) if again else None
            if known is None:
                part = self._copy(source, info, name)
                # The line first: a copy has an identity of its own, by which nobody would find where it came from.
                self._add(name, path, info, size, blob, own)
                move(part, target, libc.RENAME_NOREPLACE)
            else:
                name = known  # copied before, and then killed
            discard(source)
            return self._path + b"/" + name
        self._add(name, path, info, size, blob, own)
        return self._path + b"/" + name

    def too_large(self, source: Spot, info: os.stat_result) -> bool:
        """Whether something that has to be copied here would take more than all that is allowed."""
        return self._weigh(source, info) > self._most_bytes

    def reindex(self, paths: dict[tuple[int, int], bytes]) -> None:
        """Give entries without a line one (a kill between move and line), say which lines have no entry, and remove
        half copies. ``paths`` tells by (dev, ino) where they had been. Errors: ``OSError``."""
        while self._missing:
            self._say({"dropped": self._missing.pop().decode(), "error": "it never came to be"})
        for name in sorted(os.listdir(self._folder), key=_number_of):
            raw = os.fsencode(name)
            spot = self._spot(raw)
            if raw.startswith(_PART):
                discard(spot)
            elif raw not in self._entries and _number_of(name) > 0:
                info = spot.look()
                if info is not None:
                    where = paths.get((info.st_dev, info.st_ino), b"")
                    self._number = max(self._number, _number_of(name) - 1)
                    self._add(raw, where, info, self._weigh(spot, info), _blob(spot, info), False)

    def close(self) -> None:
        self._flush()
        for descriptor in (self._folder, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._folder = self._index = -1

    # -----------------------------------------------------------------------------------------------------------

    def _known(self, info: os.stat_result) -> bytes | None:
        return self._identities.get(_key(identity_of(info), stat.filemode(info.st_mode)[0]))

    def _spot(self, name: bytes) -> Spot:
        return Spot(self._folder, name, self._path + b"/" + name)

    def _add(self, name: bytes, path: bytes, info: os.stat_result, size: int, blob: str, own: bool) -> None:
        kind = stat.filemode(info.st_mode)[0]
        self._number += 1
        self._entries[name] = size
        self._bytes += size
        self._say({
            "n": self._number, "name": name.decode(), "path": path.decode("utf-8", "surrogateescape"),
            "when": time.time_ns(), "kind": kind, "identity": identity_of(info),
            "bytes": size, "blob": blob, "own": own,
        })  # fmt: skip
        while len(self._entries) > 1 and (len(self._entries) > self._most or self._bytes > self._most_bytes):
            self._drop(next(iter(self._entries)))

    def _drop(self, name: bytes) -> None:
        self._bytes -= self._entries.pop(name)
        try:
            discard(self._spot(name))
        except OSError as error:
            self._say({"dropped": name.decode(), "error": error.strerror or ""})
        else:
            self._say({"dropped": name.decode()})

    def _say(self, record: dict[str, object]) -> None:
        self._unwritten += _ENCODE(record).encode("ascii") + b"\n"
        self._flush()

    def _flush(self) -> None:
        # The entry is safe without its line, so a full disk delays the line and does not undo the act.
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._index, self._unwritten) :]
        except OSError:
            return

    def _resume(self) -> None:
        raw = bytearray()
        while piece := os.pread(self._index, 1 << 20, len(raw)):
            raw += piece
        if raw and not raw.endswith(b"\n"):
            os.ftruncate(self._index, raw.rfind(b"\n") + 1)
        there = set(os.listdir(self._folder))
        for line in bytes(raw).splitlines():
            try:
                record = json.loads(line)
                if "dropped" in record:
                    if record["dropped"].encode() in self._missing:
                        self._missing.remove(record["dropped"].encode())
                    self._bytes -= self._entries.pop(record["dropped"].encode(), 0)
                    continue
                name = record["name"].encode()
                self._number = max(self._number, record["n"])
                if record["name"] not in there:
                    self._missing.append(name)
                    continue
                self._entries[name] = record["bytes"]
                self._identities[_key(Identity(*record["identity"]), record["kind"])] = name
                self._bytes += record["bytes"]
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        for entry in there:
            self._number = max(self._number, _number_of(entry))

    def _weigh(self, spot: Spot, info: os.stat_result) -> int:
        if not stat.S_ISDIR(info.st_mode):
            return info.st_size
        total = 0
        for count, (_, each) in enumerate(_walk(spot)):
            total += each.st_size
            if count > _MOST_WEIGHED:
                break
        return total

    def _copy(self, source: Spot, info: os.stat_result, name: bytes) -> Spot:
        part = self._spot(_PART + name)
        if part.look() is not None:
            discard(part)
        _copy_one(source, info, part)
        if stat.S_ISDIR(info.st_mode):
            for below, each in _walk(source, strict=True):
                folder, name = os.path.split(below)
                outer, inner = os.path.join(source.name, folder), os.path.join(part.name, folder)
                with _Opened(source.folder, outer) as there, _Opened(part.folder, inner) as here:
                    _copy_one(Spot(there, name, b""), each, Spot(here, name, b""))
        return part


class _Opened:
    """A folder beneath another one, for a while; links are not followed."""

    def __init__(self, folder: int, path: bytes) -> None:
        self._folder, self._path = folder, path.rstrip(b"/")
        self._fd = -1

    def __enter__(self) -> int:
        resolve = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS
        self._fd = libc.openat2(self._folder, self._path, os.O_PATH | os.O_DIRECTORY, 0, resolve)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _walk(spot: Spot, *, strict: bool = False) -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything below a folder, parents first, as paths relative to it. Not recursive, one descriptor at a time: its
    depth is the run's to choose. What cannot be read is left out; ``strict`` makes it readable, or raises ``OSError``.
    """
    waiting = [b""]
    resolve = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS
    while waiting:
        folder = waiting.pop()
        path = os.path.join(spot.name, folder).rstrip(b"/")
        try:
            if strict:
                _make_readable(spot.folder, path, resolve)
            fd = libc.openat2(spot.folder, path, os.O_RDONLY | os.O_DIRECTORY, 0, resolve)
        except OSError:
            if strict:
                raise
            continue
        try:
            for name in os.listdir(fd):
                raw = os.fsencode(name)
                try:
                    info = os.stat(raw, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                below = os.path.join(folder, raw)
                yield below, info
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(below)
        finally:
            os.close(fd)


def _make_readable(folder: int, path: bytes, resolve: int) -> None:
    handle = libc.openat2(folder, path, os.O_PATH | os.O_DIRECTORY, 0, resolve)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(b"/proc/self/fd/%d" % handle, mode | stat.S_IRWXU)
    finally:
        os.close(handle)


def _copy_one(source: Spot, info: os.stat_result, target: Spot) -> None:
    """One entry, a folder without what is in it. Times and attributes as well as they can be kept."""
    kind = stat.S_IFMT(info.st_mode)
    if kind == stat.S_IFREG:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(target.name, flags, 0o600, dir_fd=target.folder)
        try:
            opened = _open_readable(source)
            try:
                copy_data(opened, fd, os.fstat(opened).st_size)
            finally:
                os.close(opened)
        finally:
            os.close(fd)
    elif kind == stat.S_IFDIR:
        os.mkdir(target.name, 0o700, dir_fd=target.folder)
        return
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(source.name, dir_fd=source.folder), target.name, dir_fd=target.folder)
    else:
        # Devices need a capability: their kind and number are lost, their name stays.
        made = kind if kind in (stat.S_IFIFO, stat.S_IFSOCK) else stat.S_IFIFO
        os.mknod(target.name, made | 0o600, dir_fd=target.folder)
    handle, here = pin(source), pin(target)
    try:
        path = b"/proc/self/fd/%d" % here
        for name, value in xattrs_of(b"/proc/self/fd/%d" % handle).items():
            try:
                os.setxattr(path, name, value)
            except OSError:
                continue
        if kind != stat.S_IFLNK:
            os.chmod(path, stat.S_IMODE(info.st_mode) & 0o777)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        os.close(handle)
        os.close(here)


def _open_readable(source: Spot) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(source.name, flags, dir_fd=source.folder)
    except PermissionError:
        # Taken out already, so nobody else's any more: its mode may be changed.
        info = os.stat(source.name, dir_fd=source.folder, follow_symlinks=False)
        os.chmod(source.name, 0o600, dir_fd=source.folder)
        try:
            return os.open(source.name, flags, dir_fd=source.folder)
        finally:
            os.chmod(source.name, stat.S_IMODE(info.st_mode), dir_fd=source.folder)


def discard(spot: Spot) -> None:
    """Remove something for good, a folder with all it holds, whatever its depth and modes.

    Nested folders are moved up into the top one before they are emptied: neither the call stack nor the number of
    descriptors grows. Errors: ``OSError``; what is left can be discarded again.
    """
    info = spot.look()
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(spot.name, dir_fd=spot.folder)
        return
    top = _open_folder(spot)
    try:
        while names := os.listdir(top):
            for name in names:
                _empty(top, Spot(top, os.fsencode(name), b""))
    finally:
        os.close(top)
    os.rmdir(spot.name, dir_fd=spot.folder)


def _empty(top: int, spot: Spot) -> None:
    info = spot.look()
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(spot.name, dir_fd=spot.folder)
        return
    fd = _open_folder(spot)
    try:
        for name in os.listdir(fd):
            inner = Spot(fd, os.fsencode(name), b"")
            found = inner.look()
            if found is not None and stat.S_ISDIR(found.st_mode):
                move(inner, Spot(top, b".d" + os.urandom(8).hex().encode(), b""), libc.RENAME_NOREPLACE)
            elif found is not None:
                os.unlink(inner.name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(spot.name, dir_fd=spot.folder)


def _open_folder(spot: Spot) -> int:
    handle = pin(spot)
    try:
        path = b"/proc/self/fd/%d" % handle
        if os.fstat(handle).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(path, stat.S_IRWXU)
        return os.open(path + b"/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _blob(spot: Spot, info: os.stat_result) -> str:
    if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST_HASHED:
        return ""
    try:
        fd = os.open(spot.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=spot.folder)
    except OSError:
        return ""
    try:
        content = bytearray()
        while len(content) <= _LARGEST_HASHED and (piece := os.read(fd, info.st_size + 1)):
            content += piece
    except OSError:
        return ""
    finally:
        os.close(fd)
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def _escaped(name: bytes) -> bytes:
    return re.sub(rb"[^A-Za-z0-9._+-]", lambda found: b"%%%02X" % found.group()[0], name[:_LONGEST])[:_LONGEST]


def _number_of(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


def _key(identity: Identity, kind: str) -> tuple[int, int, int, int]:
    """By what a source that was copied already is known again; a folder may be half removed by then."""
    return (identity.dev, identity.ino, 0, 0) if kind == "d" else identity[:4]
