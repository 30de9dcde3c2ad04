"""Escape 320: whatever a ref holds at the start counts as other people's, so each ref is judged when a run moves it."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

BLOB = "b=$(echo 'import requests' | git hash-object -w --stdin)"
COMMIT = f"""{BLOB}; export GIT_INDEX_FILE=$PWD/.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/e.py
c=$(git commit-tree -p HEAD -m e $(git write-tree)); unset GIT_INDEX_FILE
"""
SCRIPTS = {
    "stash": f"{BLOB}; git update-index --add --cacheinfo 100644,$b,src/e.py; git stash -q",
    "stash store": COMMIT + "git stash store -m e $c",
    **{
        name: COMMIT + f"git update-ref refs/{name} $c"
        for name in ("notes/e", "bisect/e", "rewritten/e", "heads/e", "worktree/e", "e/e")
    },
    "linked worktree": f"git worktree add -q --detach wt; cd wt; {BLOB}; git update-index --add --cacheinfo 100644,$b,src/e.py; git commit -qm e",
    "reset in a linked worktree": COMMIT + "git worktree add -q --detach wt; cd wt; git reset -q --soft $c",
}


def reachable(cage: Cage, tree: Path) -> bool:
    """Whether git keeps the forbidden blob for a ref or a head."""
    script = (
        "echo 'import requests' | git hash-object --stdin; git rev-list --objects --all; "
        "for h in .git/worktrees/*/HEAD; do [ -e $h ] && git rev-list --objects $(cat $h); done"
    )
    done = subprocess.run(["bash", "-c", script], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    blob, *rest = done.stdout.split()
    return blob in rest


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_refs_that_carry_on(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("git add -A; git commit -qm rule")
    outcome = cage.held(script, lambda tree: reachable(cage, tree))
    assert "one-http-client" in outcome.stderr
