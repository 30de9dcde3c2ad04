"""Escape 49: the run raises its own limits; that is its right, and changes no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_own_limits(cage: Cage) -> None:
    cage.escape('ulimit -S -n hard; ulimit -f unlimited; echo x >> "$OUT/victim"', cage.WRITE)
