"""Escapes 95, 101: reach the supervisor's records, sockets and state (leash GHSA-9x85-c42x-79cx)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_state_is_hidden(cage: Cage) -> None:
    state = cage.govrun.state
    cage.run("true").ok()
    script = f"ls {state}; cat {state}/runs/*/journal.jsonl; find {state}; head -c 10 {state}/runs/*/meta.json"
    assert cage.bare(script).stdout
    outcome = cage.run(script)
    assert outcome.stdout.strip() in (b"", os.fsencode(state)), outcome.stdout


def test_state_is_out_of_reach(cage: Cage) -> None:
    state = cage.govrun.state
    first = cage.run("true").ok()
    journal = first.run_dir / "journal.jsonl" if first.run_dir else state
    before = journal.read_bytes()
    script = (
        f"echo x >> {journal}; rm -rf {state}; mv {state} {state}.old; chmod 777 {state}; mkdir -p "
        f"{state}/runs/x; truncate -s 0 {journal}"
    )
    outcome = cage.run(script)
    assert journal.read_bytes() == before
    assert state.stat().st_mode & 0o777 == 0o700
    assert not (state / "runs/x").exists()
    cage.refused(outcome, (cage.STATE, cage.WRITE))


def test_parent_of_state_is_out_of_reach(cage: Cage) -> None:
    parent = cage.govrun.state.parent
    outcome = cage.run(f"mv {parent} {parent}.old; rm -rf {parent}")
    assert cage.govrun.state.is_dir()
    assert outcome.run_dir is not None
    cage.refused(outcome, (cage.STATE, cage.WRITE))
