"""The base commit's ignore rules (gitignore(5)), read as raw objects: files in the tree could have been changed."""

from __future__ import annotations

from pathlib import Path

from supervisor.git.base import Objects
from supervisor.git.layout import Repository
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.invariants.globs import REFUSED, IgnoreRules

_DEEPEST, _LONGEST = 64, 1024  # levels and bytes; what lies deeper is asked for its folders above that alone
_MOST_COST = 6_000  # of the rule files on the way to one path
_MOST_RULES = 20_000  # that are compiled in one run
_KEPT = 4_096


class BaseIgnores:
    """Answers per path; ``.gitignore`` files are read once per directory, answers about directories are kept.

    A path whose rules cannot be afforded is not ignored.
    """

    def __init__(self, repository: Repository, own: Path) -> None:
        self._commit = repository.head_commit
        folder = make_own(own, repository.common_dir, repository.object_format)
        self._objects = Objects(Git(folder))
        self._rules: dict[bytes, IgnoreRules] = {}
        self._without: set[bytes] = set()
        self._folders: dict[bytes, bool] = {}
        self._compiled = 0

    @property
    def pid(self) -> int:
        """The git that reads the objects, 0 while there is none."""
        return self._objects.pid

    def covers(self, relative: bytes, *, directory: bool = False) -> bool:
        """Ignored, and not tracked. An ignored directory covers everything in it, whatever lies deeper says."""
        parts = relative.split(b"/")
        path = b""
        for depth, name in enumerate(parts[:_DEEPEST], 1):
            path = path + b"/" + name if path else name
            if len(path) > _LONGEST:
                return False
            if self._folder(path) if directory or depth < len(parts) else self._ignored(path, directory=False):
                return not self._objects.is_tracked(self._commit, relative)
        return False

    def _folder(self, path: bytes) -> bool:
        known = self._folders.get(path)
        if known is None:
            known = self._ignored(path, directory=True)
            if len(self._folders) >= _KEPT:
                self._folders.clear()
            self._folders[path] = known
        return known

    def _ignored(self, path: bytes, *, directory: bool) -> bool:
        """The deepest rule file that speaks of ``path`` decides."""
        folder, cost = path, 0
        while folder:
            folder = folder.rpartition(b"/")[0]
            rules = self._of(folder)
            if rules is None:
                continue
            cost += rules.cost
            if cost > _MOST_COST:
                return False
            word = rules.says(path[len(folder) + 1 :] if folder else path, directory=directory)
            if word is not None:
                return word
        return False

    def _of(self, folder: bytes) -> IgnoreRules | None:
        found = self._rules.get(folder)
        if found is not None or folder in self._without:
            return found
        blob = self._objects.blob(self._commit, folder + b"/.gitignore" if folder else b".gitignore")
        if not blob:
            if len(self._without) >= _KEPT:
                self._without.clear()
            self._without.add(folder)
            return None
        found = self._rules[folder] = IgnoreRules(blob if self._compiled < _MOST_RULES else REFUSED)
        self._compiled += len(found)
        return found

    def close(self) -> None:
        self._objects.close()
