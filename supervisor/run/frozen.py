"""What a contract is shown on: the tree as it stands, or what a commit holds. Either is copied, and the copy is out of
reach of the run."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from supervisor.git.base import GITLINK, SYMLINK, TREE, Objects
from supervisor.kernel import libc
from supervisor.vocabulary.errors import GovrunError

MOST_FILES = 200_000
_MOST_BLOB = 64 << 20
_TRIES, _LOOKS = 3, 5
_PIECE = 1 << 20  # bytes
_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
_TICK = 0.020  # seconds: ctime comes from a clock that stands still between timer ticks


class Unsettled(GovrunError):
    """The tree was changed as often as it was copied."""

    def __init__(self) -> None:
        super().__init__("the tree could not be copied as it is at one moment", "it is being changed all the time")


class File(NamedTuple):
    """A file as a contract has to find it: whether it is a link, and what it says."""

    link: bool
    content: bytes


class Files(Protocol):
    """``files``: paths relative to their root. ``at``: a file, None where there is none. Errors: ``GovrunError``,
    OSError."""

    def files(self) -> Iterable[bytes]: ...

    def at(self, path: bytes) -> File | None: ...


# Whether a file of the tree, by its path there, is none that the run may read.
Hides = Callable[[bytes], bool]


class Shape(Files, Protocol):
    """``copy``: lay the files down in a new folder, but those that ``hides`` speaks of; a word for the
    state of the tree that they are, empty where they are not what stands there. Errors: ``GovrunError``, OSError."""

    def copy(self, to: Path, hides: Hides | None = None) -> str: ...


class WorkTree:
    """The tree as it stands. ``listed`` gives the paths that belong to it. Errors of ``copy``: ``Unsettled`` too."""

    def __init__(self, tree: bytes, listed: Callable[[], Iterable[bytes]]) -> None:
        self._tree = tree
        self._listed = listed

    def files(self) -> Iterable[bytes]:
        return self._listed()

    def at(self, path: bytes) -> File | None:
        return there(os.path.join(self._tree, path))

    def copy(self, to: Path, hides: Hides | None = None) -> str:
        for _ in range(_TRIES):
            before = self.state()
            self._copy(to, hides)
            if self.state() == before:
                return before
            shutil.rmtree(to)
        raise Unsettled

    def _copy(self, to: Path, hides: Hides | None) -> None:
        copy = _Copy(to)
        root = os.open(self._tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for path in sorted(self._some()):
                if hides is not None and hides(path):
                    continue
                target = copy.place(path)
                if target is not None:
                    _taken(root, path, target)
        finally:
            os.close(root)

    def state(self) -> str:
        """The names of the files with what tells their versions apart: equal only where nothing has changed. A change
        in the same tick of the clock as another one would not be told, so it waits for the next. Errors: ``Unsettled``
        too."""
        for _ in range(_LOOKS):
            found, newest = self._described()
            left = newest / 1e9 + _TICK - time.time()
            if not 0 < left <= _TICK:  # what claims to be of the future is not waited for
                return found
            time.sleep(left)
        raise Unsettled

    def _described(self) -> tuple[str, int]:
        digest, newest = hashlib.blake2b(digest_size=16), 0
        for path in sorted(self._some()):
            try:
                info = os.lstat(os.path.join(self._tree, path))
            except (FileNotFoundError, NotADirectoryError):
                continue
            newest = max(newest, info.st_ctime_ns)
            told = (info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
            digest.update(b"%d %d %o %d %d %d %d " % (*told, len(path)) + path)
        return digest.hexdigest(), newest

    def _some(self) -> list[bytes]:
        found = [
            path for path in self._listed() if not path.endswith(b"/")
        ]  # of other repositories, folders are listed
        if len(found) > MOST_FILES:
            raise OSError(f"the tree has more than {MOST_FILES} files")
        return found


class Committed:
    """The files of a commit; empty: none, which answers no question."""

    def __init__(self, objects: Objects | None, commit: str) -> None:
        self.objects = objects
        self.commit = commit

    def files(self) -> Iterable[bytes]:
        """What is missing is no empty folder: a commit that is not whole is not read at all."""
        objects, found = self._found(), list[bytes]()
        waiting = [(b"", self.commit)]
        while waiting:
            folder, name = waiting.pop()
            entries = objects.tree(name)
            if entries is None:
                raise OSError(f"the commit {self.commit[:12]} is not whole: {name} is missing")
            for part, each in entries.items():
                if each.mode == TREE:
                    waiting.append((folder + part + b"/", each.id))
                elif each.mode != GITLINK:
                    found.append(folder + part)
            if len(found) + len(waiting) > MOST_FILES:
                raise OSError(f"the commit has more than {MOST_FILES} files")
        return found

    def at(self, path: bytes) -> File | None:
        found = self._found()
        entry = found.entry(self.commit, path)
        if entry is None or entry.mode in (TREE, GITLINK):
            return None
        read = found.get(entry.id, limit=_MOST_BLOB)
        return File(entry.mode == SYMLINK, read[2]) if read is not None else None

    def mode(self, path: bytes) -> int:
        """Permission bits of a file."""
        entry = self._found().entry(self.commit, path)
        return entry.mode & 0o777 if entry is not None else 0

    def _found(self) -> Objects:
        if self.objects is None or not self.commit:
            raise OSError("the run began at no commit, so that nobody can tell whether it has changed the proof")
        return self.objects


class CommitTree(Committed):
    """What a commit holds, to be shown. ``beside``: the tree that it was made from, as a rule."""

    def __init__(self, objects: Objects, commit: str, beside: WorkTree) -> None:
        super().__init__(objects, commit)
        self._beside = beside

    def copy(self, to: Path, hides: Hides | None = None) -> str:
        before, listed = self._there(), set(self._beside.files())
        copy, same = _Copy(to), True
        for path in sorted(self.files()):
            found, hidden = self.at(path), hides is not None and hides(path)
            target = copy.place(path) if not hidden else b""
            if found is None or target is None:
                raise OSError(f"{os.fsdecode(path)} cannot be taken from the commit")
            if hidden:
                pass
            elif found.link:
                os.symlink(found.content, target)
            else:
                with open(target, "xb") as file:
                    file.write(found.content)
                os.chmod(target, self.mode(path))
            same = same and path in listed and self._beside.at(path) == found
            listed.discard(path)
        alike = same and not any(self._beside.at(path) is not None for path in listed)
        return before if alike and self._there() == before else ""

    def _there(self) -> str:
        """The state of the tree; it may be another one than that of the commit, and need not stand still."""
        try:
            return self._beside.state()
        except Unsettled:
            return ""


def there(path: bytes) -> File | None:
    """The file at a path, None where there is none, or no file. Errors: OSError."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return File(True, os.readlink(path))
        if not stat.S_ISREG(info.st_mode):
            return None
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return File(False, file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _taken(root: int, path: bytes, target: bytes) -> None:
    """Copy one file or link of a tree that is being changed. ``root``: a descriptor of it. No link is followed, and
    what is read is what was looked at: a file that is swapped for a link, or lies behind one, is not taken. What is
    gone is left out: the state tells. Errors: OSError."""
    beneath = libc.RESOLVE_NO_SYMLINKS | libc.RESOLVE_BENEATH
    try:
        handle = libc.openat2(root, path, os.O_PATH | os.O_NOFOLLOW, 0, beneath)
    except OSError as error:
        if error.errno in _GONE:
            return
        raise
    try:
        info = os.fstat(handle)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(b"", dir_fd=handle), target)
        elif stat.S_ISREG(info.st_mode):
            with open(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC), "rb") as source:
                _written(source.fileno(), target, info)
    finally:
        os.close(handle)


