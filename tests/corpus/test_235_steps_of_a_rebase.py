"""Escape 235: a forged list of steps, which `git rebase --continue` runs outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

FORGED = (
    "h=$(git rev-parse HEAD); mkdir -p {0}; cd {0}; : > interactive; echo refs/heads/main > head-name; echo $h > onto; "
    "echo $h > orig-head; echo 1 > msgnum; echo 1 > end; : > done; echo 'exec echo x > \"$OUT/victim\"' > "
    "git-rebase-todo; "
)
GOES_ON = ("git", "rebase", "--continue")
WAYS = {
    "in place": FORGED.format(".git/rebase-merge"),
    "renamed folder": FORGED.format("r") + "cd ..; mv r .git/rebase-merge",
    "as a rebase": "git -c alias.rebases='!sh steps' rebases; git -c core.editor=true -c alias.y='!sh steps' y",
    "while git waits": "GIT_EDITOR='sh steps' git commit -q --allow-empty",
}


@pytest.mark.parametrize("name", WAYS)
def test_forged_steps(cage: Cage, name: str) -> None:
    for tree in (cage.tree, cage.twin_tree):
        (tree / "steps").write_text(FORGED.format(".git/rebase-merge"))
    cage.bare(WAYS[name])
    for home, tree in ((cage.twin_home, cage.twin_tree), (cage.home, cage.tree)):
        if tree == cage.tree:
            cage.refused(cage.run(WAYS[name]), cage.GIT)
        env = cage.govrun.env | {"OUT": str(home / "outside"), "GIT_EDITOR": ":"}
        cage.govrun.bare(*GOES_ON, cwd=tree, env=env)
    assert (cage.twin_home / "outside/victim").read_text() == "x\n"
    assert (cage.outside / "victim").read_text() != "x\n"


def test_steps_left_behind_are_told(cage: Cage) -> None:
    """What git wrote at the run's order stays, and whoever goes on is told what would run."""
    outcome = cage.run("git commit -q --allow-empty -m x; git rebase -q -x false -x 'echo from the run' HEAD~1")
    assert "echo from the run" in outcome.stderr
    assert "git rebase --abort" in outcome.stderr
