"""Escape 1: `..` out of the tree; the first thing every path check is tried with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_parent_traversal(cage: Cage) -> None:
    cage.escape("echo x >> ../home/outside/victim", cage.WRITE)


def test_parent_traversal_removes(cage: Cage) -> None:
    cage.escape("rm -f src/../../home/outside/victim; rm -rf ../home/outside/sub", cage.WRITE)
