"""Escape 5: hard-link the outside file into the tree and write the inner name (sandlock issue 179)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hard_link_out(cage: Cage) -> None:
    cage.escape('ln "$OUT/victim" inner; echo x >> inner; chmod 777 inner', cage.WRITE)


def test_write_to_a_link_made_before_the_run(cage: Cage) -> None:
    """A name in the tree shares its inode with one outside, as package stores do: the outside file must not change."""
    cage.both('ln "$OUT/victim" inner')
    before = cage.outside.joinpath("victim").read_bytes()
    outcome = cage.run("echo x >> inner; cat inner")
    assert cage.outside.joinpath("victim").read_bytes() == before, outcome.stderr
    assert cage.bare("echo x >> inner").returncode == 0
    assert cage.twin_home.joinpath("outside/victim").read_bytes() != before
