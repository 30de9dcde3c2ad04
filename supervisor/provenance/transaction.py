"""Writing notes and the refs of a run into the user's repository, so that nobody's line is lost.

Objects of notes are made by ``fast-import`` through a git directory of ours; the user's repository sees one
``update-ref`` transaction with the expected old values, through a second git directory of ours over its refs and logs:
its configuration is read by none of them. Losing that race is normal: read again, build again, try again.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from supervisor.git.base import TREE, Entry, Objects
from supervisor.git.layout import is_object_id, packed, read_small
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own, make_window, refresh, staging
from supervisor.vocabulary.errors import GovrunError, UsageError

NOTES_REF = "refs/notes/govrun"
STALE = 60.0  # seconds after which a lock of ours is somebody's who was killed: they are held for milliseconds
OWN = "repo.git"
WINDOW = "refs.git"
_ATTEMPTS = 50
_MAX_FOREIGN_NOTE = 1 << 20
_VERIFIED = 32
_TIPS = 64
_LOCK_PATIENCE = 5.0

Edit = Callable[[str], str]  # the text of a note -> its new text


class Written(NamedTuple):
    """The tip of the notes ref, and the commits that do not exist any more."""

    tip: str
    missing: set[str]


class Move(NamedTuple):
    """A ref of ours that goes on from ``old`` ("": it is new) to what ``make`` gives."""

    name: str
    old: str
    make: Callable[[], str]


class OvertakenError(GovrunError):
    """Another process of ours has moved the ref of a ``Move``: what was to be written rests on what is no more."""


class Repository:
    """The repository of the run in ``folder``, described by ``git`` of its ``meta.json``. Raises ``UsageError`` when
    there is none, ``HostError`` without git, ``StopRun`` when the state folder cannot be written."""

    def __init__(self, folder: Path, git: object) -> None:
        if not isinstance(git, dict) or not isinstance(git.get("common_dir"), str):
            raise UsageError(
                "this run has no repository", f"{folder.name}: nothing in meta.json under git", "govrun runs"
            )
        self.run = folder.name
        self.common = Path(git["common_dir"])
        form = str(git.get("object_format", "sha1"))
        self.width = 64 if form == "sha256" else 40
        self.attempts = _ATTEMPTS
        self._locks = folder.parent.parent / "locks"
        self._served = (folder / OWN, folder / WINDOW)
        self._own = make_own(folder / OWN, self.common, form)
        self.reader = Git(self._own, timeout=120.0)
        self.importer = Git(self._own, objects=self.common / "objects", timeout=120.0)
        self._user = Git(make_window(folder / WINDOW, self.common, form), timeout=20.0)
        self.objects = Objects(Git(self._own), timeout=10.0)
        self._tips: deque[str] = deque(maxlen=_TIPS)  # of the notes ref, as read and as written here

    def close(self) -> None:
        """End the helper process."""
        self.objects.close()

    def tidy(self) -> None:
        """Take away the git directories that served this run only: the next one that needs them makes them again."""
        import shutil

        self.close()
        for path in (*self._served, self._locks.parent / "git" / self.run):
            shutil.rmtree(path, ignore_errors=True)

    def refresh(self) -> None:
        """Take over where a shallow clone's history ends."""
        refresh(self._own, self.common)

    def content(self, commit: str) -> bytes | None:
        """The commit object, None when it does not exist (any more)."""
        found = self.objects.get(commit)
        return found[2] if found is not None and found[1] == "commit" else None

    def is_object_id(self, text: str) -> bool:
        """Whether ``text`` is an id in the repository's own object format."""
        return len(text) == self.width and is_object_id(text)

    def ref(self, name: str) -> str:
        """The commit that ``name`` is at, "" when there is none. Raises ``UsageError`` when it is a symbolic ref."""
        text = read_small(self.common / name)
        if text is None:
            return packed(self.common).get(name, "")
        value = text.strip()
        if not is_object_id(value):
            raise UsageError(f"{name} is not a plain ref", repr(value[:60]), f"git update-ref -d {name}")
        return value

    # ---- writing ------------------------------------------------------------------------------------------------

    def write(
        self,
        wanted: Mapping[str, Edit],
        everything: Mapping[str, Edit],
        refs: Mapping[str, Callable[[], str]] = {},
        *,
        move: Move | None = None,
        also: str = "",
        absent: bool = False,
    ) -> Written:
        """Edit the notes of the commits in ``wanted``, create ``refs`` and make the ``move``, in one transaction;
        ``everything``: what has to be written where a prune took the notes; ``also``: another tip of notes, which
        becomes a parent; ``absent``: commits that are not here get their notes too. A ref that is there already is left
        as it is.

        Raises ``OvertakenError`` at once, ``GovrunError`` after all attempts.
        """
        last = GitError("the notes could not be written", "", None)
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(random.uniform(0.002, min(0.2, 0.005 * attempt)))
            try:
                with self._turn():
                    return self._once(wanted, everything, refs, move, also, absent=absent)
            except GitError as error:
                last = error
                if error.code is None and attempt >= 2:
                    break  # too slow or damaged: fifty more of that would not help
        raise GitError("the notes could not be written", f"{last.what}: {last.why}", last.code)

    def _once(
        self,
        wanted: Mapping[str, Edit],
        everything: Mapping[str, Edit],
        refs: Mapping[str, Callable[[], str]],
        move: Move | None,
        also: str,
        *,
        absent: bool,
    ) -> Written:
        old = self.ref(NOTES_REF)
        base = self._base_of(old)
        lost = base != old
        edits = {**everything, **wanted} if lost else wanted
        stream, missing = self._stream(base, edits, also, absent=absent)
        made = {name: make() for name, make in refs.items() if not self.is_there(name)}
        if move is not None:
            if self.ref(move.name) != move.old:
                raise OvertakenError("another run was recorded in between", move.name)
            made[move.name] = move.make()
        new = old
        if lost or also or len(missing) < len(edits):
            new = self.importer.run(["fast-import", "--quiet", "--force", "--done"], stream).decode().strip()
            self._tips += (base, new)
        self._swap(old, new, made)
        if lost:  # git fsck counts entries of the log whose commit is gone as damage
            self._user.run(["reflog", "expire", "--expire=all", NOTES_REF])
        self._verify(new, [commit for commit in wanted if commit not in missing], made)
        return Written(new, missing)

    def is_there(self, name: str) -> bool:
        """Whether a ref exists and its commit can be read. Raises ``GovrunError``."""
        at = self.ref(name)
        return bool(at) and self._readable(at)

    def intact(self) -> bool:
        """Whether what was written here can still be read. Raises ``GovrunError``."""
        return not self._tips or self._readable(self.ref(NOTES_REF))

    def _base_of(self, old: str) -> str:
        """Commit to build upon: ``old``, or the newest tip known here that is still there, "" for none.

        A prune that read the refs before ours moved deletes the new objects after: git guards new loose objects by
        their age only, and ``git prune`` sets that to nothing (git-prune(1), --expire). Raises ``GitError``.
        """
        if self._readable(old):
            return old
        for tip in reversed(self._tips) if old in self._tips else ():
            if self._readable(tip):
                return tip
        raise GitError(f"{NOTES_REF} is damaged", f"its commit {old} or tree cannot be read", None)

    def _readable(self, tip: str) -> bool:
        return not tip or all(self.objects.get(name) is not None for name in (tip, tip + "^{tree}"))

    def _stream(self, old: str, wanted: Mapping[str, Edit], also: str, *, absent: bool) -> tuple[bytes, set[str]]:
        """The input of fast-import (git-fast-import(1)) and the commits that are gone: N dies on them."""
        title = f"govrun {self.run}\n".encode()
        parts = [
            b"commit %s\nmark :1\n" % staging(),
            b"committer govrun <govrun@invalid> %d +0000\ndata %d\n%s" % (int(time.time()), len(title), title),
        ]
        parts += [b"%s %s\n" % (word, tip.encode()) for word, tip in _parents(old, also)]
        missing: set[str] = set()
        for commit, edit in wanted.items():
            gone = self.content(commit) is None
            if gone and not absent:
                missing.add(commit)
                continue
            places, text = self._existing(old, commit)
            raw = edit(text).encode("utf-8", "surrogateescape")
            if len(places) > 1:  # N replaces one of several fan-outs only, and git crashes on such trees
                parts += [b"D %s\n" % place for place in places]
            if gone:
                path = places[0] if len(places) == 1 else self._path(old or also, commit)
                parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(raw), raw))
            else:
                parts.append(b"N inline %s\ndata %d\n%s\n" % (commit.encode(), len(raw), raw))
        parts.append(b"get-mark :1\ndone\n")
        return b"".join(parts), missing

    def _existing(self, tip: str, commit: str) -> tuple[list[bytes], str]:
        """Paths at which the notes tree has a note for ``commit`` (one, normally), and their text together."""
        if not tip:
            return [], ""
        name = commit.encode("ascii")
        places, texts = [], []
        for path in (name, name[:2] + b"/" + name[2:], name[:2] + b"/" + name[2:4] + b"/" + name[4:]):
            entry = self.objects.entry(tip, path)
            if entry is None:
                continue
            found = self.objects.get(entry.id, limit=_MAX_FOREIGN_NOTE)
            if found is None:
                raise GitError(f"{NOTES_REF} is damaged", f"the note on {commit} cannot be read", None)
            places.append(path)
            texts.append(found[2].decode("utf-8", "surrogateescape"))
        return places, "\n".join(texts)

    def _path(self, tip: str, commit: str) -> bytes:
        """Where a note lies in a tree as fanned out as that of ``tip``: git dies of trees with two fan-outs."""
        name, path, at = commit.encode("ascii"), b"", tip
        while at:
            folders = [entry.id for each, entry in (self.objects.tree(at) or {}).items() if _is_fan(each, entry)]
            if not folders:
                break
            path, name, at = path + name[:2] + b"/", name[2:], folders[0]
        return path + name

    def _swap(self, old: str, new: str, made: Mapping[str, str]) -> None:
        # no-deref: were it a symbolic ref, the branch it points to would move. It holds for one command only.
        updates = [(NOTES_REF, new, old)] if new != old else []
        # One whose objects a prune has taken is there, and is replaced.
        updates += [(name, commit, self.ref(name)) for name, commit in made.items()]
        for name, _, _ in updates:
            self._unlock(name)
        lines = "".join(
            f"option no-deref\nupdate {name} {commit} {before or '0' * self.width}\n"
            for name, commit, before in updates
        )
        if lines:
            self._user.run(["update-ref", "--stdin"], f"start\n{lines}prepare\ncommit\n".encode())

    def _unlock(self, name: str) -> None:
        """Take away the lock of a ref of govrun's that was left by a git that was killed."""
        lock = self.common / f"{name}.lock"
        try:
            if time.time() - os.lstat(lock).st_mtime > STALE:
                os.unlink(lock)
        except OSError:
            return  # there is none, as it should be

    def _verify(self, tip: str, commits: list[str], made: Mapping[str, str]) -> None:
        """What a prune has taken by now is written again at once; what it takes later, by the next flush."""
        for commit in commits[:_VERIFIED]:
            if not self._existing(tip, commit)[0]:
                raise GitError("a note vanished while it was written", commit, 1)
        for name, commit in made.items():
            if not self._readable(commit):
                raise GitError("a record vanished while it was written", name, 1)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Runs of one state folder write in turn. Only courtesy: what keeps notes is the expected old value."""
        import fcntl

        self._locks.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(self.common)).hexdigest()[:24]
        descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_PATIENCE
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(random.uniform(0.002, 0.02))
            yield
        finally:
            os.close(descriptor)


def _is_fan(name: bytes, entry: Entry) -> bool:
    return entry.mode == TREE and len(name) == 2 and all(sign in b"0123456789abcdef" for sign in name)


def _parents(old: str, also: str) -> list[tuple[bytes, str]]:
    """Where there is nothing yet, the other tip is what is built on: its notes stay as they are."""
    first = old or also
    return [(b"from", first)] * bool(first) + [(b"merge", also)] * bool(also and also != first)
