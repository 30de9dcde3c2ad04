"""What is counted over an action, a run, a day and a sliding span; and what an agent that goes too far meets."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.guardrail import COUNTERS, MANY, Increment, Usage, compile_guardrails, judge
from supervisor.profile.model import Rule
from supervisor.run.windowfile import path_of
from supervisor.run.windows import Windows, moves
from supervisor.vocabulary.content import NOTHING_FOUND, Statement
from supervisor.vocabulary.errors import HostError, StopRun
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind, NetEvent, Target
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Match
from tests.property.world import ACTOR, TREE, target

DAY = 86_400.0
EXEC = ExecEvent(ACTOR, target(b"/usr/bin/make"), b"make", (b"make",), b"/w/tree", "call")


def governed(found: Target) -> bytes | None:
    relative = found.path.removeprefix(TREE + b"/")
    return None if relative == found.path or relative.startswith(b".git/") or found.ignored else relative


def windows(*tables: dict[str, Any], now: float = 0.0, wall: float = 0.0) -> Windows:
    made = []
    for number, table in enumerate(tables):
        own = {key: table[key] for key in table if key in Rule._fields}
        fields = {key: value for key, value in table.items() if key not in own}
        made.append(Rule("guardrail", f"g{number}", fields=fields, source="govrun.toml:1", **own))
    found = compile_guardrails(made, {each.id: Invariant(each.id, "guardrail", "pause") for each in made})
    return Windows(found, governed, now, wall)


def attempt(found: Windows, event: Any, now: float = 0.0, **facts: Any) -> list[Match]:
    """One act as the loop takes it: counted if nothing speaks against it."""
    increment = found.before(event, now, **facts)
    usage = found.snapshot(now, event.actor.action)
    relative = governed(event.target) if isinstance(event, FsEvent) else None
    said = list(judge(found.rules, usage, event, relative, increment, remaining=lambda folder: 1))
    if said:
        found.refused(said, increment, now)
    else:
        found.commit(increment, now)
    return said


def used(found: Windows, name: str, now: float = 0.0, rule: str = "g0", action: int = 1) -> int:
    return found.snapshot(now, action)[rule].counts[COUNTERS.index(name)]


def write(path: bytes, kind: Kind = Kind.FILE, action: int = 1, **facts: Any) -> FsEvent:
    return FsEvent(ACTOR._replace(action=action), FsOp.WRITE, "openat", target(path, kind, **facts))


def create(path: bytes, makes: Kind = Kind.FILE) -> FsEvent:
    return FsEvent(ACTOR, FsOp.CREATE, "openat", target(path, Kind.ABSENT), makes=makes)


def unlink(path: bytes, kind: Kind = Kind.FILE) -> FsEvent:
    return FsEvent(ACTOR, FsOp.UNLINK, "unlink", target(path, kind))


def rename(old: bytes, new: bytes, there: Kind = Kind.ABSENT, kind: Kind = Kind.FILE, **facts: Any) -> FsEvent:
    return FsEvent(ACTOR, FsOp.RENAME, "rename", target(old, kind), target(new, there), **facts)


FILES = {"per": "run", "max": {"files": 1000, "deletes": 1000}}


# ------------------------------------------------------------------------------------------------- what is counted


def test_an_agent_that_deletes_everything_is_refused_at_the_limit() -> None:
    found = windows({"per": "10m", "max": {"deletes": 10}})
    refused = [number for number in range(200) if attempt(found, unlink(b"src/%d.py" % number), number / 10)]
    assert refused == list(range(10, 200))
    assert used(found, "deletes", 20.0) == 10


def test_a_file_counts_once() -> None:
    found = windows({"per": "run", "max": {"files": 2}})
    for path in (b"a", b"b", b"a", b"b"):
        assert attempt(found, write(path)) == []
    assert len(attempt(found, write(b"c"))) == 1
    assert attempt(found, write(b"a")) == []


def test_only_governed_and_named_paths_count() -> None:
    found = windows({"per": "run", "max": {"files": 9}, "paths": ("src/**",), "exempt": ("src/gen/**",)})
    for path in (b"src/a", b"src/gen/b", b"docs/c", b"/tmp/d", b".git/index"):
        attempt(found, write(path))
    attempt(found, write(b"src/x", ignored=True))
    assert used(found, "files") == 1


def test_an_editor_that_saves_by_rename_changes_one_file() -> None:
    found = windows(FILES)
    for number in range(5):
        attempt(found, create(b"a.py.tmp%d" % number))
        attempt(found, rename(b"a.py.tmp%d" % number, b"a.py", Kind.FILE))
    assert (used(found, "files"), used(found, "deletes")) == (1, 0)


def test_what_came_and_went_is_nothing() -> None:
    found = windows(FILES)
    attempt(found, create(b"scratch"))
    assert used(found, "files") == 1
    attempt(found, unlink(b"scratch"))
    assert (used(found, "files"), used(found, "deletes")) == (0, 0)


def test_what_was_there_before_does_not_become_scratch_by_moving() -> None:
    found = windows(FILES)
    attempt(found, rename(b"a", b"x"))
    assert used(found, "files") == 1
    attempt(found, unlink(b"x"))
    assert used(found, "deletes") == 1
    attempt(found, create(b"t"))
    attempt(found, rename(b"t", b"b", Kind.FILE))  # over a file that was there
    attempt(found, unlink(b"b"))
    attempt(found, create(b"s"))
    attempt(found, rename(b"s", b"c", Kind.FILE, exchange=True))
    attempt(found, unlink(b"s"))  # which now is what c was
    attempt(found, unlink(b"c"))
    assert used(found, "deletes") >= 3


def test_files_moved_over_one_name_count_each() -> None:
    found = windows({"per": "run", "max": {"files": 3}})
    refused = [number for number in range(9) if attempt(found, rename(b"%d" % number, b"sink", Kind.FILE))]
    assert refused == list(range(2, 9))


@pytest.mark.parametrize("event", [rename(b"a", b"/tmp/a"), unlink(b"a")])
def test_out_of_the_tree_is_gone(event: FsEvent) -> None:
    found = windows(FILES)
    attempt(found, event)
    assert (used(found, "files"), used(found, "deletes")) == (1, 1)


def test_folders() -> None:
    found = windows(FILES)
    attempt(found, create(b"d", makes=Kind.DIR))
    attempt(found, unlink(b"d", Kind.DIR))
    assert used(found, "files") == 0
    attempt(found, rename(b"d", b"e", kind=Kind.DIR, beneath=(b"1", b"2", b".git/x")))
    assert used(found, "files") == 2
    attempt(found, rename(b"f", b"/tmp/f", kind=Kind.DIR, beneath=(b"1", b"2", b"3")))
    assert used(found, "deletes") == 3
    assert len(attempt(found, rename(b"g", b"h", kind=Kind.DIR, beneath=None))) == 1


def test_a_folder_too_large_to_list_that_moved_all_the_same_is_not_forgotten() -> None:
    found = windows({"per": "run", "max": {"files": 10}, "then": "warn"})
    event = rename(b"g", b"h", kind=Kind.DIR, beneath=None)
    found.commit(found.before(event, 0.0), 0.0)
    assert 10 < used(found, "files") < MANY


def test_attributes_and_links() -> None:
    found = windows(FILES)
    meta = FsEvent(ACTOR, FsOp.META, "utimensat", target(b"a"))
    attempt(found, meta)
    assert used(found, "files") == 0
    attempt(found, meta._replace(call="fchmodat"))
    attempt(found, FsEvent(ACTOR, FsOp.LINK, "link", target(b"a"), target(b"b", Kind.ABSENT)))
    assert used(found, "files") == 2


def test_programs_connections_statements() -> None:
    found = windows({"per": "run", "max": dict.fromkeys(("execs", "connects", "queries", "fails"), 5)})
    connect = NetEvent(ACTOR, "connect", "inet", "tcp", "192.0.2.1", 443)
    for event in (
        connect,
        connect._replace(own=True),
        connect._replace(op="listen"),
        NetEvent(ACTOR, "connect", "unix", "stream"),
    ):
        attempt(found, event)
    attempt(found, EXEC._replace(statements=(Statement(("read",)), Statement(("read",)))))
    found.commit(found.ended(EXEC, failed=True), 0.0)
    found.commit(found.ended(EXEC, failed=False), 0.0)
    assert [used(found, name) for name in ("execs", "connects", "queries", "fails")] == [1, 1, 2, 1]


def test_content_is_counted_unless_it_is_other_peoples() -> None:
    found = windows({"per": "run", "max": {"bytes": 100, "deleted_lines": 5}})
    event = ContentEvent(ACTOR, target(b"a"), NOTHING_FOUND)
    increment = found.content(event, 60, 3)
    assert increment.after
    assert not list(judge(found.rules, found.snapshot(0.0, 1), event, b"a", increment))
    found.commit(increment, 0.0)
    found.commit(found.content(event._replace(theirs=True), 1000, 1000), 0.0)
    assert (used(found, "bytes"), used(found, "deleted_lines")) == (60, 3)
    assert list(judge(found.rules, found.snapshot(0.0, 1), event, b"a", found.content(event, 41, 0)))


def test_git_that_goes_between_commits_counts_once() -> None:
    found = windows({"per": "run", "max": {"files": 3, "commits": 2}})
    for pid in (50, 51):
        for number in range(100):
            event = write(b"%d" % number)
            event = event._replace(actor=ACTOR._replace(pid=pid))
            assert attempt(found, event, moving=True) == []
    assert (used(found, "files"), used(found, "commits")) == (0, 2)
    third = write(b"x")._replace(actor=ACTOR._replace(pid=52))
    assert len(attempt(found, third, moving=True)) == 1
    assert len(attempt(found, third, moving=True)) == 1


def test_a_commit_is_the_branch_that_it_sets() -> None:
    found = windows({"per": "run", "max": {"commits": 1, "execs": 9}})
    ref = rename(b".git/refs/heads/x.lock", b".git/refs/heads/x", Kind.FILE)
    assert attempt(found, write(b".git/index.lock"), moving=True) == []
    assert attempt(found, EXEC, moving=True) == []
    assert (used(found, "commits"), used(found, "execs")) == (0, 1)
    assert attempt(found, ref, branch=True) == []
    assert len(attempt(found, ref._replace(actor=ACTOR._replace(pid=99)), branch=True)) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"git switch x", True),
        (b"git -C d rebase -i main", True),
        (b"git checkout main", True),
        (b"git checkout -b new origin/main", True),
        (b"git checkout -- a b", False),
        (b"git checkout main a.py", False),
        (b"git clean -fdx", False),
        (b"git rm -r .", False),
        (b"git restore .", False),
        (b"", False),
    ],
)
def test_what_git_does(line: bytes, expected: bool) -> None:
    assert moves(tuple(line.split())) is expected


# ------------------------------------------------------------------------------------------------------------ spans


def test_an_action_has_counts_of_its_own() -> None:
    found = windows({"per": "action", "max": {"files": 2}})
    assert [bool(attempt(found, write(b"%d" % number, action=1))) for number in range(3)] == [False, False, True]
    found.action_began(2, 0.0)
    assert attempt(found, write(b"9", action=2)) == []
    assert len(attempt(found, write(b"3", action=1))) == 1  # it still runs beside the other
    for number in range(3, 500):
        found.action_began(number, 0.0)
    assert len(found._actions) <= 64


def test_a_span_slides() -> None:
    found = windows({"per": "60s", "max": {"files": 2, "execs": 2}})
    for now in (0.0, 30.0):
        assert attempt(found, write(b"%d" % now), now) == []
        assert attempt(found, EXEC, now) == []
    assert len(attempt(found, write(b"x"), 59.0)) == 1
    assert len(attempt(found, EXEC, 59.0)) == 1
    assert attempt(found, write(b"x"), 62.0) == []
    assert attempt(found, EXEC, 62.0) == []
    assert len(attempt(found, EXEC, 89.0)) == 1


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5)), max_size=60))
def test_a_span_never_forgets_early_and_not_late(acts: list[tuple[float, int]]) -> None:
    found = windows({"per": "64s", "max": {"files": 1000, "execs": 1000}})
    now, execs, files = 0.0, [], {}
    for step, number in acts:
        now += step
        found.commit(found.before(EXEC, now), now)
        found.commit(found.before(write(b"%d" % number), now), now)
        execs.append(now)
        files[number] = now
        assert sum(at + 64 > now for at in execs) <= used(found, "execs", now) <= sum(at + 66 >= now for at in execs)
        assert used(found, "files", now) == sum(at + 64 > now for at in files.values())


def test_a_clock_that_goes_backwards_resets_nothing() -> None:
    found = windows({"per": "60s", "max": {"execs": 1}}, {"per": "day", "max": {"execs": 1}}, now=1000.0, wall=5 * DAY)
    attempt(found, EXEC, 1000.0)
    assert len(attempt(found, EXEC, 10.0)) == 2
    found.action_began(2, 3 * DAY)
    assert len(attempt(found, EXEC, 1001.0)) == 2
    found.action_began(3, 6 * DAY)
    assert [match.invariant.id for match in attempt(found, EXEC, 1001.0)] == ["g0"]


def test_memory_is_bounded() -> None:
    found = windows(
        {"per": "run", "max": {"files": 100}, "then": "warn"}, {"per": "60s", "max": {"execs": 9, "deletes": 3}}
    )
    for number in range(20_000):
        found.commit(found.before(create(b"%d" % number), 0.0), 0.0)
        found.commit(found.before(EXEC, number / 10), number / 10)
    assert used(found, "files") == 20_000
    run, minute = found._lasting.values()
    assert len(run.files) <= 101
    assert len(run.made) <= 1 << 12
    assert len(minute._parts) <= 66


def test_a_cooldown_ends() -> None:
    found = windows({"per": "1s", "max": {"deletes": 1}, "cooldown": 30.0})
    assert attempt(found, unlink(b"a"), 0.0) == []
    assert len(attempt(found, unlink(b"b"), 0.5)) == 1
    assert len(attempt(found, unlink(b"b"), 20.0)) == 1
    assert attempt(found, EXEC, 20.0) == []
    assert attempt(found, unlink(b"b"), 30.6) == []


def test_a_person_may_let_it_go_on() -> None:
    found = windows({"per": "run", "max": {"execs": 1}})
    attempt(found, EXEC)
    assert len(attempt(found, EXEC)) == 1
    found.forgive("g0")
    assert attempt(found, EXEC) == []


# ------------------------------------------------------------------------------------------------------- across runs

TABLES = (
    {"per": "day", "max": {"files": 100, "execs": 100}},
    {"per": "1h", "max": {"files": 100, "execs": 100}},
    {"per": "run", "max": {"execs": 100}},
    {"per": "action", "max": {"execs": 100}},
)


def left_by(folder: Path, wall: float, agent: str = "a", tree: str = "/w") -> Windows:
    """A run that changed two files and started two programs, after what was there."""
    found = windows(*TABLES, now=5000.0, wall=wall)
    found.load(folder, tree, agent, 5000.0, wall)
    for path in (b"a", b"\xff\xfe"):
        found.commit(found.before(write(path), 5000.0), 5000.0)
        found.commit(found.before(EXEC, 5000.0), 5000.0)
    assert found.save(folder, tree, agent, 5000.0, wall)
    return found


def resumed(folder: Path, wall: float, agent: str = "a", tree: str = "/w") -> list[tuple[int, int]]:
    found = windows(*TABLES, now=9.0, wall=wall)
    found.load(folder, tree, agent, 9.0, wall)
    return [(used(found, "files", 9.0, f"g{n}"), used(found, "execs", 9.0, f"g{n}")) for n in range(4)]


def test_the_day_goes_on_and_the_rest_for_ten_minutes(tmp_path: Path) -> None:
    noon = 100 * DAY + 43_200
    left_by(tmp_path, noon)
    assert resumed(tmp_path, noon + 60) == [(2, 2), (2, 2), (0, 2), (0, 0)]
    assert resumed(tmp_path, noon + 60, agent="b") == [(2, 2), (0, 0), (0, 0), (0, 0)]
    assert resumed(tmp_path, noon + 601) == [(2, 2), (0, 0), (0, 0), (0, 0)]
    assert resumed(tmp_path, noon + DAY) == [(0, 0)] * 4
    assert resumed(tmp_path, noon, tree="/other") == [(0, 0)] * 4
    # The clock was set back: it is still that day, and no time has passed.
    assert resumed(tmp_path, noon - 9 * DAY) == [(2, 2), (2, 2), (0, 2), (0, 0)]


def test_age_is_kept(tmp_path: Path) -> None:
    tables = ({"per": "60s", "max": {"files": 9}},)
    found = windows(*tables, now=100.0, wall=0.0)
    found.commit(found.before(write(b"a"), 100.0), 100.0)
    found.save(tmp_path, "/w", "a", 140.0, 40.0)
    later = windows(*tables, now=7.0, wall=50.0)
    later.load(tmp_path, "/w", "a", 7.0, 50.0)
    assert used(later, "files", 7.0) == 1
    assert used(later, "files", 17.5) == 0


def test_runs_beside_each_other_add_up(tmp_path: Path) -> None:
    wall = 100 * DAY
    one, two = (windows(*TABLES, wall=wall) for _ in range(2))
    for found in (one, two):
        found.load(tmp_path, "/w", "a", 0.0, wall)
    for found, path in ((one, b"a"), (two, b"b")):
        found.commit(found.before(write(path), 0.0), 0.0)
        found.commit(found.before(EXEC, 0.0), 0.0)
    for found in (one, two, one, two, one):
        assert found.save(tmp_path, "/w", "a", 0.0, wall)
    assert [(used(found, "files"), used(found, "execs")) for found in (one, two)] == [(2, 2), (2, 2)]
    assert resumed(tmp_path, wall)[0] == (2, 2)


def test_two_runs_in_a_row_add_up(tmp_path: Path) -> None:
    left_by(tmp_path, 100 * DAY)
    left_by(tmp_path, 100 * DAY + 5000)
    assert resumed(tmp_path, 100 * DAY + 9000)[0] == (2, 4)


def test_who_cannot_write_now_is_told_so(tmp_path: Path) -> None:
    with open(f"{path_of(tmp_path, '/w')}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert windows(*TABLES).save(tmp_path, "/w", "a", 0.0, 0.0) is False
    assert not path_of(tmp_path, "/w").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"tree": "/w"}',
        b'{"tree": "/x", "agent": "a", "saved": 1, "day": 0, "windows": {}}',
        b'{"tree": "/w", "agent": "a", "saved": NaN, "day": 0, "windows": {}}',
        b'{"tree": "/w", "agent": "a", "saved": 1, "day": 0, "windows": {"g0": {"per": "day", "counts": [1]}}}',
        b'{"tree": "/w", "agent": "a", "saved": 1, "day": 0, "windows": {"g0": 3}}',
        b"[" * 100_000,
    ],
)
def test_counts_that_cannot_be_read_stop_the_start(tmp_path: Path, content: bytes) -> None:
    path_of(tmp_path, "/w").write_bytes(content)
    with pytest.raises(HostError) as error:
        windows(*TABLES).load(tmp_path, "/w", "a", 0.0, 0.0)
    assert str(path_of(tmp_path, "/w")) in error.value.why
    with pytest.raises(StopRun):
        windows(*TABLES).save(tmp_path, "/w", "a", 0.0, 0.0)
    assert path_of(tmp_path, "/w").read_bytes() == content


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({"tree": "/w", "agent": "a", "saved": 0, "day": 0, "windows": {}}))
    path_of(tmp_path, "/w").symlink_to("x")
    with pytest.raises(HostError):
        windows(*TABLES).load(tmp_path, "/w", "a", 0.0, 0.0)


def test_nothing_kept_is_no_error(tmp_path: Path) -> None:
    assert resumed(tmp_path, 0.0) == [(0, 0)] * 4


def test_snapshots_are_frozen() -> None:
    found = windows(FILES)
    before = found.snapshot(0.0, 1)
    attempt(found, write(b"a"))
    assert before == {"g0": Usage()}
    assert isinstance(found.before(write(b"a"), 0.0), Increment)
