"""Escape 101: rewrite the record: notes, refs, packed refs, reflogs, garbage collection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from supervisor.provenance.note import ref_of
from tests.corpus.conftest import snapshot

if TYPE_CHECKING:
    from tests.conftest import Outcome
    from tests.corpus.conftest import Cage


SCRIPTS = [
    "git notes --ref govrun add -f -m PASSED HEAD",
    "git update-ref refs/notes/govrun HEAD",
    "git update-ref refs/govrun/runs/x HEAD",
    "git update-ref refs/govrun/ledger/0123456789abcdef/01JXK3ZQ4V8M0000000000000A HEAD",
    "mkdir -p .git/refs/govrun; git rev-parse HEAD > .git/refs/govrun/x",
    "mkdir -p .git/refs/notes; git rev-parse HEAD > .git/refs/notes/govrun",
    "mkdir -p .git/refs/notes; git rev-parse HEAD > x; mv x .git/refs/notes/govrun",
    "mkdir -p g/govrun; git rev-parse HEAD > g/govrun/x; mv g/govrun .git/refs/govrun",
]


def recorded(cage: Cage) -> dict[str, list[str]]:
    """The records that are there, and the runs that the one ledger names, oldest first; no other ref is govrun's."""
    refs = cage.govrun.bare("git", "for-each-ref", "--format=%(refname)", "refs/govrun").stdout.decode().split()
    ledger, *records = sorted(refs)
    assert ledger.startswith("refs/govrun/ledger/")
    shown = cage.govrun.bare("git", "log", "--reverse", "--format=%B", ledger).stdout.decode()
    return {"records": records, "ledger": [line[4:] for line in shown.splitlines() if line.startswith("run ")]}


def holds_its_own(cage: Cage, outcome: Outcome, before: str = "") -> None:
    """Of records there is that of this run and no other; HEAD's note is what it was before, and the run's lines."""
    assert recorded(cage) == {"records": [ref_of(outcome.run)], "ledger": [outcome.run]}
    shown = cage.govrun.bare("git", "notes", "--ref=govrun", "show", "HEAD").stdout.decode()
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith(outcome.run)] == lines[-9:]
    assert "\n".join(lines[:-9]) == before
    held = cage.govrun.bare("git", "cat-file", "-p", f"{ref_of(outcome.run)}:run.json").stdout
    assert json.loads(held)["run"] == outcome.run


def escape(cage: Cage, script: str) -> Outcome:
    """As ``cage.escape``, but the run itself writes where nothing but the script would."""
    records = [cage.twin_tree / ".git/refs/notes", cage.twin_tree / ".git/refs/govrun"]
    before = snapshot(records)
    cage.bare(script)
    assert snapshot(records) != before
    outcome = cage.run(script)
    cage.refused(outcome, cage.GIT)
    return outcome


@pytest.mark.parametrize("script", SCRIPTS)
def test_forged_record(cage: Cage, script: str) -> None:
    holds_its_own(cage, escape(cage, script))


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
    holds_its_own(cage, escape(cage, script), "real")


def test_removed_packed_record(cage: Cage) -> None:
    cage.both("git notes --ref govrun add -m real HEAD; git pack-refs --all --prune")
    outcome = cage.run("git update-ref -d refs/notes/govrun; sed -i /govrun/d .git/packed-refs; rm -f .git/packed-refs")
    holds_its_own(cage, outcome, "real")


def test_collection_keeps_records(cage: Cage) -> None:
    cage.both("git notes --ref govrun add -m real HEAD")
    outcome = cage.run("git reflog expire --expire=now --all; git gc -q --prune=now").ok()
    holds_its_own(cage, outcome, "real")


def test_collection_is_not_in_the_way_of_itself(cage: Cage) -> None:
    """Git removes the folders of refs that it has packed; nothing of that is worth a word."""
    first = cage.run("echo 1 > one").ok()
    second = cage.run("git gc -q; git pack-refs --all").ok()
    assert not second.denied()
    runs = [first.run, second.run]
    assert recorded(cage) == {"records": sorted(map(ref_of, runs)), "ledger": runs}


def test_other_notes_are_free(cage: Cage) -> None:
    cage.run("git notes add -m mine HEAD").ok()
    assert cage.govrun.bare("git", "notes", "show", "HEAD").stdout == b"mine\n"
