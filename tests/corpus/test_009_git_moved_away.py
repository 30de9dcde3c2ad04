"""Escape 9: rename the whole of .git away and put another in its place; every peer that was tried let it through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_git_moved_away(cage: Cage) -> None:
    script = "mv .git .g; mkdir -p .git/hooks; cp evil .git/hooks/pre-commit; cp .g/HEAD .git/HEAD"
    cage.escape(script, cage.GIT, guarded=[".git/HEAD", ".git/config", ".git/hooks/pre-commit", ".g"])


def test_git_exchanged(cage: Cage) -> None:
    script = cage.script("os.mkdir('.g'); print(sc(316, AT, c('.g'), AT, c('.git'), 2))")
    cage.escape(script, cage.GIT, guarded=[".git/HEAD", ".git/config"])
