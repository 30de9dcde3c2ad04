"""The base commit's ignore rules (gitignore(5)), read as raw objects: files in the tree could have been changed."""

from __future__ import annotations

from pathlib import Path

from supervisor.git.base import Objects
from supervisor.git.layout import Repository
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.invariants.globs import IgnoreRules


class BaseIgnores:
    """Answers per path; ``.gitignore`` files are read once per directory, tracked-ness per path."""

    def __init__(self, repository: Repository, own: Path) -> None:
        self._commit = repository.head_commit
        folder = make_own(own, repository.common_dir, repository.object_format)
        self._objects = Objects(Git(folder))
        self._rules: dict[bytes, IgnoreRules | None] = {}

    def covers(self, relative: bytes, *, directory: bool = False) -> bool:
        """Ignored, and not tracked. An ignored directory covers everything in it, whatever lies deeper says."""
        parts = relative.split(b"/")
        for depth in range(1, len(parts) + 1):
            path = b"/".join(parts[:depth])
            if self._ignored(path, directory=directory or depth < len(parts)):
                return not self._objects.is_tracked(self._commit, relative)
        return False

    def _ignored(self, path: bytes, *, directory: bool) -> bool:
        """The deepest rule file that speaks of ``path`` decides."""
        folder = path
        while folder:
            folder = folder.rpartition(b"/")[0]
            rules = self._of(folder)
            if rules is not None:
                below = path[len(folder) + 1 :] if folder else path
                word = rules.says(below, directory=directory)
                if word is not None:
                    return word
        return False

    def _of(self, folder: bytes) -> IgnoreRules | None:
        if folder not in self._rules:
            blob = self._objects.blob(self._commit, folder + b"/.gitignore" if folder else b".gitignore")
            self._rules[folder] = IgnoreRules(blob) if blob else None
        return self._rules[folder]

    def close(self) -> None:
        self._objects.close()
