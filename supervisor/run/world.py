"""Slow questions about the repository that the loop may ask: ignore rules of the base commit, configuration deltas.

Started lazily, bounded in time; an answer that cannot be had is the stricter one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.git import config as git_config
from supervisor.git.layout import Repository
from supervisor.surfaces.renames import ConfigDelta
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import ConfigChange

if TYPE_CHECKING:
    from supervisor.git.ignores import BaseIgnores


class Oracles:
    """``repository`` None: nothing is ignored. ``own`` is govrun's git directory in the state folder."""

    def __init__(self, repository: Repository | None, own: Path) -> None:
        self.repository = repository
        self.own = own
        self._ignores: BaseIgnores | None = None
        self._failed = False

    def pids(self) -> Iterable[int]:
        """Processes that were started for this."""
        pid = self._ignores.pid if self._ignores is not None else 0
        return (pid,) if pid else ()

    def ignored(self, relative: bytes, directory: bool) -> bool:
        """Whether the path is untracked at the base commit and its ignore rules cover it."""
        if self.repository is None or not self.repository.head_commit or self._failed:
            return False
        from supervisor.git.ignores import BaseIgnores

        try:
            if self._ignores is None:
                self._ignores = BaseIgnores(self.repository, self.own)
            return self._ignores.covers(relative, directory=directory)
        except (GovrunError, OSError, ValueError):
            self._failed = True
            return False

    def config_delta(self, old: bytes, new: bytes, module: bool) -> ConfigDelta:
        """Compare two configuration files (``module``: of a submodule). ValueError when git cannot read one."""
        try:
            changes = git_config.changes(git_config.entries(old), git_config.entries(new))
        except GovrunError as error:
            raise ValueError(error.what) from error
        found = tuple(ConfigChange(c.key, c.old or None, c.new or None) for c in changes)
        return ConfigDelta(found, tuple(git_config.executable_keys(changes, module=module)))

    def close(self) -> None:
        """End what was started."""
        if self._ignores is not None:
            self._ignores.close()


def git_tools() -> tuple[bytes, ...]:
    """Prefixes of the programs that count as git: the git that is installed where only root can write."""
    found = []
    for name in (b"/usr/bin/git", b"/usr/local/bin/git", b"/bin/git"):
        real = os.path.realpath(name)
        if os.access(real, os.X_OK):
            found.append(real)
    for folder in (b"/usr/lib/git-core", b"/usr/libexec/git-core", b"/usr/local/libexec/git-core"):
        if os.path.isdir(folder):
            found.append(folder + b"/")  # noqa: PERF401 - reads as the loop above
    return tuple(dict.fromkeys(found))
