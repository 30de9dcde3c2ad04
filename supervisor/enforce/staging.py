"""Building what is to be put back, moving it, and the write-ahead file that makes a kill harmless.

Everything works on (folder descriptor, name) pairs: nothing here resolves a path that the run could bend.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from supervisor.kernel import libc
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Identity, Version

INTENTS = "staging.jsonl"
TEMPORARY = b".govrun-"
BUILT = frozenset({Kind.FILE, Kind.LINK, Kind.DIR, Kind.FIFO})
_TYPES = {Kind.FILE: stat.S_IFREG, Kind.LINK: stat.S_IFLNK, Kind.DIR: stat.S_IFDIR, Kind.FIFO: stat.S_IFIFO}
_FICLONE = 0x40049409  # linux/fs.h
_LARGEST_INTENTS = 256 << 10
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
# Only the kernel's own policy writes these, and an ordinary user cannot set them: their loss is told, not an error.
_PRIVILEGED = (b"security.", b"trusted.")


def folders(run: Path) -> tuple[Path, Path]:
    """Staging and quarantine of the run in the folder ``run``."""
    return run / "staging", run / "quarantine"


class Spot(NamedTuple):
    """One name: an open folder, the name in it, and its whole path (for records only)."""

    folder: int
    name: bytes
    path: bytes

    def look(self) -> os.stat_result | None:
        """What is there, links not followed; None when nothing is. Errors: ``OSError``."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


