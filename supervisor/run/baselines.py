"""The trees of revisions that rules name as their ``baseline``: what a version of a file there says is what such a rule
tolerates, whatever the tree held when the run began."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisor.git.base import GITLINK, SYMLINK, TREE, Objects
from supervisor.git.layout import Repository
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.git.view import View
from supervisor.invariants.policy import Baselines
from supervisor.profile.model import Profile
from supervisor.surfaces.reading import MOST
from supervisor.vocabulary.content import INSPECTOR_FAILED, NOTHING_FOUND, Findings
from supervisor.vocabulary.errors import GovrunError, UsageError

_PATIENCE = 10.0  # seconds for one object of git

Inspect = Callable[[str, bytes, bytes], Findings]


def named(profile: Profile) -> dict[str, str]:
    """The revisions that rules name, with the place of the first that does."""
    found: dict[str, str] = {}
    for rule in profile.rules:
        if rule.revision:
            found.setdefault(rule.revision, f"{rule.source}: {rule.id}")
    return found


def resolved(profile: Profile, repository: Repository | None, view: View | None = None) -> Baselines:
    """What they mean now. ``view``: where there is one already. Errors: ``UsageError`` for one that means no commit."""
    wanted = named(profile)
    if not wanted:
        return Baselines()
    if repository is None:
        raise _unknown(*next(iter(wanted.items())), "this is no git repository")
    with tempfile.TemporaryDirectory(prefix="govrun-baseline-") as folder:
        view = view or View(Path(folder) / "view", repository)
        commits = {}
        for revision, source in wanted.items():
            try:
                commits[revision] = view.commit(revision)
            except UsageError as error:
                raise _unknown(revision, source, error.why) from error
    return Baselines(os.fsencode(repository.common_dir), commits)


def _unknown(revision: str, source: str, why: str) -> UsageError:
    return UsageError(
        f"cannot find the commit {revision[:80]!r} that is a baseline",
        f"{source}: {why}",
        'fetch it, or name a commit that is there; "freeze" takes the tree as it is found',
    )


def objects_of(baselines: Baselines, own: Path) -> Objects:
    """``own``: a git directory of ours, which is made. Errors: ``GovrunError``."""
    width = len(next(iter(baselines.commits.values())))
    folder = make_own(own, Path(os.fsdecode(baselines.common)), "sha1" if width == 40 else "sha256")
    return Objects(Git(folder), timeout=_PATIENCE)


@contextmanager
def reading(baselines: Baselines) -> Iterator[Objects]:
    """Their objects, for a moment. Errors: ``GovrunError``."""
    with tempfile.TemporaryDirectory(prefix="govrun-baseline-") as folder:
        objects = objects_of(baselines, Path(folder) / "git")
        try:
            yield objects
        finally:
            objects.close()


class Bases:
    """What the versions of files in those trees say, asked for only when a rule objects. ``inside``: the tree, with a
    slash; other paths are absolute. What cannot be read there excuses nothing."""

    def __init__(self, baselines: Baselines, objects: Objects, inside: bytes, inspect: Inspect) -> None:
        self._commits = dict(baselines.commits)
        self._objects = objects
        self._inside = inside
        self._inspect = inspect
        self._known: dict[tuple[str, bytes], Findings] = {}
        self._said: dict[bytes, Findings] = {}  # let be meanwhile
        self._came: dict[bytes, frozenset[bytes]] = {}  # the paths that what moved to one was at in the trees

    @property
    def pid(self) -> int:
        """The git that reads the objects, 0 while there is none."""
        return self._objects.pid

    def of(self, path: bytes, kind: str, source: bytes = b"") -> tuple[tuple[str, Findings], ...]:
        """By revision; with what is said at ``source``, where the file is going to move from."""
        paths = self._paths(path) | (self._paths(source) if source else frozenset())
        let_be = self._said.get(path, NOTHING_FOUND).joined(self._said.get(source, NOTHING_FOUND))
        found = []
        for name in self._commits:
            said = let_be
            for each in sorted(paths):
                said = said.joined(self._at(name, each, kind))
            found.append((name, said))
        return tuple(found)

    def said(self, path: bytes, found: Findings) -> None:
        """It was let be, and has been told: once is enough."""
        self._said[path] = self._said.get(path, NOTHING_FOUND).joined(found)

    def moved(self, source: bytes, to: bytes) -> None:
        """A file takes along what is tolerated in it, which then is no longer tolerated where it was."""
        self._came[to] = self._paths(to) | self._paths(source)
        self._came[source] = frozenset()
        if (said := self._said.pop(source, None)) is not None:
            self.said(to, said)

    def exchanged(self, one: bytes, other: bytes) -> None:
        """Two files changed places."""
        self._came[one], self._came[other] = self._paths(other), self._paths(one)
        first, second = self._said.pop(one, None), self._said.pop(other, None)
        if first is not None:
            self._said[other] = first
        if second is not None:
            self._said[one] = second

    def _paths(self, path: bytes) -> frozenset[bytes]:
        return self._came.get(path, frozenset((path,)))

    def _at(self, revision: str, path: bytes, kind: str) -> Findings:
        key = (revision, path)
        if key not in self._known:
            found = self._read(self._commits[revision], path, kind)
            if found is None:
                return NOTHING_FOUND
            self._known[key] = found
        return self._known[key]

    def _read(self, commit: str, path: bytes, kind: str) -> Findings | None:
        """None: it could not be found out this time."""
        try:
            entry = self._objects.entry(commit, path.removeprefix(self._inside))
            if entry is None or entry.mode in (TREE, GITLINK, SYMLINK):
                return NOTHING_FOUND
            blob = self._objects.get(entry.id, limit=MOST)
        except GovrunError:
            return None
        found = self._inspect(kind, path, blob[2]) if blob is not None else NOTHING_FOUND
        return None if found.refusal.startswith(INSPECTOR_FAILED) else found

    def close(self) -> None:
        self._objects.close()
