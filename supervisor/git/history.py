"""A git repository of govrun's own for the states of one tree: one commit per state, its tree is the state.

The user's objects are its alternates, so that what is committed there is stored once; everything else lies in here and
nowhere else. ``refs/govrun/last`` is the state that the last run left, ``refs/govrun/runs/<ULID>`` that of each run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from supervisor.git.layout import is_object_id
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own
from supervisor.git.turns import locked
from supervisor.vocabulary.errors import GovrunError, TooMuchError
from supervisor.vocabulary.versions import Entry

LAST = "refs/govrun/last"
_RUNS = "refs/govrun/runs/"
_SCRATCH = "import.tmp"
_PATIENCE = 30.0
_TIMEOUT = 300.0
_MOST_BLOBS, _MOST_BYTES = 20_000, 128 << 20  # that are new in one run, its base included

# The content of a blob, or why it is not there.
Content = Callable[[str], bytes | str]


class Change(NamedTuple):
    """One state after another: ``entries`` by path below the tree, None where nothing is any more."""

    entries: Mapping[bytes, Entry | None]
    message: str


def folder_of(state: Path, tree: str) -> Path:
    """Where the states of ``tree`` are kept."""
    return state / "trees" / hashlib.sha256(os.fsencode(tree)).hexdigest()[:16]


@contextmanager
def claimed(folder: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Be the only one who works in ``folder`` (made here). Raises ``GovrunError`` when another goes on."""
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise GovrunError("the states of the tree cannot be kept", str(error), exit_code=121) from error
    try:
        if not locked(descriptor, patience):
            why = "another run of this tree is at it"
            raise GovrunError("the states of the tree cannot be kept", why, exit_code=121)
        yield
    finally:
        os.close(descriptor)


class History:
    """The repository in ``folder``; ``common``: the git directory whose objects it sees, None where there is none, or
    one of another format. Raises ``GovrunError``."""

    def __init__(self, folder: Path, common: Path | None) -> None:
        self._folder = folder
        own = make_own(folder / "states.git", common or folder / "none", "sha1")
        self.git = Git(own, timeout=_TIMEOUT)

    def commit_of(self, ref: str) -> str:
        """The commit at ``ref``, empty when there is none."""
        try:
            found = self.git.run(["rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"])
        except GitError as error:
            if error.code == 1:
                return ""
            raise
        return found.decode("ascii", "replace").strip()

    def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        return self.git.run(["rev-parse", "--verify", "--end-of-options", commit + "^{tree}"]).decode("ascii").strip()

    def drop_torn(self) -> None:
        """Refs that name nothing, which no update can replace: a power loss leaves them, since nothing is synced.
        OSError."""
        for path in self._folder.joinpath("states.git", "refs").rglob("*"):
            if path.is_file() and not is_object_id(path.read_text("ascii", "replace").strip()):
                path.unlink()

    def missing(self, blobs: Iterable[str]) -> set[str]:
        """Which of them no object folder holds."""
        asked = sorted(set(blobs))
        told = self.git.run(["cat-file", "--batch-check=%(objectname)"], "".join(f"{b}\n" for b in asked).encode())
        found = set(told.decode("ascii", "replace").split("\n"))
        return {blob for blob in asked if blob not in found}

    def write(self, start: str, changes: Sequence[Change], content: Content, run: str) -> list[str]:
        """One commit per change, on top of ``start`` (empty: nothing), and the refs that lead to the last one. Returns
        the trees. What ``content`` cannot give is stood for by a blob that says why."""
        wanted = {entry.blob for change in changes for entry in change.entries.values() if entry is not None}
        missing = self.missing(wanted) if wanted else set()
        with self._scratch() as file:
            stood = self._blobs(file, missing, content)
            for number, change in enumerate(changes, 1):
                parent = (start or "") if number == 1 else f":{number - 1}"
                _commit(file, number, parent, change, stood)
            for ref in (LAST, _RUNS + run):
                file.write(b"reset %s\nfrom :%d\n\n" % (ref.encode("ascii"), len(changes)))
            file.write(b"done\n")
            file.flush()
            file.seek(0)
            self.git.run(["fast-import", "--quiet", "--force", "--done"], file=file)
        return self.trees(start, _RUNS + run)

    def trees(self, start: str, ref: str) -> list[str]:
        """The trees of the commits from after ``start`` to ``ref``."""
        found = self.git.run(
            ["log", "--reverse", "--first-parent", "--format=%T", *([f"^{start}"] if start else []), ref]
        )
        trees = found.decode("ascii").split()
        if not all(is_object_id(each) for each in trees):
            raise GitError("the states of the tree cannot be read", f"git log said {found[:80]!r}", None)
        return trees

    def forget(self, runs: Iterable[str]) -> None:
        """The states of these runs may go."""
        lines = "".join(f"delete {_RUNS}{run}\n" for run in runs if self.commit_of(_RUNS + run))
        if lines:
            self.git.run(["update-ref", "--stdin"], lines.encode("ascii"))

    @contextmanager
    def _scratch(self) -> Iterator[BinaryIO]:
        path = self._folder / _SCRATCH
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w+b") as file:
                os.unlink(path)
                yield file
        except OSError as error:
            raise GovrunError("the states of the tree cannot be kept", str(error), exit_code=121) from error

    def _blobs(self, file: BinaryIO, missing: set[str], content: Content) -> dict[str, int]:
        """Write what is missing; marks of what stands for it, by blob."""
        if len(missing) > _MOST_BLOBS:
            raise TooMuchError("the states of the tree are too large to be kept", f"{len(missing)} new contents")
        stood = {}
        mark = 1 << 30
        for blob in sorted(missing):
            data = content(blob)
            if isinstance(data, str):
                mark += 1
                stood[blob] = mark
                data = f"govrun: the content of this file was not kept: {data}\n".encode()
                file.write(b"blob\nmark :%d\n" % mark)
            else:
                file.write(b"blob\n")
            file.write(b"data %d\n%s\n" % (len(data), data))
            if file.tell() > _MOST_BYTES:
                raise TooMuchError("the states of the tree are too large to be kept", f"over {_MOST_BYTES} bytes")
        return stood


def _commit(file: BinaryIO, number: int, parent: str, change: Change, stood: Mapping[str, int]) -> None:
    message = change.message.encode("utf-8", "backslashreplace")
    file.write(b"commit refs/govrun/importing\nmark :%d\ncommitter govrun <govrun@invalid> 0 +0000\n" % number)
    file.write(b"data %d\n%s\n" % (len(message), message))
    if parent:
        file.write(b"from %s\n" % parent.encode("ascii"))
    elif number == 1:
        file.write(b"deleteall\n")
    # What goes first: a folder may have become a file.
    gone = sorted(path for path, entry in change.entries.items() if entry is None)
    file.writelines(b"D %s\n" % quoted(path) for path in gone)
    for path, entry in sorted((path, entry) for path, entry in change.entries.items() if entry is not None):
        name = f":{stood[entry.blob]}" if entry.blob in stood else entry.blob
        file.write(b"M %s %s %s\n" % (entry.mode.encode("ascii"), name.encode("ascii"), quoted(path)))
    file.write(b"\n")


def quoted(path: bytes) -> bytes:
    """A path as git-fast-import(1) reads any bytes."""
    return b'"' + b"".join(b"\\%03o" % b if b < 32 or b in b'"\\' else bytes([b]) for b in path) + b'"'
