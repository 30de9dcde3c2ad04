"""Escape 109: `rm -rf .git` takes the history and every record with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_git_removed(cage: Cage) -> None:
    outcome = cage.run("rm -rf .git")
    assert outcome.code != 0
    assert cage.govrun.bare("git", "fsck", "--full").returncode == 0
    assert cage.govrun.bare("git", "log", "--oneline").stdout.endswith(b" base\n")
    assert (cage.tree / ".git/config").exists()
    cage.refused(outcome, cage.GIT)


def test_git_removed_by_a_program(cage: Cage) -> None:
    outcome = cage.run(cage.script("import shutil; shutil.rmtree('.git', ignore_errors=True)"))
    assert cage.govrun.bare("git", "fsck", "--full").returncode == 0
    assert cage.govrun.bare("git", "log", "--oneline").stdout.endswith(b" base\n")
    cage.refused(outcome, cage.GIT)


def test_program_named_git(cage: Cage) -> None:
    """What git may do, a program that merely calls itself git may not."""
    cage.both("cp /bin/rm git")
    outcome = cage.run("PATH=$PWD:$PATH; git -rf .git/objects .git/refs")
    assert cage.govrun.bare("git", "log", "--oneline").stdout.endswith(b" base\n")
    cage.refused(outcome, cage.GIT)


def test_git_of_its_own_is_free(cage: Cage) -> None:
    cage.run("git init -q sub && cd sub && git commit -q --allow-empty -m x && cd .. && rm -rf sub").ok()
    assert not (cage.tree / "sub").exists()
