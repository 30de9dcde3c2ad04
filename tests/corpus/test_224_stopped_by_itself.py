"""Escape 224: the run stops itself where nobody sits at a terminal, and its guard with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_the_time_out_ends_it(cage: Cage) -> None:
    cage.profile('[scope]\ntimeout = "2s"\n')
    outcome = cage.run("kill -STOP $$", timeout=20)
    assert outcome.code == 124, outcome.stderr


def test_it_goes_on_when_it_is_continued(cage: Cage) -> None:
    outcome = cage.run("(sleep 1; kill -CONT $$) & kill -STOP $$; echo through", timeout=20)
    assert outcome.code == 0, outcome.stderr
    assert b"through" in outcome.stdout
