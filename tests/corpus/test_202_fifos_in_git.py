"""Escape 202: a FIFO where the supervisor reads: whoever opens it waits, and with the supervisor everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

SCRIPTS = {
    "loop": "mkdir -p .git/x/refs/notes; echo >.git/x/refs/notes/govrun; mkfifo .git/x/packed-refs;"
    " rm -f .git/x/refs/notes/govrun",
    "end": "mkfifo .git/packed-refs",
    "link": "mkfifo f; ln -s ../f .git/packed-refs",
    "publisher": "mkdir -p .git/objects/de; mkfifo .git/objects/de/adbeefdeadbeefdeadbeefdeadbeefdeadbeef;"
    " echo deadbeefdeadbeefdeadbeefdeadbeefdeadbeef > x; mkdir .git/refs/x; mv x .git/refs/x/y",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_fifo(cage: Cage, name: str) -> None:
    outcome = cage.run(
        SCRIPTS[name] + '; git commit -q --allow-empty -m x; echo x >> "$OUT/victim"; echo end', timeout=30
    )
    assert outcome.stdout == b"end\n"
    cage.refused(outcome, cage.WRITE)  # it still supervises
    assert not any(path.is_fifo() for path in (cage.tree / ".git").rglob("*"))
    notes = cage.govrun.bare("git", "notes", "--ref", "govrun", "list")
    assert len(notes.stdout.splitlines()) == 1


def test_fifo_before_the_start(cage: Cage) -> None:
    cage.both("mkfifo .git/packed-refs")
    outcome = cage.run('echo x >> "$OUT/victim"; echo end', timeout=30)
    assert (cage.outside / "victim").read_text() == "original victim\n"
    assert outcome.code in (0, 125)