def identity_of(info: os.stat_result) -> Identity:
    return Identity(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def same(one: os.stat_result | Identity, other: Identity) -> bool:
    """Whether both are one inode."""
    dev, ino = one[:2] if isinstance(one, Identity) else (one.st_dev, one.st_ino)
    return (dev, ino) == other[:2]


def temporary() -> bytes:
    """A name that nobody guesses."""
    return TEMPORARY + os.urandom(8).hex().encode()


def pin(spot: Spot) -> int:
    """An O_PATH descriptor of what is there, a symbolic link included."""
    return os.open(spot.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=spot.folder)


# -- moving -----------------------------------------------------------------------------------------------------


def move(source: Spot, target: Spot, flags: int) -> None:
    """renameat2(2). A folder that its owner may not write cannot be moved to another parent (its ``..`` changes):
    it gets the permission for the moment of the move. Errors: ``OSError``."""
    try:
        libc.renameat2(source.folder, source.name, target.folder, target.name, flags)
    except PermissionError as error:
        if error.errno != errno.EACCES:
            raise
        _move_loosened(source, target, flags)


def _move_loosened(source: Spot, target: Spot, flags: int) -> None:
    loosened: list[tuple[int, int]] = []
    try:
        for spot in (source, target):
            info = spot.look()
            if info is None or not stat.S_ISDIR(info.st_mode) or info.st_mode & stat.S_IWUSR:
                continue
            handle = pin(spot)
            loosened.append((handle, stat.S_IMODE(os.fstat(handle).st_mode)))
            os.chmod(b"/proc/self/fd/%d" % handle, loosened[-1][1] | stat.S_IRWXU)
        if not loosened:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        libc.renameat2(source.folder, source.name, target.folder, target.name, flags)
    finally:
        for handle, mode in loosened:
            try:
                os.chmod(b"/proc/self/fd/%d" % handle, mode)
            finally:
                os.close(handle)


# -- building ---------------------------------------------------------------------------------------------------


def build(spot: Spot, want: Version, source: bytes | int) -> tuple[str, ...]:
    """Make ``want`` at a name that is free. ``source``: the content, or a descriptor to copy it from.

    Returns what could not be made alike, in words. Errors: ``OSError``, and then nothing is left there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = -1
    try:
        if want.kind is Kind.FILE:
            handle = os.open(spot.name, flags, 0o600, dir_fd=spot.folder)
            _fill(handle, source)
        else:
            if want.kind is Kind.LINK:
                os.symlink(want.text, spot.name, dir_fd=spot.folder)
            elif want.kind is Kind.DIR:
                os.mkdir(spot.name, 0o700, dir_fd=spot.folder)
            else:
                os.mkfifo(spot.name, 0o600, dir_fd=spot.folder)
            handle = pin(spot)
        return dress(handle, want)
    except OSError:
        remove_built(spot)
        raise
    finally:
        if handle >= 0:
            os.close(handle)


def remove_built(spot: Spot) -> bool:
    """Remove something of our own that nobody ever saw: a file, a link or an empty folder. Returns whether nothing is
    left; no error when it fails, since ``recover`` removes it too."""
    try:
        try:
            os.unlink(spot.name, dir_fd=spot.folder)
        except IsADirectoryError:
            os.rmdir(spot.name, dir_fd=spot.folder)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _fill(target: int, source: bytes | int) -> None:
    if isinstance(source, bytes):
        view = memoryview(source)
        while view:
            view = view[os.write(target, view) :]
        return
    copy_data(source, target, os.fstat(source).st_size)


def copy_data(source: int, target: int, size: int) -> None:
    """Copy ``size`` bytes from the beginning, sharing extents where the file system can. Errors: ``OSError``."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        pass
    else:
        return
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(source, target, size - done, done, done)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            copied = os.pwrite(target, os.pread(source, min(size - done, 1 << 20), done), done)
        if not copied:
            return
        done += copied


def dress(handle: int, want: Version) -> tuple[str, ...]:
    """Give the inode behind ``handle`` (O_PATH will do) owner, extended attributes, mode and times of ``want``.

    Returns what could not be set, in words. Errors: ``OSError``.
    """
    # Following this name ends at the pinned inode, also when that is a symbolic link itself.
    path = b"/proc/self/fd/%d" % handle
    notes: list[str] = []
    info = os.fstat(handle)
    mode = want.mode
    if (info.st_uid, info.st_gid) != (want.uid, want.gid) and not _own(path, want, notes):
        mode &= ~(stat.S_ISUID | stat.S_ISGID)  # with another owner these would hand out other rights
    _set_xattrs(path, want, info, notes)
    if want.kind is not Kind.LINK:
        # After chown and the ACL: the first clears setuid, the second sets the group bits.
        os.chmod(path, mode)
    os.utime(path, ns=(want.atime_ns, want.mtime_ns))
    return tuple(notes)


def _own(path: bytes, want: Version, notes: list[str]) -> bool:
    try:
        os.chown(path, want.uid, want.gid)
    except PermissionError:
        notes.append(f"owner {want.uid}:{want.gid} cannot be set")
    else:
        return True
    try:
        os.chown(path, -1, want.gid)
    except PermissionError:
        pass
    return False


def xattrs_of(path: bytes) -> dict[bytes, bytes]:
    """Extended attributes that can be read; empty where the file system has none."""
    found: dict[bytes, bytes] = {}
    try:
        names = os.listxattr(path)
    except OSError:
        return found
    for name in names:
        try:
            found[os.fsencode(name)] = os.getxattr(path, name)
        except OSError:
            continue
    return found


def _set_xattrs(path: bytes, want: Version, info: os.stat_result, notes: list[str]) -> None:
    wanted = dict(want.xattrs)
    have = xattrs_of(path)  # beside the target a default ACL may have given it some
    if have == wanted:
        return
    if want.kind is not Kind.LINK and not info.st_mode & stat.S_IWUSR:
        os.chmod(path, stat.S_IMODE(info.st_mode) | stat.S_IRWXU)  # setxattr(2) asks for write permission
    for name in have.keys() - wanted.keys():
        if not name.startswith(_PRIVILEGED):
            os.removexattr(path, name)
    for name, value in wanted.items():
        if have.get(name) == value:
            continue
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            if not name.startswith(_PRIVILEGED):
                raise
            notes.append(f"attribute {name.decode('ascii', 'backslashreplace')} cannot be set ({error.strerror})")


def alike(spot: Spot, want: Version, content: bytes | int) -> bool:
    """Whether what lies there is the wanted version already: attributes first, then every byte."""
    info = spot.look()
    if info is None or stat.S_IFMT(info.st_mode) != _TYPES[want.kind] or info.st_mtime_ns != want.mtime_ns:
        return False
    if want.kind is Kind.LINK:
        return os.readlink(spot.name, dir_fd=spot.folder) == want.text
    owner = (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode))
    if owner != (want.uid, want.gid, want.mode):
        return False
    handle = pin(spot)
    try:
        path = b"/proc/self/fd/%d" % handle
        if not same(os.fstat(handle), identity_of(info)) or xattrs_of(path) != dict(want.xattrs):
            return False
        return want.kind is not Kind.FILE or _holds(path, info.st_size, content)
    finally:
        os.close(handle)


