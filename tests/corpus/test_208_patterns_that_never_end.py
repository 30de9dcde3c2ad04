"""Escape 208: ignore patterns of the base commit that take for ever to match hold up every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PATTERNS = {"stars": "*a" * 14 + "*b", "folders": "**/a/" * 12 + "b", "brackets": "[a-z]*" * 14 + "1"}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(cage: Cage, name: str) -> None:
    cage.both(f"echo '{PATTERNS[name]}' > .gitignore; git add .gitignore; git commit -qm ignore")
    long, deep = "a" * 200, "a/" * 100
    outcome = cage.run(f'echo x > {long}; mkdir -p {deep}; echo x > {deep}c; echo x >> "$OUT/victim"', timeout=30)
    assert (cage.tree / long).exists()
    cage.refused(outcome, cage.WRITE)
