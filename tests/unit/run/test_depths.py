"""How deep a program would run, told of real processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor.invariants.guardrail import MANY
from supervisor.run.depths import Depths
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target

# A chain of shells; each prints its process id, and waits for the end of its input.
CHAIN = 'echo $$; [ "$1" = 0 ] || sh -c "$0" "$0" $(($1 - 1)); read line'


def asks(pid: int) -> ExecEvent:
    return ExecEvent(Actor(pid, 0, 0, b"", (), 1), Target(b"/bin/x", Kind.FILE), b"x", (b"x",), b"/", "call")


@contextmanager
def chain(length: int, text: str = CHAIN) -> Iterator[list[int]]:
    words = ["sh", "-c", text, text, str(length - 1)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdin is not None
        try:
            yield [int(first.stdout.readline()) for _ in range(length)]
        finally:
            first.stdin.close()


def started(found: Depths, pid: int) -> int:
    depth = found.of(asks(pid))
    found.executed(pid)
    return depth


def test_the_agent_is_none_and_each_program_below_is_one_more() -> None:
    found = Depths(os.getpid())
    with chain(4) as pids:
        assert [started(found, pid) for pid in pids] == [0, 1, 2, 3]
        assert found.of(asks(pids[2])) == 2, "a process that replaces its program stays where it is"


def test_forks_in_between_do_not_count() -> None:
    found = Depths(os.getpid())
    with chain(4) as pids:
        assert started(found, pids[0]) == 0
        assert started(found, pids[3]) == 1, "the two in between have started no program that is known"


def test_who_has_no_parent_counts_by_what_it_runs() -> None:
    found = Depths(os.getpid())
    with chain(3) as pids:
        for pid in pids:
            started(found, pid)
        lost = subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE)  # a child of the supervisor itself
        other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        assert found.of(asks(lost.pid)) == 3, "forked from a shell, and the deepest shell is two below"
        assert found.of(asks(other.pid)) == 3, "of what nobody has seen: from the deepest of all"
        for each in (lost, other):
            each.communicate(b"")


def test_a_number_that_somebody_else_has_now_is_not_known() -> None:
    found = Depths(os.getpid())
    with chain(2) as pids:
        started(found, pids[0])
        found._known[pids[1]] = (1, 40)
        assert found.of(asks(pids[1])) == 1


def test_what_has_ended_is_forgotten_first_and_nobody_comes_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.run.depths._MOST_KNOWN", 3)
    found = Depths(os.getpid())
    with chain(5) as pids:
        depths = [started(found, pid) for pid in pids]
        assert depths[0] == 0 and depths == sorted(depths) and depths[-1] >= 4
        assert len(found._known) <= 3 and pids[0] in found._known


def test_a_line_that_is_too_long_is_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.run.depths._FARTHEST", 2)
    found = Depths(os.getpid())
    with chain(5) as pids:
        assert started(found, pids[0]) == 0
        assert found.of(asks(pids[4])) > MANY
