"""Escape 6: give prepared content a protected name with link(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hook_by_hard_link(cage: Cage) -> None:
    cage.escape("ln evil .git/hooks/pre-commit", cage.GIT, guarded=[".git/hooks/pre-commit"])


def test_profile_by_hard_link(cage: Cage) -> None:
    cage.profile("")
    cage.escape("ln -f evil govrun.toml", cage.POLICY, guarded=["govrun.toml"])
