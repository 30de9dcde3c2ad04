"""The lineage of a run's tree: from the state that an earlier run left to the one that this run leaves, tree by tree.

What the tree was when the run began is what it is now, with each path that the run touched as it was before. What
differs from the state that the last run left came ``between-runs`` (``first``: there was none; ``anew``: it can be read
no more); what lies at the end otherwise than the run left it came from ``others``. Both are transitions like the run's
own, so that there is no gap between two states.

``lineage.jsonl`` in the run's folder has one line per transition: ``{"n", "pre", "post", "since", "upto", "paths",
"why"}``; the record of the run has the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from supervisor.git.history import LAST, Change, Content, History, claimed, folder_of
from supervisor.git.ignores import BaseIgnores
from supervisor.git.layout import discover, read_small
from supervisor.git.neutral import GitError
from supervisor.journal.codec import encode
from supervisor.journal.store import list_runs, read_meta
from supervisor.provenance.transaction import OWN
from supervisor.trees.frames import FRAMES, LARGE, Frames
from supervisor.trees.records import of_type
from supervisor.trees.states import STATES, Kept, States, Step, read_states
from supervisor.trees.walk import (
    FILE,
    LARGEST_READ,
    LINK,
    PROGRAM,
    Found,
    Walk,
    blob_named,
    blob_of,
    content_of,
    stand_in,
)
from supervisor.vocabulary.errors import GovrunError, StopRun, UsageError
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Entry

LINEAGE = "lineage.jsonl"
FIRST, ANEW, BETWEEN, OTHERS = "first", "anew", "between-runs", "others"
_FOUND = (FIRST, ANEW, BETWEEN)
_MOST = 256 << 20
_LARGEST = 32 << 20  # bytes of a file whose content is kept


class Transition(NamedTuple):
    """From tree ``pre`` to tree ``post``, by records ``since`` to ``upto`` of the journal; ``why``: by something else.
    ``paths``: how many changed."""

    n: int
    pre: str
    post: str
    since: int
    upto: int
    paths: int
    why: str = ""


class Lineage(NamedTuple):
    """``base``: the tree as the run found it; ``tree``: as it left it; ``previous``: the run whose state came before,
    empty for the first of its tree."""

    base: str
    tree: str
    previous: str
    transitions: tuple[Transition, ...]

    def lines(self) -> str:
        """As ``lineage.jsonl`` has it."""
        return "".join(encode(each._asdict()) + "\n" for each in self.transitions)

    def described(self) -> dict[str, object]:
        """As the statement about the run has it."""
        more = {"previous": self.previous} if self.previous else {}
        return {"base": self.base, "tree": self.tree, "transitions": self.own, **more}

    @property
    def own(self) -> int:
        """How many transitions the run itself made."""
        return sum(each.why not in (*_FOUND, OTHERS) for each in self.transitions)


def trace(folder: Path, meta: Mapping[str, object]) -> Lineage | None:
    """The lineage of the run in ``folder``, which is over; worked out once, then read. None for a run that has none:
    its tree is gone, or in no repository. Raises ``GovrunError``."""
    known = read_lineage(folder)
    if known is not None:
        return known
    tree, git = meta.get("tree"), meta.get("git")
    if not isinstance(tree, str) or not isinstance(git, dict) or not os.path.isdir(tree):
        return None
    place = folder_of(folder.parent.parent, tree)
    with claimed(place):
        at_work = _Trace(folder, meta, tree, place)
        try:
            found = at_work.go()
        except OSError as error:
            raise GovrunError("the states of the tree cannot be kept", str(error), exit_code=121) from error
        finally:
            at_work.close()
    text = encode({"base": found.base, "tree": found.tree, "previous": found.previous}) + "\n" + found.lines()
    _replace(folder / LINEAGE, text)
    return found


def read_lineage(folder: Path) -> Lineage | None:
    """What ``trace`` has written. Raises ``StopRun`` when it cannot be understood, or does not hang together."""
    text = read_small(folder / LINEAGE, _MOST)
    if text is None:
        return None
    try:
        head, *lines = (json.loads(line) for line in text.splitlines())
        found = Lineage(head["base"], head["tree"], head["previous"], tuple(Transition(**line) for line in lines))
        of_type(str, *found[:3])
        for each in found.transitions:
            of_type(str, each.pre, each.post, each.why)
            of_type(int, each.n, each.since, each.upto, each.paths)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StopRun("the lineage of the run cannot be read", str(error), f"look at {LINEAGE} of this run") from error
    if (broken := gap_in(found.transitions)) is not None:
        why = f"transition {broken.n} does not begin where the one before it ends"
        raise StopRun("the lineage of the run is broken", why, f"look at {LINEAGE} of this run")
    return found


def gap_in(transitions: Sequence[Transition]) -> Transition | None:
    """The first that does not begin with the tree that the one before it ended with."""
    return next((later for earlier, later in pairwise(transitions) if earlier.post != later.pre), None)


class _Trace:
    def __init__(self, folder: Path, meta: Mapping[str, object], tree: str, place: Path) -> None:
        self._folder = folder
        self._tree = os.fsencode(tree)
        self._place = place
        self._run = folder.name
        git = meta.get("git")
        assert isinstance(git, dict)
        self._base = str(git.get("base", ""))
        self._rules: BaseIgnores | None = None
        self._now = Found({}, frozenset(), (), {})
        self._first = FIRST
        self._texts: dict[str, bytes] = {}  # contents that lie in no file, by blob
        same_format = git.get("object_format", "sha1") == "sha1"
        self._blobs: dict[str, str] = {}  # of files that were too large for a frame
        self._history = History(place, Path(str(git["common_dir"])) if same_format else None)

    def go(self) -> Lineage:
        states = read_states(self._folder)
        walk = self._walk()
        self._now = walk.go()
        self._texts |= self._now.texts
        start, known = self._history.commit_of(LAST), walk.known()
        try:
            lost = known and not start
            found = self._anew(states) if lost else self._written(start, known if start else {}, states)
        except GitError as error:
            if error.code is None:
                raise  # git did not answer: what was there before is there
            found = self._anew(states)
        walk.save(self._place)
        return found

    def _anew(self, states: States) -> Lineage:
        """What earlier states rest on may have been pruned from the user's objects, or a power loss has torn a ref; all
        of them may have been dropped (``retention``)."""
        self._history.drop_torn()
        self._first = ANEW
        return self._written("", {}, states)._replace(previous=self._traced_before())

    def _traced_before(self) -> str:
        """The newest run of this tree before this one whose states were traced."""
        runs = self._folder.parent
        for run in reversed(list_runs(runs.parent)):
            tree = read_meta(runs / run).get("tree")
            if run < self._run and tree == os.fsdecode(self._tree) and (runs / run / LINEAGE).exists():
                return run
        return ""

    def _written(self, start: str, before: Mapping[bytes, Entry], states: States) -> Lineage:
        base = {**self._now.entries, **self._entries(states.before)}
        there = {path: entry for path, entry in base.items() if entry is not None}
        changes, told = self._changes(before, there, states, known=bool(start))
        trees = self._history.write(start, changes, self._content(states), self._run) if changes else []
        return self._lineage(start, changes, told, trees)

    def _walk(self) -> Walk:
        repository = discover(Path(os.fsdecode(self._tree)))
        if repository is None:
            raise UsageError("the tree is in no repository any more", os.fsdecode(self._tree), "git init")
        walk = Walk(self._tree, lambda _path, _folder: False)
        if self._base:
            rules = self._rules = BaseIgnores(repository._replace(head_commit=self._base), self._folder / OWN)
            walk = Walk(self._tree, lambda path, folder: rules.covers(path, directory=folder), self._base)
        walk.load(self._place)
        return walk

    def close(self) -> None:
        """End the helper process."""
        if self._rules is not None:
            self._rules.close()

    def _changes(
        self,
        before: Mapping[bytes, Entry],
        base: Mapping[bytes, Entry],
        states: States,
        *,
        known: bool,
    ) -> tuple[list[Change], list[Step]]:
        """Each state, and the step that leads to it."""
        changes, told = [], []
        between = _difference(before, base)
        if between or not known:
            changes.append(Change(between, f"as {self._run} found it"))
            told.append(Step(0, 0, 0, {}, BETWEEN if known else self._first))
        left = dict(base)
        for step in states.steps:
            entries = {path: entry for path, entry in self._entries(step.changes).items() if left.get(path) != entry}
            if not entries:
                continue  # folders and attributes are not in git's trees
            left |= {path: entry for path, entry in entries.items() if entry is not None}
            for path in (path for path, entry in entries.items() if entry is None):
                left.pop(path, None)
            changes.append(Change(entries, f"{self._run} {step.since}-{step.upto} {step.why}".strip()))
            told.append(step)
        others = _difference(left, self._now.entries)
        if others:
            changes.append(Change(others, f"{self._run} {OTHERS}"))
            told.append(Step(0, 0, 0, {}, OTHERS))
        return changes, told

    def _entries(self, kept: Mapping[bytes, Kept]) -> dict[bytes, Entry | None]:
        """What git's tree would have at these paths, by path below the tree. What is ignored, or git's own, is followed
        where its folder moves, and is no part of a state."""
        below = len(self._tree) + 1
        told = {path[below:]: each for path, each in kept.items() if path != self._tree}
        return {path: self._entry(path, each) for path, each in told.items() if not self._is_left_out(path, each)}

    def _is_left_out(self, path: bytes, kept: Kept) -> bool:
        if b".git" in path.split(b"/"):
            return True
        # Before the first commit nothing is ignored.
        return self._rules is not None and self._rules.covers(path, directory=kept.version.kind is Kind.DIR)

    def _entry(self, path: bytes, kept: Kept) -> Entry | None:
        version = kept.version
        if version.kind is Kind.LINK:
            return Entry(LINK, self._text(version.text))
        if version.kind is not Kind.FILE:
            return None
        mode = PROGRAM if version.mode & 0o100 else FILE
        if version.sha1:
            return Entry(mode, version.sha1)
        if version.large and version.size <= LARGEST_READ and (blob := self._large(version.large)):
            return Entry(mode, blob)
        # Too large to have been read while the run waited: it may still be there, and is known by its time.
        there = self._now.entries.get(path)
        if there is not None and _mtime(self._tree + b"/" + path) == version.mtime_ns:
            return there
        return Entry(mode, self._text(stand_in(version.size, version.mtime_ns)))

    def _large(self, name: str) -> str:
        """The blob of a file that was too large for a frame; empty when it is not there any more."""
        path = os.fsencode(self._folder / LARGE / name)
        if name not in self._blobs:
            try:
                self._blobs[name] = blob_of(path, os.lstat(path))
            except OSError:
                self._blobs[name] = ""
        return self._blobs[name]

    def _text(self, text: bytes) -> str:
        blob = blob_named(text)
        self._texts[blob] = text
        return blob

    def _content(self, states: States) -> Content:
        """Where the content of each blob is: in the run's store, or still in the tree."""
        layers = (states.before, *(step.changes for step in states.steps))
        kept = {each.version.sha1: each.version for layer in layers for each in layer.values() if not each.unkept}
        paths = {entry.blob: path for path, entry in self._now.entries.items()}
        large = {blob: os.fsencode(self._folder / LARGE / name) for name, blob in self._blobs.items()}
        store = Frames(self._folder, reading=True) if (self._folder / FRAMES).exists() else None

        def content(blob: str) -> bytes | str:
            if blob in self._texts:
                return self._texts[blob]
            if blob in kept and store is not None:
                try:
                    return store.content(kept[blob])
                except StopRun as error:
                    return error.why
            place = large.get(blob) or (self._tree + b"/" + paths[blob] if blob in paths else None)
            found = content_of(place, blob, _LARGEST) if place is not None else None
            return found if found is not None else "it was changed while it was looked at, or is too large"

        return content

    def _lineage(self, start: str, changes: list[Change], told: list[Step], trees: list[str]) -> Lineage:
        first = self._history.tree_of(start) if start else ""
        transitions, pre = [], first
        for number, (change, step, post) in enumerate(zip(changes, told, trees, strict=True), 1):
            transitions.append(Transition(number, pre, post, step.since, step.upto, len(change.entries), step.why))
            pre = post
        base = next((each.pre for each in transitions if each.why not in _FOUND), pre)
        own = [each.post for each in transitions if each.why != OTHERS]
        return Lineage(base, own[-1] if own else pre, self._previous(start), tuple(transitions))

    def _previous(self, start: str) -> str:
        if not start:
            return ""
        told = self._history.git.run(["log", "-1", "--format=%s", "--end-of-options", start]).decode("utf-8", "replace")
        words = [word for word in told.split() if len(word) == len(self._run) and word.isalnum()]
        return words[0] if words else ""


def _mtime(path: bytes) -> int:
    """Nanoseconds; -1 when nothing is there."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return -1


def _difference(one: Mapping[bytes, Entry], other: Mapping[bytes, Entry]) -> dict[bytes, Entry | None]:
    found: dict[bytes, Entry | None] = {path: entry for path, entry in other.items() if one.get(path) != entry}
    return found | dict.fromkeys(one.keys() - other.keys())


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(text.encode("ascii"))
        os.replace(temporary, path)
    except OSError as error:
        raise GovrunError(f"cannot write {path.name}", str(error), exit_code=121) from error


__all__ = [
    "ANEW",
    "BETWEEN",
    "FIRST",
    "LINEAGE",
    "OTHERS",
    "STATES",
    "Lineage",
    "Transition",
    "gap_in",
    "read_lineage",
    "trace",
]
