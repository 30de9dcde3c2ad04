"""What follows when a limit is crossed, or the kernel has held it: told by a real measuring process, recorded in a real
journal. The counts of the kernel are files, since not everybody may have a group with controllers."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.journal.reader import Reader
from supervisor.journal.writer import Journal
from supervisor.kernel import cgroups
from supervisor.run.limiting import Bounds, Limiting, facts
from supervisor.run.record import Recorder
from supervisor.vocabulary.errors import HostError
from supervisor.vocabulary.events import LifecycleEvent
from supervisor.vocabulary.limits import LimitFacts
from supervisor.vocabulary.verdicts import Effect, Verdict
from tests.property.world import policy_of, profile_of

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HELD = LimitFacts(frozenset(("processes", "memory")), True, True)


def text(then: str) -> str:
    return f'version = 1\n[scope]\nthen = "{then}"\nwhy = "w"\nprocesses = 10\nmemory = "1G"\ncpu = "5s"\n'


class Group:
    """Shows what a group of the kernel shows, and notes what is done with it."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder)
        self.done: list[bool] = []
        for name, line in (("pids.events", "max 0"), ("memory.events", "oom_kill 0"), ("cpu.stat", "usage_usec 0")):
            (folder / name).write_text(f"{line}\n")

    def say(self, name: str, line: str) -> None:
        Path(self.path, name).write_text(f"{line}\n")

    def freeze(self, *, still: bool) -> None:
        self.done.append(still)


class World:
    def __init__(self, folder: Path, then: str) -> None:
        (folder / "group").mkdir()
        (folder / "run").mkdir()
        self.group = Group(folder / "group")
        self.folder = folder / "run"
        policy = policy_of(text(then), limits=HELD)
        self.journal = Journal(self.folder, RUN)
        self.recorder = Recorder(self.journal, policy.digest)
        self.crossed: list[tuple[LifecycleEvent, Verdict]] = []
        self.said: list[str] = []
        bounds: Any = type("Made", (), {"group": self.group})()
        self.limiting = Limiting(
            policy, bounds, lambda *told: self.crossed.append(told), self.recorder, self.said.append
        )

    def turn(self) -> None:
        assert select.select([self.limiting.fileno()], [], [], 20)[0]
        self.limiting.turn()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    made: list[World] = []

    def make(then: str) -> World:
        made.append(World(tmp_path, then))
        return made[0]

    yield make
    made[0].limiting.close()
    made[0].journal.close()


@pytest.mark.parametrize(
    ("name", "line", "key", "number"),
    [
        ("pids.events", "max 3", "processes", errno.EAGAIN),
        ("memory.events", "oom_kill 1", "memory", errno.ENOMEM),
    ],
)
def test_what_the_kernel_has_held_is_recorded_as_refused(
    world: Callable[[str], World], name: str, line: str, key: str, number: int
) -> None:
    found = world("deny")
    found.group.say(name, line)
    found.turn()
    assert found.crossed == [] and found.group.done == []
    (told,) = found.said
    assert f"denied by scope.{key}" in told and "the kernel" in told
    (record,) = Reader(found.folder)
    assert (record["verdict"], record["outcome"], record["errno"]) == ("deny", "blocked", number)
    assert (record["invariant"], record["coverage"]) == (f"scope.{key}", "enforced")
    assert found.recorder.counts.blocked == 1


@pytest.mark.parametrize(("then", "effect", "still"), [("pause", Effect.PAUSE, [True]), ("kill", Effect.KILL, [])])
def test_other_answers_are_carried_out(
    world: Callable[[str], World], then: str, effect: Effect, still: list[bool]
) -> None:
    found = world(then)
    found.group.say("pids.events", "max 3")
    found.turn()
    ((event, verdict),) = found.crossed
    assert (event.op, verdict.effect) == ("processes.refused", effect)
    assert found.group.done == still and found.said == []


def test_a_person_lets_it_go_on_and_it_counts_from_there(world: Callable[[str], World]) -> None:
    found = world("pause")
    found.group.say("cpu.stat", "usage_usec 6000000")
    found.turn()
    assert found.crossed[0][0].detail == (
        "the run uses 6 s of processor time, at most 5 s of processor time may be used"
    )
    found.limiting.acknowledged()
    assert found.group.done == [True, False]
    found.group.say("cpu.stat", "usage_usec 12000000")
    found.turn()
    assert len(found.crossed) == 2


def test_a_limit_that_cannot_be_held_any_more_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the plan and the start somebody came into the group, say."""
    monkeypatch.setattr(cgroups, "look", lambda wanted: cgroups.Offer("/there", why="others are in it"))
    with pytest.raises(HostError, match="cannot be held any more"):
        Bounds(policy_of(text("deny"), limits=HELD), RUN, tmp_path)


def test_nothing_is_looked_at_where_no_limit_is_set() -> None:
    assert facts(profile_of("version = 1\n").scope) == LimitFacts()
    found = facts(profile_of("version = 1\n[scope]\ndisk = 1\n").scope)
    assert found.held == frozenset() and found.written == os.path.exists("/proc/self/io")
