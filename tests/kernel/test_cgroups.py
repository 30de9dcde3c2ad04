"""Groups of version 2 of the kernel: made, entered, held still, ended and taken away. Real ones, where there may be."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.kernel import cgroups
from supervisor.surfaces.metering import Measuring
from supervisor.vocabulary.errors import HostError

NAME = f"test-{os.getpid()}"
may = pytest.mark.needs("one who may make a cgroup")
may_limit = pytest.mark.needs("one who may limit a cgroup")


@pytest.fixture
def offer() -> cgroups.Offer:
    return cgroups.look(())


@pytest.fixture
def group(offer: cgroups.Offer) -> Iterator[cgroups.Group]:
    made = cgroups.Group(offer, NAME, {})
    yield made
    made.remove()


def inside(group: cgroups.Group, act: Callable[[], object]) -> int:
    """A child that enters the group as a run does, by the descriptor that it was given, and acts."""
    pid = os.fork()
    if pid == 0:
        try:
            os.write(group.procs, b"0")
            act()
        finally:
            os._exit(0)
    return pid


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def members(group: cgroups.Group) -> list[int]:
    return [int(word) for word in Path(group.path, "cgroup.procs").read_text().split()]


def state(group: cgroups.Group, name: str) -> str:
    return dict(line.split() for line in Path(group.path, "cgroup.events").read_text().splitlines())[name]


def test_who_may_make_none_is_told_why() -> None:
    found = cgroups.look(("no-such-controller",))
    assert not found.controllers and found.why


@may
def test_what_is_started_in_it_is_in_it_and_nobody_else(group: cgroups.Group) -> None:
    def act() -> None:
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
        time.sleep(60)

    pid = inside(group, act)
    until(lambda: len(members(group)) == 2)
    assert os.getpid() not in members(group)
    group.kill()
    until(lambda: not members(group))
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@may
def test_what_is_frozen_does_nothing_and_can_be_ended(group: cgroups.Group) -> None:
    def act() -> None:
        while True:
            pass

    pid = inside(group, act)
    until(lambda: len(members(group)) == 1)
    group.freeze(still=True)
    until(lambda: state(group, "frozen") == "1")
    group.freeze(still=False)
    until(lambda: state(group, "frozen") == "0")
    group.freeze(still=True)
    group.kill()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@may
def test_who_is_left_ends_with_it(group: cgroups.Group) -> None:
    pid = inside(group, lambda: time.sleep(60))
    until(lambda: len(members(group)) == 1)
    assert group.remove() and not os.path.exists(group.path)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert group.remove(), "once more does no harm"


@may
def test_by_its_path_alone_and_nothing_but_ours(offer: cgroups.Offer, group: cgroups.Group) -> None:
    """What recover does, in another process."""
    pid = inside(group, lambda: time.sleep(60))
    until(lambda: len(members(group)) == 1)
    assert cgroups.remove(group.path)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL and not os.path.exists(group.path)
    other = Path(offer.path) / f"other-{os.getpid()}"
    other.mkdir()
    try:
        assert cgroups.remove(str(other)) and other.exists()
    finally:
        other.rmdir()


@may
def test_one_that_cannot_be_made_leaves_nothing(offer: cgroups.Offer) -> None:
    with pytest.raises(HostError, match="cannot make a cgroup"):
        cgroups.Group(offer, NAME, {"no-such-controller.max": "1"})
    assert not list(Path(offer.path).glob(f"{cgroups.PREFIX}{NAME}*"))


@may_limit
def test_the_kernel_holds_tasks_and_memory() -> None:
    offer = cgroups.look(("pids", "memory"))
    group = cgroups.Group(offer, NAME, {"pids.max": "10", "memory.max": f"{40 << 20}"})
    try:
        most = {"processes": 10.0, "memory": float(40 << 20)}
        measuring = Measuring(most, frozenset(most), group.path, os.getpid())
        assert list(measuring.crossed()) == []
        read, write = os.pipe()

        def bomb() -> None:
            for _ in range(100):
                try:
                    if os.fork() == 0:
                        time.sleep(60)
                except OSError:
                    os.write(write, b"refused")
                    return

        os.waitpid(inside(group, bomb), 0)
        assert os.read(read, 16) == b"refused" and len(members(group)) == 9
        assert list(measuring.crossed()) == [("processes.refused", 1.0)]
        group.kill()
        until(lambda: not members(group))
        assert os.waitpid(inside(group, lambda: bytearray(100 << 20)), 0)[1] == signal.SIGKILL
        assert list(measuring.crossed()) == [("memory.refused", 1.0)]
        assert list(measuring.crossed()) == [], "told once"
    finally:
        assert group.remove()
    assert cgroups.look(("pids", "memory")) == offer, "this process is where it was"