def _written(source: int, target: bytes, info: os.stat_result) -> None:
    """As much as there was when it was looked at: it may grow faster than it is copied."""
    with open(target, "xb") as file:
        left = info.st_size
        while left > 0 and (data := os.read(source, min(left, _PIECE))):
            file.write(data)
            left -= len(data)
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(info.st_mode) & 0o777)
        os.utime(file.fileno(), ns=(info.st_atime_ns, info.st_mtime_ns))


class _Copy:
    """A new folder that files are laid down in, parents before what lies below them."""

    def __init__(self, to: Path) -> None:
        to.mkdir()
        self._to = os.fsencode(to)
        self._folders = {b""}

    def place(self, path: bytes) -> bytes | None:
        """Where a file of the copy lies, its folder made; None below what is a link or a file there. Errors: OSError
        for a path that leads out of the copy."""
        folder, _, name = path.rpartition(b"/")
        if name in (b"", b".", b"..") or path.startswith(b"/"):
            raise OSError(f"{path!r} is no path in a tree")
        return os.path.join(self._to, path) if self._made(folder) else None

    def _made(self, folder: bytes) -> bool:
        if folder in self._folders:
            return True
        above, _, name = folder.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise OSError(f"{folder!r} is no path in a tree")
        if not self._made(above):
            return False
        try:
            os.mkdir(os.path.join(self._to, folder))
        except FileExistsError:
            return False  # a link is not followed out of the copy
        self._folders.add(folder)
        return True
