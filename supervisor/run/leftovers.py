"""What a run leaves for git to go on with: a rebase that stopped halfway runs its remaining `exec` steps outside."""

from __future__ import annotations

import os
import re
from pathlib import Path

from supervisor.git.layout import read_small

_EXEC = re.compile(r"\s*(?:exec|x)\s+(.+)")  # git-rebase(1), --exec; the list of steps in it


def steps_left(git_dir: bytes, common_dir: bytes, since: float) -> list[str]:
    """Commands in lists of steps of this repository and its worktrees that were written at ``since`` or later."""
    common = Path(os.fsdecode(common_dir))
    found: dict[str, None] = {}
    for folder in (Path(os.fsdecode(git_dir)), common, *_worktrees(common)):
        todo = folder / "rebase-merge/git-rebase-todo"
        try:
            if todo.lstat().st_mtime < since:
                continue
        except OSError:
            continue
        for line in (read_small(todo, 1 << 20) or "").splitlines():
            if match := _EXEC.fullmatch(line):
                found[match[1]] = None
    return list(found)


def _worktrees(common: Path) -> list[Path]:
    try:
        return list((common / "worktrees").iterdir())
    except OSError:
        return []
