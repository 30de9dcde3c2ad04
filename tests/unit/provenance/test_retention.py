"""What the state folder keeps, and for how long: contents go, journals stay, and what went is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from supervisor.git.history import LAST, Change, History, folder_of
from supervisor.journal.ids import new_ulid
from supervisor.provenance import retention
from supervisor.provenance.retention import prune, prune_daily
from supervisor.vocabulary.versions import Entry

DAY = 86_400.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path


def run(state: Path, age: float, size: int, *, ended: bool = True, tree: str = "/nowhere", **more: object) -> Path:
    folder = state / "runs" / new_ulid()
    (folder / "large").mkdir(parents=True)
    (folder / "accepted.frames").write_bytes(b"x" * size)
    (folder / "large/1").write_bytes(b"y" * 10)
    for name in ("states.jsonl", "accepted.jsonl", "journal.jsonl"):
        (folder / name).write_text("")
    meta: dict[str, object] = {"run": folder.name, "tree": tree, **more}
    meta |= {"end": {"status": "PASSED"}} if ended else {}
    (folder / "meta.json").write_text(json.dumps(meta))
    os.utime(folder / "meta.json", (age, age))
    return folder


def left(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.fixture(autouse=True)
def newest(state: Path) -> None:
    """The newest run of a tree keeps what it has; the tests are about those before it."""
    folder = state / "runs" / ("7" + "Z" * 25)
    folder.mkdir()
    (folder / "states.jsonl").write_text("{}")
    (folder / "meta.json").write_text(json.dumps({"tree": "/nowhere", "end": {}}))


def test_the_newest_run_of_a_tree_keeps_all_of_it(state: Path) -> None:
    alone = run(state, 1 * DAY, 5000, tree="/elsewhere")
    assert prune(state, 200 * DAY, most=10) == []
    assert "accepted.frames" in left(alone)


def test_what_is_owed_to_a_repository_is_kept(state: Path) -> None:
    owing = run(state, 1 * DAY, 50, git={"common_dir": "/r"}, coverage={})
    assert prune(state, 200 * DAY) == []
    (owing / "notes.jsonl").write_text('{"end":"PASSED","ref":"refs/govrun/runs/x"}\n')
    assert prune(state, 200 * DAY) == [owing.name]


def test_nobody_waits_long_for_it(state: Path) -> None:
    runs = [run(state, 1 * DAY, 50) for _ in range(3)]
    assert prune(state, 200 * DAY, until=0.0) == []
    assert all("accepted.frames" in left(each) for each in runs)


def test_what_is_too_old_goes_and_is_said(state: Path) -> None:
    old, young, unfinished = run(state, 1 * DAY, 50), run(state, 90 * DAY, 50), run(state, 0, 50, ended=False)
    assert prune(state, 91.5 * DAY) == [old.name]
    assert left(old) == {"journal.jsonl", "meta.json"}
    assert json.loads((old / "meta.json").read_text())["dropped"]["bytes"] == 60
    assert "accepted.frames" in left(young)
    assert "accepted.frames" in left(unfinished)
    assert prune(state, 91.5 * DAY) == []


def test_the_oldest_go_first_where_there_is_too_much(state: Path) -> None:
    one, two, three = sorted(run(state, 10 * DAY, 1000) for _ in range(3))  # ids of one moment are in no order
    assert prune(state, 10 * DAY, most=2500) == [one.name]
    assert prune(state, 10 * DAY, most=1100) == [two.name]
    assert "accepted.frames" in left(three)


def test_states_of_what_was_dropped_may_go_and_others_stay(state: Path) -> None:
    tree = str(state / "tree")
    old, _ = sorted(run(state, 0, 50, tree=tree) for _ in range(2))
    place = folder_of(state, tree)
    place.mkdir(parents=True)
    history = History(place, None)
    content = {"ce013625030ba8dba906f756967f9e9ca394464a": b"hello\n"}
    entries = {b"a": Entry("100644", next(iter(content)))}
    history.write("", [Change(entries, "one")], lambda blob: content[blob], old.name)
    ref = f"refs/govrun/runs/{old.name}"
    assert history.commit_of(ref)
    prune(state, 100 * DAY)
    assert not history.commit_of(ref)
    assert history.commit_of(LAST)


def test_states_that_have_grown_too_large_begin_anew(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(state, 0, 50, tree="/tree")
    place = folder_of(state, "/tree")
    place.mkdir(parents=True)
    History(place, None)
    monkeypatch.setattr(retention, "_TREE_BYTES", 10)
    prune(state, 0)
    assert not (place / "states.git").exists()
    assert json.loads((told / "meta.json").read_text())["states_dropped"]["bytes"] > 10


def test_once_a_day_and_never_an_error(state: Path) -> None:
    old = run(state, 1 * DAY, 50)
    assert prune_daily(state) == [old.name]
    another = run(state, 1 * DAY, 50)
    assert prune_daily(state) == []
    os.utime(state / "retention", (1, 1))
    assert prune_daily(state) == [another.name]
    assert prune_daily(state / "runs" / old.name / "meta.json") == []
