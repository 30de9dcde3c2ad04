"""Contents of files as they were at some moment, in a folder of the run: an append-only file, each content once.

``accepted.frames`` holds frames: a header (magic, length, sha1 of the blob) and the bytes as they are. Compression
was measured and left out: zlib level 1 costs more than hashing and writing 4 KB together, for a file that lives as long
as the run. ``large/`` holds files that are too big for a frame.

A frame is written with one call, so a kill leaves at most a torn last one; opening the folder again drops it. Nothing
is synced: what must survive is the death of the process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
from pathlib import Path

from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Version

FRAMES = "accepted.frames"
LARGE = "large"
_HEADER = struct.Struct(">4sQ20s")  # magic, length of the content, sha1 of the git blob
_MAGIC = b"gvF1"
LARGEST_FRAME = 16 << 20
_LARGEST_COPY = 256 << 20  # copying more would hold up every other process of the run
_FICLONE = 0x40049409  # linux/fs.h
_TRIES = 4


class Unkept(Exception):
    """A file cannot be kept, and the text says why: what would change it has to be denied."""


class Frames:
    """The store in ``folder`` (the run's own, 0700); frames and large files together never exceed ``limit`` bytes.

    What an earlier process left there is taken over. ``reading``: it stays as it is, since its run may still write
    there. Raises ``StopRun`` when the folder cannot be used.
    """

    def __init__(self, folder: Path, limit: int = 2 << 30, *, reading: bool = False) -> None:
        self._folder = folder
        self._limit = limit
        self._known: dict[bytes, int] = {}  # sha1 -> offset of the content
        self._large = 0
        self._large_bytes = 0
        self._frames = -1
        flags = os.O_RDONLY if reading else os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            self._frames = os.open(folder / FRAMES, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if not reading:
                self._size = self._resume()
                self._resume_large()
        except (OSError, ValueError) as error:
            self.close()
            fix = "check the state folder: space, owner, mode"
            raise StopRun("cannot open the store of accepted versions", str(error), fix) from error

    def take(self, fd: int, links: tuple[bytes, ...] = (), content: bytes | None = None) -> Version:
        """Keep what is behind a read-only descriptor; its offset is left alone. ``links``: other paths of the inode.
        ``content``: what was read from it before and is to be kept, whatever is there by now.

        Anything but a regular file is kept by its attributes. Raises ``Unkept`` (the file is too large, the store is
        full), ``StopRun`` (the store cannot be written), ``OSError`` (the file cannot be read).
        """
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return attributes(fd, info)
        settled = True
        if content is None:
            if info.st_size > LARGEST_FRAME:
                return self._take_large(fd, info, links)
            content, info, settled = _read_settled(fd, info)
        digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
        digest.update(content)
        return attributes(fd, info)._replace(
            size=len(content),
            offset=self._append(digest.digest(), content),
            sha1=digest.hexdigest(),
            links=links,
            unsettled=not settled,
        )

    def content(self, version: Version) -> bytes:
        """The bytes of a kept file, checked. Raises ``StopRun`` when the store does not hold them (any more)."""
        if version.large:
            raise StopRun("BUG: a large file was asked for as bytes", version.large)
        try:
            content = os.pread(self._frames, version.size, version.offset)
        except OSError as error:
            raise StopRun("cannot read the store of accepted versions", str(error)) from error
        digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
        digest.update(content)
        if digest.hexdigest() != version.sha1:
            raise StopRun("the store of accepted versions is damaged", f"blob {version.sha1} at {version.offset}")
        return content

    def source(self, version: Version) -> bytes | int:
        """What ``Reverter.restore`` takes: the bytes, or for a large file a read-only descriptor that the caller
        closes. Raises ``StopRun``."""
        if not version.large:
            return self.content(version) if version.kind is Kind.FILE else b""
        try:
            fd = os.open(self._folder / LARGE / version.large, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StopRun("cannot read the store of accepted versions", str(error)) from error
        if os.fstat(fd).st_size != version.size:
            os.close(fd)
            raise StopRun("the store of accepted versions is damaged", f"large file {version.large}")
        return fd

    def close(self) -> None:
        """Release the descriptor."""
        if self._frames >= 0:
            os.close(self._frames)
        self._frames = -1

    # -- writing ------------------------------------------------------------------------------------------------

    def _append(self, digest: bytes, content: bytes) -> int:
        known = self._known.get(digest)
        if known is not None:
            return known
        length = _HEADER.size + len(content)
        self._room(length)
        write(self._frames, _HEADER.pack(_MAGIC, len(content), digest), content, self._size)
        offset = self._known[digest] = self._size + _HEADER.size
        self._size += length
        return offset

    def _room(self, length: int) -> None:
        if self._size + self._large_bytes + length > self._limit:
            raise Unkept(f"the store of accepted versions would exceed {self._limit} bytes")

    def _take_large(self, fd: int, info: os.stat_result, links: tuple[bytes, ...]) -> Version:
        self._room(info.st_size)
        folder = self._folder / LARGE
        name = f"{self._large + 1}"
        target = -1
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            target = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._large += 1
            _copy(fd, target, info.st_size)
            copied = os.fstat(target).st_size
        except OSError as error:
            raise StopRun("cannot write the store of accepted versions", str(error), "free space there") from error
        except Unkept:
            os.unlink(folder / name)
            raise
        finally:
            if target >= 0:
                os.close(target)
        self._large_bytes += copied
        settled = _stamp(os.fstat(fd)) == _stamp(info) and copied == info.st_size
        return attributes(fd, info)._replace(size=copied, large=name, links=links, unsettled=not settled)

    # -- taking over what is there ------------------------------------------------------------------------------

    def _resume(self) -> int:
        end = os.fstat(self._frames).st_size
        at = 0
        while at < end:
            header = os.pread(self._frames, _HEADER.size, at)
            if len(header) < _HEADER.size:
                break
            magic, length, digest = _HEADER.unpack(header)
            if magic != _MAGIC or at + _HEADER.size + length > end:
                break
            self._known[digest] = at + _HEADER.size
            at += _HEADER.size + length
        if at < end:
            os.ftruncate(self._frames, at)
        return at

    def _resume_large(self) -> None:
        try:
            found = list(os.scandir(self._folder / LARGE))
        except FileNotFoundError:
            return
        self._large = max((int(each.name) for each in found), default=0)
        self._large_bytes = sum(each.stat().st_size for each in found)


def link_at(fd: int) -> Version:
    """The symbolic link behind an ``O_PATH | O_NOFOLLOW`` descriptor."""
    # readlinkat(2): an empty name means the link that the descriptor itself stands for.
    # It counts as a read, so the times are taken afterwards.
    text = os.readlink(b"", dir_fd=fd)
    return attributes(fd, os.fstat(fd))._replace(text=text)


def write(descriptor: int, head: bytes, body: bytes, before: int | None) -> None:
    """Append both in one call, or nothing. ``before``: the size of the file, None: look. Raises ``StopRun``."""
    try:
        before = os.fstat(descriptor).st_size if before is None else before
        written = os.writev(descriptor, (head, body) if body else (head,))
        if written != len(head) + len(body):
            # A full disk takes a part: take it back, so that the file ends with a whole entry.
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, f"short write ({written} of {len(head) + len(body)} bytes)")
    except OSError as error:
        fix = "free space in the state folder, then start again"
        raise StopRun("cannot write the store of accepted versions", str(error), fix) from error


def _read_settled(fd: int, info: os.stat_result) -> tuple[bytes, os.stat_result, bool]:
    """Content, the state it belongs to, and whether nobody wrote meanwhile. A file that grows past the largest frame
    while it is read is refused."""
    content = b""
    for _ in range(_TRIES):
        # One byte more than it should have tells that it grew, in one call.
        content = _pread(fd, info.st_size + 1)
        after = os.fstat(fd)
        if _stamp(after) == _stamp(info) and len(content) == info.st_size:
            return content, info, True
        info = after
        if info.st_size > LARGEST_FRAME:
            raise Unkept(f"it grew over {LARGEST_FRAME} bytes while it was read")
    return content, info, False


def _pread(fd: int, size: int) -> bytes:
    content = os.pread(fd, size, 0)
    if len(content) >= size - 1:
        return content
    parts = bytearray(content)
    while len(parts) < size and (piece := os.pread(fd, size - len(parts), len(parts))):
        parts += piece
    return bytes(parts)


def _stamp(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _copy(fd: int, target: int, size: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, fd)
    except OSError:
        pass  # another file system, or one without shared extents (ext4)
    else:
        return
    if size > _LARGEST_COPY:
        raise Unkept(f"it has {size} bytes, its file system cannot share extents, and more than {_LARGEST_COPY} bytes "
                     "are not copied while the run waits")  # fmt: skip
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(fd, target, size - done, done, done)
        except OSError as error:
            # Between file systems of two types it is refused (copy_file_range(2)).
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            copied = os.pwrite(target, os.pread(fd, min(size - done, 1 << 20), done), done)
        if not copied:
            break
        done += copied


def attributes(fd: int, info: os.stat_result) -> Version:
    """Kind, mode, owner, times and extended attributes of what is behind a descriptor; ``O_PATH`` will do."""
    return Version(
        _kind(info.st_mode),
        stat.S_IMODE(info.st_mode),
        info.st_uid,
        info.st_gid,
        info.st_atime_ns,
        info.st_mtime_ns,
        _xattrs(fd),
    )


def _xattrs(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    # By the descriptor's name: an O_PATH descriptor itself is refused by flistxattr(2).
    path = b"/proc/self/fd/%d" % fd
    try:
        names = os.listxattr(path)
    except OSError:
        return ()
    found = []
    for name in names:
        try:
            found.append((os.fsencode(name), os.getxattr(path, name)))
        except OSError:
            continue  # gone since it was listed, or not readable to this user: then it cannot be set either
    return tuple(sorted(found))


def _kind(mode: int) -> Kind:
    return {
        stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIR, stat.S_IFLNK: Kind.LINK, stat.S_IFIFO: Kind.FIFO,
        stat.S_IFSOCK: Kind.SOCKET, stat.S_IFCHR: Kind.CHAR, stat.S_IFBLK: Kind.BLOCK,
    }.get(stat.S_IFMT(mode), Kind.OTHER)  # fmt: skip
