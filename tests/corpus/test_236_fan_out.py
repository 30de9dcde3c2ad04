"""Escape 236: files where git keeps folders of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

ALL = "for a in {0..9} {a..f}; do for b in {0..9} {a..f}; do "


@pytest.mark.parametrize("make", [": > $o", "mkdir -m 0 $o", "ln -s x $o", ": > x; mv x $o", ": > x; ln x $o"])
def test_objects_can_be_written_afterwards(cage: Cage, make: str) -> None:
    script = ALL + "o=.git/objects/$a$b; [ -e $o ] || { " + make + "; }; done; done 2>/dev/null; true"
    outcome = cage.run(script)
    cage.refused(outcome, cage.GIT, told=False)
    for number in range(8):
        cage.govrun.bare("git", "commit", "-q", "--allow-empty", "-m", str(number))
    assert cage.govrun.bare("git", "rev-list", "--count", "HEAD").stdout == b"9\n"
