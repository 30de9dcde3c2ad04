"""Escape 10: remove a protected folder and put a symbolic link in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hooks_become_a_link(cage: Cage) -> None:
    cage.both("mkdir mine; cp evil mine/pre-push; cp evil .git/hooks/pre-push")
    script = 'rm -rf .git/hooks; ln -s "$PWD/mine" .git/hooks'
    cage.escape(script, cage.GIT, guarded=[".git/hooks/pre-push"])


def test_missing_hooks_folder_as_a_link(cage: Cage) -> None:
    cage.both("rm -rf .git/hooks; mkdir mine; cp evil mine/pre-push")
    cage.escape('ln -s "$PWD/mine" .git/hooks', cage.GIT, guarded=[".git/hooks"])
