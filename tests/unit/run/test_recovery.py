"""Runs that ended without a word: in which order they are put right, and what is tried again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from supervisor.journal.store import new_run, read_meta, write_meta
from supervisor.kernel import cgroups
from supervisor.run.nested import PROOFS
from supervisor.run.recovery import Recovered, recover_run
from supervisor.trees.frames import Frames
from supervisor.trees.looking import look
from supervisor.trees.states import STATES, StateLog, read_states


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    _, found = new_run(state)
    write_meta(found, {"tree": str(tmp_path)})
    return found


def recovered(folder: Path) -> Recovered:
    return recover_run(folder, over=True)


def test_the_end_is_put_down_only_with_the_last_state(folder: Path, tmp_path: Path) -> None:
    """Else nobody would ever keep it: a run that has an end is not looked at again."""
    file = tmp_path / "file"
    file.write_text("before")
    store, log = Frames(folder), StateLog(folder)
    log.before(os.fsencode(file), look(os.fsencode(file), store), 1)
    log.close()
    store.close()
    file.write_text("after")
    (folder / STATES).rename(folder / "aside")
    (folder / STATES).mkdir()  # cannot be read
    found = recovered(folder)
    assert found.failed and "end" not in read_meta(folder)
    assert any("states" in line for line in found.told)
    (folder / STATES).rmdir()
    (folder / "aside").rename(folder / STATES)
    found = recovered(folder)
    assert not found.failed and read_meta(folder)["end"]["status"] == "UNKNOWN"  # type: ignore[index]
    (step,) = read_states(folder).steps
    assert step.why == "crash" and os.fsencode(file) in step.changes
    assert recovered(folder).state == "ended"


@pytest.mark.needs("one who may make a cgroup")
def test_who_is_left_is_ended_before_anything_is_put_right(folder: Path) -> None:
    group = cgroups.Group(cgroups.look(()), folder.name, {})
    write_meta(folder, {"tree": "-", "cgroup": group.path})
    proofs = folder / PROOFS
    proofs.mkdir()
    child = os.fork()
    if child == 0:
        os.write(group.procs, b"0")
        while True:  # who writes where somebody cleans up
            proofs.mkdir(exist_ok=True)
            (proofs / str(time.monotonic_ns())).touch()
    try:
        while not any(proofs.iterdir()):
            time.sleep(0.01)
        found = recovered(folder)
        assert not found.failed, found.told
        assert os.waitpid(child, 0)[1] == 9
        assert not proofs.exists()
    finally:
        group.remove()
