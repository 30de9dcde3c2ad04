"""Escape 7: rename prepared content over a protected name (sandlock pull request 155; several peers miss it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hook_by_rename(cage: Cage) -> None:
    cage.escape("mv -f evil .git/hooks/pre-commit", cage.GIT, guarded=[".git/hooks/pre-commit"])


def test_hook_folder_by_rename(cage: Cage) -> None:
    """The hook's own name is never an operand: the folder that holds it arrives whole."""
    cage.both("rm -rf .git/hooks; mkdir planted; cp evil planted/pre-commit")
    cage.escape("mv planted .git/hooks", cage.GIT, guarded=[".git/hooks"])


def test_protected_file_by_rename(cage: Cage) -> None:
    cage.both("mkdir rules; echo old > rules/a")
    cage.profile('[scope]\nprotect = ["rules/**"]\n')
    cage.escape("mv -f evil rules/a", cage.PROTECT, guarded=["rules"])


def test_rename_onto_outside(cage: Cage) -> None:
    cage.escape('mv -f evil "$OUT/victim"', cage.WRITE)


def test_rename_from_outside(cage: Cage) -> None:
    cage.escape('mv -f "$OUT/victim" stolen', cage.WRITE)
