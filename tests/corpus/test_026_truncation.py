"""Escape 26: truncation needs no open for writing (go-landlock issue 46)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_truncate_command(cage: Cage) -> None:
    cage.escape('truncate -s 0 "$OUT/victim"; truncate -s 0 -c "$OUT/other"', cage.WRITE)


def test_truncate_call(cage: Cage) -> None:
    cage.escape(cage.script("print(sc(76, c(VICTIM), 1))"), cage.WRITE)


def test_truncating_read_only_open(cage: Cage) -> None:
    """O_RDONLY | O_TRUNC has no write access in its access mode and empties the file all the same."""
    cage.escape(cage.script("print(attempt(os.open, VICTIM, os.O_RDONLY | os.O_TRUNC))"), cage.WRITE)


def test_creating_read_only_open(cage: Cage) -> None:
    cage.escape(cage.script("print(attempt(os.open, OUT + '/new', os.O_RDONLY | os.O_CREAT, 0o644))"), cage.WRITE)
