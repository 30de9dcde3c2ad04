"""Escape 233: refs/replace makes git show another note than the one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

FORGED = (
    "b=$(git ls-tree -r refs/notes/govrun | cut -d' ' -f3 | cut -f1); f=$(echo forged | git hash-object -w --stdin); "
)
WAYS = {
    "by git": "git replace $b $f",
    "by hand": "mkdir -p .git/refs/replace; echo $f > .git/refs/replace/$b",
    "renamed": "mkdir -p .git/refs/replace; echo $f > x; mv x .git/refs/replace/$b",
    "folder renamed": "mkdir r; echo $f > r/$b; rm -rf .git/refs/replace; mv r .git/refs/replace",
    "packed": "git pack-refs --all; { cat .git/packed-refs; echo $f refs/replace/$b; } > .git/packed-refs.lock; "
    "mv .git/packed-refs.lock .git/packed-refs",
    "update-ref": "git update-ref refs/replace/$b $f",
    "grafts": "git rev-parse HEAD > .git/info/grafts; git replace --convert-graft-file; git replace $b $f",
}


@pytest.mark.parametrize("name", WAYS)
def test_forged_note(cage: Cage, name: str) -> None:
    cage.both("git notes --ref govrun add -m real HEAD")
    look = ("git", "notes", "--ref", "govrun", "show", "HEAD")
    cage.bare(FORGED + WAYS[name])
    assert cage.govrun.bare(*look, cwd=cage.twin_tree).stdout == b"forged\n"
    outcome = cage.run(FORGED + WAYS[name])
    shown = cage.govrun.bare(*look).stdout
    assert shown.startswith(b"real\n") and b"forged" not in shown
    cage.refused(outcome, cage.GIT)


def test_repositories_of_the_run(cage: Cage) -> None:
    cage.run("set -e; git init -q r; cd r; for i in 1 2; do git commit -q --allow-empty -m $i; done; "
             "git replace HEAD HEAD~1; git pack-refs --all; git replace -d HEAD").ok()  # fmt: skip


def test_replacements_of_the_user_stay_and_may_go(cage: Cage) -> None:
    cage.both("git commit -q --allow-empty -m two; git replace HEAD HEAD~1")
    outcome = cage.run(
        "set -e; git gc -q; git pack-refs --all; git commit -q --allow-empty -m x; git replace -d HEAD~1"
    )
    outcome.ok()
    assert not outcome.denied()
