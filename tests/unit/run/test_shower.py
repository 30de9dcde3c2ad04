"""The process that shows contracts: what is asked, what is answered, and what is no answer."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from supervisor.invariants.contract import Contract, Shown
from supervisor.run.frozen import Unsettled
from supervisor.run.shower import Answer, Shower

ONE = Contract("one", ("rule",), "commit", command=("x",))
TWO = Contract("two", ("rule",), "commit", command=("y",))


def answered(shower: Shower) -> list[Answer]:
    poll = select.poll()
    poll.register(shower.fileno(), select.POLLIN)
    assert poll.poll(20_000)
    return shower.answers()


@pytest.fixture
def make() -> Iterator[Callable[..., Shower]]:
    made: list[Shower] = []

    def start(show: Callable[..., Iterable[Shown]]) -> Shower:
        made.append(Shower([ONE, TWO], show))
        return made[-1]

    yield start
    for each in made:
        each.close()


def both(commit: str, _alive: object) -> list[Shown]:
    return [Shown(ONE, commit == "", f"of {commit}\udcff", "state"), Shown(TWO, True)]


def test_questions_are_answered_in_order(make: Callable[..., Shower]) -> None:
    shower = make(both)
    assert shower.ask("a" * 40) and shower.ask()
    found: list[Answer] = []
    while len(found) < 2:
        found += answered(shower)
    assert [each.commit for each in found] == ["a" * 40, ""]
    first, second = found
    assert first.shown == (Shown(ONE, False, f"of {'a' * 40}\udcff", "state"), Shown(TWO, True))
    assert second.shown is not None and second.shown[0].passed


def test_a_tree_that_never_stood_still_is_no_answer(make: Callable[..., Shower]) -> None:
    def show(_commit: str, _alive: object) -> list[Shown]:
        raise Unsettled

    shower = make(show)
    shower.ask()
    assert answered(shower) == [Answer("", None)]
    assert not shower.is_down()


@pytest.mark.parametrize("what", ["raises", "dies", "tells not of all", "tells of others"])
def test_what_goes_wrong_is_no_answer(make: Callable[..., Shower], what: str) -> None:
    def show(_commit: str, _alive: object) -> list[Shown]:
        if what == "raises":
            raise ZeroDivisionError
        if what == "dies":
            os.kill(os.getpid(), 9)
        return [Shown(ONE if what == "tells not of all" else ONE._replace(id="three"), True)]

    shower = make(show)
    shower.ask("a" * 40)
    assert answered(shower) == [] and shower.is_down()
    assert shower.fileno() == -1 and not shower.ask("b" * 40) and shower.pid == 0


def test_more_than_can_be_asked_is_refused(make: Callable[..., Shower]) -> None:
    shower = make(lambda _commit, _alive: time.sleep(600))
    asked = 0
    while shower.ask("a" * 40):
        asked += 1
        assert asked < 1_000_000
    assert not shower.ask("a" * 40)


def test_it_ends_when_it_is_closed(make: Callable[..., Shower]) -> None:
    shower = make(lambda _commit, _alive: time.sleep(600))
    shower.ask()
    pid = shower.pid
    shower.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert shower.is_down() and shower.answers() == []


def test_nothing_of_the_supervisor_is_open_in_it(make: Callable[..., Shower]) -> None:
    """Whoever holds a second descriptor of the listener would keep the run's calls waiting for ever."""
    read, write = os.pipe()

    def show(_commit: str, _alive: object) -> list[Shown]:
        return [Shown(ONE, True, " ".join(sorted(os.listdir("/proc/self/fd")))), Shown(TWO, True)]

    shower = make(show)
    shower.ask()
    (answer,) = answered(shower)
    assert answer.shown is not None
    held = set(answer.shown[0].detail.split()) - {"0", "1", "2"}
    assert len(held) == 2, held  # its socket, and the folder that was just listed
    os.close(read)
    os.close(write)
