"""Escape 324: what is staged but not committed waits for the user's next commit. It is told at the end."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests"]
"""
STAGE = (
    "b=$(echo 'import requests' | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$b,src/e.py"
)


@pytest.mark.parametrize("before", ["", "git switch -q --orphan other; "])
def test_left_in_the_index(cage: Cage, before: str) -> None:
    cage.profile(RULE)
    cage.both("git add -A; git commit -qm rule")
    outcome = cage.run(before + STAGE).ok()
    assert "src/e.py imports requests" in outcome.stderr and "WARNED" in outcome.stderr
    assert outcome.records(kind="git.ref", verdict="warn")


def test_an_index_that_holds_what_nobody_can_read(cage: Cage) -> None:
    """The run ends as usual."""
    cage.profile(RULE)
    cage.both("git add -A; git commit -qm rule")
    outcome = cage.run(
        "echo x > src/t.txt; ln -s t.txt src/n.txt; git add -N src/t.txt; git add src/n.txt; "
        "b=$(printf t.txt | git hash-object -w --stdin); git update-index --add --cacheinfo 120000,$b,src/n.py; "
        "b=$(echo 'import os' | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$b,src/m.py; "
        "rm -f .git/objects/$(echo $b | cut -c1-2)/$(echo $b | cut -c3-)"
    )
    assert "PASSED" in outcome.stderr and "BUG" not in outcome.stderr, outcome.stderr


def test_what_was_there_or_is_others_is_not_told(cage: Cage) -> None:
    cage.profile(RULE)
    cage.both(
        "echo 'import requests' > src/old.py; git add -A; git commit -qm old; git switch -qc side; "
        "echo 'import requests' > src/side.py; git add -A; git commit -qm side; git switch -q main 2>/dev/null || git switch -q master"
    )
    outcome = cage.run(
        "echo a > src/a.txt; git add -A; git checkout -q side -- src/side.py; git reset -q --soft HEAD"
    ).ok()
    assert "one-http-client" not in outcome.stderr
