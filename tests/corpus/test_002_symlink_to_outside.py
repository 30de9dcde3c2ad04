"""Escape 2: a symbolic link in the tree names a file outside; the write follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_write_through_symlink(cage: Cage) -> None:
    cage.escape('ln -s "$OUT/victim" inner; echo x >> inner', cage.WRITE)


def test_create_through_dangling_symlink(cage: Cage) -> None:
    cage.escape('ln -s "$OUT/new" inner; echo x > inner', cage.WRITE)


def test_chain_of_symlinks(cage: Cage) -> None:
    cage.escape('ln -s "$OUT" a; ln -s a b; ln -s b/victim c; echo x >> c', cage.WRITE)
