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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from supervisor.git.base import TREE, Entry, Objects, TooLarge
from supervisor.git.layout import is_object_id
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own, make_window, refresh, staging
from supervisor.git.turns import locked
from supervisor.provenance.pruning import Tidying
from supervisor.provenance.refs import Refs
from supervisor.vocabulary.errors import GovrunError, UsageError

NOTES_REF = "refs/notes/govrun"
STALE = 60.0  # seconds after which a lock of ours is somebody's who was killed: they are held for milliseconds
_WATCHED = 10.0  # seconds in which one is seen to stay
OWN = "repo.git"
WINDOW = "refs.git"
_ATTEMPTS = 50
_RACES = 10  # times as many, where each time somebody else's notes were written instead
_MAX_NOTE = 1 << 20
_VERIFIED = 32
_TIPS = 64
_LOCK_PATIENCE = 5.0

Edit = Callable[[str], str]  # the text of a note -> its new text


class Goal(NamedTuple):
    """A ref of a run that is to be at what ``make`` gives, whatever it was at before: ``old``, as ``Refs.expected``
    tells it. ``needs`` is the name of another goal, without which this one is left."""

    name: str
    old: str | None
    make: Callable[[], str]
    needs: str = ""


class Wanted(NamedTuple):
    """What is to be written at once: ``edits`` of the notes of commits, and ``goals``. Where the first goal cannot be
    reached, notes get the edits ``instead``.

    ``everything``: what has to be written where a prune took the notes; ``also``: another tip of notes, which becomes a
    parent; ``absent``: commits that are not here get their notes too; ``done`` is called while nobody else of this
    state folder writes, with what failed.
    """

    edits: Mapping[str, Edit]
    everything: Mapping[str, Edit] = {}
    goals: Sequence[Goal] = ()
    instead: Mapping[str, Edit] = {}
    also: str = ""
    absent: bool = False
    done: Callable[[Mapping[str, GovrunError]], None] = lambda _: None


class Written(NamedTuple):
    """The tip of the notes ref, the commits that do not exist any more, and what could not be written: the name of a
    ref, or a commit for its note alone."""

    tip: str
    missing: set[str]
    failed: Mapping[str, GovrunError] = {}


