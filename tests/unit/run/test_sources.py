"""What many sources say: in their order, whatever becomes of the inspectors."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.run import sources
from supervisor.run.judgement import Source
from supervisor.run.sources import Sources
from supervisor.vocabulary.content import Findings, Wanted

NUMBER = 60


def wanted(tree: Path) -> Wanted:
    return Wanted(os.fsencode(tree))


def some(tree: Path) -> list[Source]:
    """Each imports another module; every other is named by its absolute path."""
    return [
        Source(
            (os.fsencode(tree) + b"/" if number % 2 else b"") + b"%d.py" % number, "python", b"import m%d\n" % number
        )
        for number in range(NUMBER)
    ]


def modules(found: list[Findings]) -> list[str]:
    return [each.imports[0].module if each.imports else each.refusal for each in found]


EXPECTED = [f"m{number}" for number in range(NUMBER)]


def test_in_their_order_and_remembered(tmp_path: Path) -> None:
    for inspectors in (True, False):  # read by some, then by none
        made = Sources(wanted(tmp_path), tmp_path / "cache")
        told = [Findings(refusal="known"), *some(tmp_path)]
        assert modules(list(made.findings(told))) == ["known", *EXPECTED]
        assert bool(made._inspectors) == inspectors
        made.close()


def test_without_a_folder_nothing_is_remembered(tmp_path: Path) -> None:
    made = Sources(wanted(tmp_path), None)
    assert modules(list(made.findings(some(tmp_path)))) == EXPECTED
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_the_work_is_shared(tmp_path: Path) -> None:
    made = Sources(wanted(tmp_path), None)
    found = made.findings(some(tmp_path))
    next(found)
    assert len(made._inspectors) == min(len(os.sched_getaffinity(0)), 4)
    assert modules(list(found)) == EXPECTED[1:]
    made.close()
    assert all(each.pid is None for each in made._inspectors)


def test_who_fails_harms_no_other(tmp_path: Path) -> None:
    """Each worker is killed, over and over: what it was asked is asked again."""
    made = Sources(wanted(tmp_path), tmp_path / "cache")

    def disturbed() -> Iterator[Source]:
        for number, each in enumerate(some(tmp_path)):
            yield each
            if number % 20 == 10:
                for inspector in made._inspectors:
                    if inspector.pid is not None:
                        os.kill(inspector.pid, signal.SIGKILL)

    assert modules(list(made.findings(disturbed()))) == EXPECTED
    made.close()
    again = Sources(wanted(tmp_path), tmp_path / "cache")
    assert modules(list(again.findings(some(tmp_path)))) == EXPECTED
    again.close()


def test_who_gives_up_early_keeps_what_was_read(tmp_path: Path) -> None:
    reading = sources.findings(wanted(tmp_path), tmp_path / "cache", some(tmp_path))
    assert next(reading).imports[0].module == "m0"
    reading.close()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_not_all_of_a_tree_is_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MOST_AHEAD", 8)
    made = Sources(wanted(tmp_path), None)
    ahead = 0

    def counted() -> Iterator[Source]:
        nonlocal ahead
        for each in some(tmp_path):
            ahead += 1
            yield each

    for number, _ in enumerate(made.findings(counted())):
        assert ahead - number <= 10
    made.close()
