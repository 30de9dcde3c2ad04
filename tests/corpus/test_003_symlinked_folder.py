"""Escape 3: a folder on the way is a link; the still form of the swap reported against sandlock (issue 111)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_symlinked_folder(cage: Cage) -> None:
    cage.escape('ln -s "$OUT" d; echo x > d/victim; mkdir d/made; rm -f d/other; mv d/sub d/bus', cage.WRITE)


def test_folder_exchanged_for_a_link_between_calls(cage: Cage) -> None:
    """The working directory was fine when it was entered; the name used afterwards leads out."""
    script = 'mkdir -p work/sub; ln -s "$OUT" away; cd work; mv ../away ../work2; echo x >> ../work2/victim'
    cage.escape(script, cage.WRITE)