class _Update(NamedTuple):
    name: str
    new: str
    old: str | None


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
        self._refs = Refs(self.common)
        self._locked: dict[str, tuple[tuple[int, ...], float]] = {}  # by ref: which lock, and since when it is seen
        self._tidying = Tidying(self.common)
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
        """The id that ``name`` is at, "" when there is none. Raises ``UsageError`` when it is a symbolic ref."""
        return self._refs.plain(name)

    def _tip(self) -> str:
        """That of the notes, "" where it cannot be told."""
        with suppress(UsageError):
            return self.ref(NOTES_REF)
        return ""

    def expected(self, name: str) -> str | None:
        """See ``Refs.expected``."""
        return self._refs.expected(name)

    # ---- writing ------------------------------------------------------------------------------------------------

    def write(
        self, edits: Mapping[str, Edit], everything: Mapping[str, Edit], *, also: str = "", absent: bool = False
    ) -> Written:
        """Edit notes, all or none of them. Raises ``GovrunError`` after all attempts."""
        return self.carry_out(lambda: Wanted(edits, everything, also=also, absent=absent))

    def carry_out(self, plan: Callable[[], Wanted], *, partly: bool = False) -> Written:
        """Write what ``plan`` says, in one transaction. It is asked at each attempt, when nobody else of this state
        folder writes: what it has read from the repository is then as it was left.

        ``partly``: what is in the way of one part does not keep the others from being written. Raises ``GovrunError``
        after all attempts.
        """
        last = GitError("the notes could not be written", "", None)
        left = self.attempts
        for attempt in range(_RACES * self.attempts):
            if attempt:
                time.sleep(random.uniform(0.002, min(0.2, 0.005 * attempt)))
            tip = self._tip()
            try:
                with self._turn():
                    return self._once(plan(), partly=partly, apart=False)
            except GitError as error:
                last = error
                self.objects.close()  # it goes on reading packs that were removed
                if not self._tidying.outlasts_gc() and error.code is None and attempt >= 2:
                    break  # too slow or damaged: fifty more of that would not help
                left -= tip == self._tip()  # a race that somebody else has won says nothing about the next
                if not left:
                    break
        if not partly:
            raise GitError("the notes could not be written", f"{last.what}: {last.why}", last.code)
        with self._turn():
            return self._once(plan(), partly=True, apart=True)

    def _once(self, wanted: Wanted, *, partly: bool, apart: bool) -> Written:
        """``apart``: each part in a transaction of its own."""
        failed: dict[str, GovrunError] = {}
        updates: list[_Update] = []
        for goal in wanted.goals:
            if goal.needs in failed:
                failed[goal.name] = failed[goal.needs]
                continue
            with _part(goal.name, failed, partly=partly, apart=apart):
                update = _Update(goal.name, goal.make(), goal.old)
                self._refs.check(goal.name)
                if apart:
                    self._swap([update])
                updates.append(update)
        made = [name for each in updates for name in self._objects_of(each.new)]
        edits = wanted.instead if wanted.goals and wanted.goals[0].name in failed else wanted.edits
        written = Written("", set(), failed)
        lost = False
        with _part(NOTES_REF, failed, partly=partly, apart=apart):
            written, update, lost = self._notes(wanted._replace(edits=edits), failed, partly=partly)
            if apart:
                self._swap([update])
            updates.append(update)
        if not apart:
            self._swap(updates)
        if lost:  # git fsck counts entries of the log whose commit is gone as damage
            self._user.run(["reflog", "expire", "--expire=all", NOTES_REF])
        there = [commit for commit in edits if commit not in written.missing and commit not in failed]
        self._verify(made, written.tip, [] if NOTES_REF in failed else there[:_VERIFIED])
        if made and self._tidying.outlasts_gc():
            self._verify(made, written.tip, [] if NOTES_REF in failed else there[:_VERIFIED])
        wanted.done(failed)
        return written

    def _notes(self, wanted: Wanted, failed: dict[str, GovrunError], *, partly: bool) -> tuple[Written, _Update, bool]:
        """Make a commit of the notes; also whether a prune took the one before."""
        self._refs.check(NOTES_REF)
        old = self.ref(NOTES_REF)
        base = self._base_of(old)
        lost = base != old
        edits = {**wanted.everything, **wanted.edits} if lost else wanted.edits
        stream, missing, changed = self._stream(base, wanted._replace(edits=edits), failed if partly else None)
        new = old
        if lost or wanted.also or changed:
            new = self.importer.run(["fast-import", "--quiet", "--force", "--done"], stream).decode().strip()
            self._tips += (base, new)
        return Written(new, missing, failed), _Update(NOTES_REF, new, old), lost

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
        error = GitError(f"{NOTES_REF} is damaged", f"its commit {old} or tree cannot be read", None)
        error.fix = f"git update-ref -d {NOTES_REF}; govrun notes rebuild"
        raise error

    def _readable(self, tip: str) -> bool:
        return not tip or all(self.objects.get(name) is not None for name in (tip, tip + "^{tree}"))

    def _stream(self, old: str, wanted: Wanted, failed: dict[str, GovrunError] | None) -> tuple[bytes, set[str], bool]:
        """The input of fast-import (git-fast-import(1)), the commits that are gone (N dies on them), and whether it
        changes anything. A note that is too large to be read goes to ``failed``."""
        title = f"govrun {self.run}\n".encode()
        parts = [
            b"commit %s\nmark :1\n" % staging(),
            b"committer govrun <govrun@invalid> %d +0000\ndata %d\n%s" % (int(time.time()), len(title), title),
        ]
        parts += [b"%s %s\n" % (word, tip.encode()) for word, tip in _parents(old, wanted.also)]
        missing: set[str] = set()
        begun = len(parts)
        for commit, edit in wanted.edits.items():
            gone = self.content(commit) is None
            if gone and not wanted.absent:
                missing.add(commit)
                continue
            try:
                places, raw = self._edited(old, commit, edit)
            except UsageError as error:
                if failed is None:
                    raise
                failed[commit] = error
                continue
            if not raw:
                continue
            if len(places) > 1:  # N replaces one of several fan-outs only, and git crashes on such trees
                parts += [b"D %s\n" % place for place in places]
            if gone:
                path = places[0] if len(places) == 1 else self._path(old or wanted.also, commit)
                parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(raw), raw))
            else:
                parts.append(b"N inline %s\ndata %d\n%s\n" % (commit.encode(), len(raw), raw))
        return b"".join((*parts, b"get-mark :1\ndone\n")), missing, len(parts) > begun

    def _edited(self, tip: str, commit: str, edit: Edit) -> tuple[list[bytes], bytes]:
        """Where the notes tree has a note for ``commit`` (one place, normally), and what it is to be; nothing when it
        is that already. Raises ``UsageError`` for one that is too large to be read, or would be: nobody could verify
        it then."""
        places = self._places(tip, commit)
        texts = []
        try:
            for name in places.values():
                found = self.objects.get(name, limit=_MAX_NOTE)
                if found is None:
                    raise GitError(f"{NOTES_REF} is damaged", f"the note on {commit} cannot be read", None)
                texts.append(found[2].decode("utf-8", "surrogateescape"))
        except TooLarge as error:
            raise _too_large(commit) from error
        text = "\n".join(texts)
        changed = edit(text)
        if changed == text and len(places) == 1:
            return list(places), b""
        raw = changed.encode("utf-8", "surrogateescape")
        if len(raw) > _MAX_NOTE:
            raise _too_large(commit)
        return list(places), raw

    def _places(self, tip: str, commit: str) -> dict[bytes, str]:
        """Path -> id of the notes on ``commit`` in the tree of ``tip``."""
        name = commit.encode("ascii")
        paths = (name, name[:2] + b"/" + name[2:], name[:2] + b"/" + name[2:4] + b"/" + name[4:])
        found = {path: self.objects.entry(tip, path) for path in paths} if tip else {}
        return {path: entry.id for path, entry in found.items() if entry is not None}

    def _path(self, tip: str, commit: str) -> bytes:
        """Where a note lies in a tree as fanned out as that of ``tip``: git dies of trees with two fan-outs."""
        name, path, at = commit.encode("ascii"), b"", tip
        while at:
            folders = [entry.id for each, entry in (self.objects.tree(at) or {}).items() if _is_fan(each, entry)]
            if not folders:
                break
            path, name, at = path + name[:2] + b"/", name[2:], folders[0]
        return path + name

    def _swap(self, updates: Sequence[_Update]) -> None:
        # no-deref: were it a symbolic ref, the branch it points to would move. It holds for one command only.
        lines = ""
        for name, new, old in updates:
            if (name, new) == (NOTES_REF, old):
                continue
            self._unlock(name)
            before = "" if old is None else f" {old or '0' * self.width}"
            lines += f"option no-deref\nupdate {name} {new}{before}\n"
        if lines:
            self._user.run(["update-ref", "--stdin"], f"start\n{lines}prepare\ncommit\n".encode())

    def _unlock(self, name: str) -> None:
        """Take away the lock of a ref of govrun's that was left by a git that was killed: it is old, or it has been
        there, the same one, for as long as nobody holds it. Whoever does all the same fails when it comes to rename
        it, and no ref is moved by mistake."""
        lock = self.common / f"{name}.lock"
        try:
            info = os.lstat(lock)
            found = info.st_dev, info.st_ino, info.st_mtime_ns
            now = time.monotonic()
            seen, since = self._locked.get(name, (found, now))
            self._locked[name] = found, since if seen == found else now
            if time.time() - info.st_mtime > STALE or now - self._locked[name][1] > _WATCHED:
                os.unlink(lock)
        except OSError:
            return  # there is none, as it should be

    def _verify(self, made: Sequence[str], tip: str = "", commits: Sequence[str] = ()) -> None:
        """What a prune has taken by now is written again at once; what it takes later of notes, by the next flush."""
        names = list(made)
        for commit in commits:
            there = self._places(tip, commit)
            if not there:
                raise GitError("a note vanished while it was written", commit, 1)
            names += there.values()
        lost = self._lost(names) if made else [each for each in names if self.objects.get(each) is None]
        if lost:
            raise GitError("what was written vanished at once", lost[0], 1)

    def _lost(self, names: Sequence[str]) -> list[str]:
        # A git of its own: one that runs already goes on reading packs that were removed.
        told = self.reader.run(["cat-file", "--batch-check"], "".join(f"{name}\n" for name in names).encode())
        return [line.decode("ascii", "replace") for line in told.splitlines() if line.endswith(b" missing")]

    def _objects_of(self, name: str) -> Iterator[str]:
        """The object, and what lies in its tree."""
        waiting = [name]
        while waiting:
            at = waiting.pop()
            yield at
            for entry in (self.objects.tree(at) or {}).values():
                if entry.mode == TREE:
                    waiting.append(entry.id)
                else:
                    yield entry.id

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Runs of one state folder write in turn: what is signed names a place that nobody else may take meanwhile.
        What keeps the notes of other installations is the expected old value. Raises ``GitError``."""
        self._locks.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(self.common)).hexdigest()[:24]
        descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not locked(descriptor, _LOCK_PATIENCE):
                why = f"another process of govrun is at it for more than {_LOCK_PATIENCE:g} s"
                raise GitError("the notes could not be written", why, None)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _part(name: str, failed: dict[str, GovrunError], *, partly: bool, apart: bool) -> Iterator[None]:
    """What nothing can be done about is told at once, and anything else may be better at the next attempt."""
    try:
        yield
    except GitError as error:
        if not apart:
            raise
        failed[name] = error
    except UsageError as error:
        if not partly:
            raise
        failed[name] = error


def _too_large(commit: str) -> UsageError:
    fix = f"git notes --ref=govrun remove {commit}"
    return UsageError(f"the note on {commit} cannot be written", f"it would be larger than {_MAX_NOTE >> 10} KiB", fix)


def _is_fan(name: bytes, entry: Entry) -> bool:
    return entry.mode == TREE and len(name) == 2 and all(sign in b"0123456789abcdef" for sign in name)


def _parents(old: str, also: str) -> list[tuple[bytes, str]]:
    """Where there is nothing yet, the other tip is what is built on: its notes stay as they are."""
    first = old or also
    return [(b"from", first)] * bool(first) + [(b"merge", also)] * bool(also and also != first)
