"""Escape 8: rename the folder above a protected path, then build a new one in its place (srt issue 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hooks_folder_moved_away(cage: Cage) -> None:
    script = "mv .git/hooks .git/old; mkdir .git/hooks; cp evil .git/hooks/pre-commit"
    cage.escape(script, cage.GIT, guarded=[".git/hooks/pre-commit"])


def test_protected_folder_moved_away(cage: Cage) -> None:
    cage.both("mkdir -p a/rules; echo old > a/rules/one")
    cage.profile('[scope]\nprotect = ["a/rules/**"]\n')
    script = "mv a b; mkdir -p a/rules; echo new > a/rules/one"
    cage.escape(script, cage.PROTECT, guarded=["a/rules"])