def _holds(path: bytes, size: int, content: bytes | int) -> bool:
    if not isinstance(content, bytes) or size != len(content):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(fd, size + 1, 0) == content
    finally:
        os.close(fd)


# -- write-ahead ------------------------------------------------------------------------------------------------


class Intent(NamedTuple):
    """What is about to happen, written before it does.

    ``at``: where the built thing lies and where the displaced one comes to lie; ``path``: the target. ``own``: what was
    built (None when something is only taken out). ``out``: what is to be displaced (None: nothing is there).
    ``made``: nothing but the building of ``at`` was begun.
    """

    number: int
    at: bytes
    path: bytes
    own: Identity | None = None
    out: Identity | None = None
    made: bool = False


class Intents:
    """``staging.jsonl`` in ``folder``: one line per intent, one when it is done. Raises ``OSError``."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(folder / INTENTS, flags, 0o600)
        self._size = os.fstat(self._file).st_size
        self._open: set[int] = set()
        self._number = 0
        if self._size:
            # A torn last line of an earlier process must not swallow the next one.
            self._size += os.write(self._file, b"\n")
            self._number = max((each.number for each in read_intents(self._file)), default=0)

    def next(self) -> int:
        """A number for one operation; all its intents carry it."""
        self._number += 1
        return self._number

    def note(self, intent: Intent) -> None:
        """Write an intent. Raises ``OSError``, also for a line that is not whole."""
        record: dict[str, object] = {"n": intent.number, "at": _text(intent.at), "path": _text(intent.path)}
        record |= {"own": intent.own, "out": intent.out, "made": intent.made}
        self._write(record)
        self._open.add(intent.number)

    def done(self, number: int) -> None:
        """The operation is over and left nothing at ``at``. Failing is harmless: then ``recover`` finds nothing."""
        if number not in self._open:
            return
        self._open.discard(number)
        try:
            if not self._open and self._size > _LARGEST_INTENTS:
                os.ftruncate(self._file, 0)
                self._size = 0
            else:
                self._write({"done": number})
        except OSError:
            return

    def _write(self, record: dict[str, object]) -> None:
        line = _ENCODE(record).encode("ascii") + b"\n"
        written = os.write(self._file, line)
        self._size += written
        if written != len(line):
            os.write(self._file, b"\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def read_intents(descriptor: int) -> list[Intent]:
    """The last intent of every operation that is not done, in order. Lines that are not whole are left out: what they
    announced was not begun."""
    raw = bytearray()
    while piece := os.pread(descriptor, 1 << 20, len(raw)):
        raw += piece
    found: dict[int, Intent] = {}
    for line in bytes(raw).splitlines():
        try:
            record = json.loads(line)
            if "done" in record:
                found.pop(record["done"], None)
                continue
            own, out = (Identity(*record[key]) if record[key] else None for key in ("own", "out"))
            number = record["n"]
            found[number] = Intent(number, _bytes(record["at"]), _bytes(record["path"]), own, out, record["made"])
        except (ValueError, KeyError, TypeError):
            continue
    return list(found.values())


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
