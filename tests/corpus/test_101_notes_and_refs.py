"""Escape 101: rewrite the record: notes, refs, packed refs, reflogs, garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


SCRIPTS = [
    "git notes --ref govrun add -f -m PASSED HEAD",
    "git update-ref refs/notes/govrun HEAD",
    "git update-ref refs/govrun/runs/x HEAD",
    "mkdir -p .git/refs/govrun; git rev-parse HEAD > .git/refs/govrun/x",
    "mkdir -p .git/refs/notes; git rev-parse HEAD > .git/refs/notes/govrun",
    "mkdir -p .git/refs/notes; git rev-parse HEAD > x; mv x .git/refs/notes/govrun",
    "mkdir -p g/govrun; git rev-parse HEAD > g/govrun/x; mv g/govrun .git/refs/govrun",
]
RECORDS = [".git/refs/notes/govrun", ".git/refs/govrun"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_forged_record(cage: Cage, script: str) -> None:
    cage.escape(script, cage.GIT, guarded=RECORDS)


@pytest.mark.parametrize(
    "script",
    [
        "git notes --ref govrun remove HEAD",
        "git update-ref -d refs/notes/govrun",
        "rm -f .git/refs/notes/govrun",
        "rm -rf .git/refs/notes",
        "mv .git/refs/notes .git/refs/n",
    ],
)
def test_removed_record(cage: Cage, script: str) -> None:
    cage.both("git notes --ref govrun add -m real HEAD")
    cage.escape(script, cage.GIT, guarded=[".git/refs/notes/govrun"])


def test_removed_packed_record(cage: Cage) -> None:
    cage.both("git notes --ref govrun add -m real HEAD; git pack-refs --all --prune")
    cage.run("git update-ref -d refs/notes/govrun; sed -i /govrun/d .git/packed-refs; rm -f .git/packed-refs")
    shown = cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD")
    assert shown.stdout == b"real\n"


def test_collection_keeps_records(cage: Cage) -> None:
    cage.both("git notes --ref govrun add -m real HEAD")
    cage.run("git reflog expire --expire=now --all; git gc -q --prune=now").ok()
    shown = cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD")
    assert shown.stdout == b"real\n"


def test_other_notes_are_free(cage: Cage) -> None:
    cage.run("git notes add -m mine HEAD").ok()
    assert cage.govrun.bare("git", "notes", "show", "HEAD").stdout == b"mine\n"
