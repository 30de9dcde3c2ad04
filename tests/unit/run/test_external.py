"""What the run did at a name, and what somebody else did there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.run import external
from supervisor.run.external import Touched
from supervisor.vocabulary.events import Kind, Target


def test_names_are_bounded_and_none_is_then_taken_for_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "_MOST_TOUCHED", 10)
    touched = Touched(0)
    paths = [os.fsencode(tmp_path / str(number)) for number in range(40)]
    for path in paths:
        Path(os.fsdecode(path)).touch()
    assert touched.before(Target(paths[0], Kind.FILE)) is not None
    for path in paths:
        touched.add(Target(path, Kind.FILE))
    assert touched.full and len(touched.names) < 12
    assert [touched.before(Target(path, Kind.FILE)) for path in paths] == [None] * 40


def test_a_state_is_told_once(tmp_path: Path) -> None:
    touched, path = Touched(0), os.fsencode(tmp_path / "a")
    (tmp_path / "a").touch()
    assert touched.before(Target(path, Kind.FILE)) is not None
    assert touched.before(Target(path, Kind.FILE)) is None
    (tmp_path / "a").chmod(0o600)
    assert touched.before(Target(path, Kind.FILE)) is not None
    touched.add(Target(path, Kind.FILE))
    assert touched.before(Target(path, Kind.FILE)) is None
    (tmp_path / "b").touch()
    (tmp_path / "b").rename(tmp_path / "a")
    change = touched.before(Target(path, Kind.FILE))
    assert change is not None and change.diverges
