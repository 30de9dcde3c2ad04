"""Escape 219: take away the rights that writing the record needs, so that a commit gets no note."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize("name", ["refs/notes", "refs/notes/govrun", "refs", "packed-refs", "objects", "logs"])
def test_mode(cage: Cage, name: str) -> None:
    cage.both("git notes --ref govrun add -m real HEAD; git update-ref refs/x HEAD; git pack-refs --all --no-prune")
    script = f"git commit -q --allow-empty -m x; git rev-parse HEAD; chmod 0 .git/{name}"
    outcome = cage.run(script)
    (cage.tree / ".git" / name).chmod(0o755)
    listed = cage.govrun.bare("git", "notes", "--ref", "govrun", "list").stdout
    assert outcome.stdout.strip() in listed
