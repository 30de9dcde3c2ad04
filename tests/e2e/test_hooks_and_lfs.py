"""Hooks of a team in the tree (husky), and Git LFS: work as the user set them up, and are not the run's to set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair

# What `husky` makes at version 9: the hooks that git runs are stubs, which run the script beside their folder.
HUSKY = r"""
mkdir -p .husky/_; echo '*' > .husky/_/.gitignore
printf '%s\n' '#!/bin/sh' '. "${0%/*}/h"' > .husky/_/pre-commit; chmod +x .husky/_/pre-commit
echo 'sh -e "${0%/*}/../${0##*/}"' > .husky/_/h
printf '%s\n' 'git diff --cached --name-only >> hook.log' '! grep -q bad src/app.py' > .husky/pre-commit
echo hook.log > .gitignore; git add -A; git commit -qm husky; git config core.hooksPath .husky/_
"""


def test_hooks_of_husky_run_governed(pair: Pair) -> None:
    pair.both(HUSKY)
    pair.same(
        "echo 'x = 1' >> src/app.py; git commit -qam good; cat hook.log; echo bad >> src/app.py;"
        "git commit -qam bad || echo refused; git checkout -q .; git log --format=%s"
    )


@pytest.mark.parametrize("words", ["git config core.hooksPath elsewhere", "git config core.hooksPath .husky/_"])
def test_setting_hooks_up_is_the_users(pair: Pair, words: str) -> None:
    pair.both(HUSKY + "git config --unset core.hooksPath")
    outcome = pair.govrun("bash", "-c", words)
    assert outcome.denied("git.internals") and "ask the user to set it" in outcome.stderr
    assert b"hooksPath" not in (pair.tree / ".git/config").read_bytes()


@pytest.mark.needs("git-lfs")
def test_lfs(pair: Pair) -> None:
    pair.both("git lfs install --local > /dev/null; git lfs track '*.bin' > /dev/null; git add -A; git commit -qm lfs")
    script = (
        "head -c 100000 /dev/zero > a.bin; git add a.bin; git commit -qm large; git lfs ls-files -n; rm a.bin;"
        "git checkout -q a.bin; stat -c %s a.bin; git cat-file -p HEAD:a.bin | head -n 1; git switch -qc topic;"
        "head -c 9 /dev/zero > a.bin; git commit -qam small; git switch -q main; stat -c %s a.bin; git lfs fsck"
    )
    assert pair.same(script).stdout.splitlines()[1] == b"100000"


@pytest.mark.needs("git-lfs")
def test_setting_lfs_up_is_the_users(pair: Pair) -> None:
    """It writes hooks and filters, which git runs outside any run."""
    outcome = pair.govrun("bash", "-c", "git lfs install --local")
    assert outcome.denied("git.internals"), outcome.stderr
    assert not (pair.tree / ".git/hooks/pre-push").exists()
    # In an order of its own each time: `required` runs nothing, and may come first.
    config = (pair.tree / ".git/config").read_text()
    assert not [word for word in ("clean", "smudge", "process") if word in config]
