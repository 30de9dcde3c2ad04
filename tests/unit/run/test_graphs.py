"""The graph between the parts of a tree: filled once, and kept up with what a run does."""

from __future__ import annotations

import pytest

from supervisor.run import graphs
from supervisor.run.graphs import Graphs
from supervisor.vocabulary.content import INSPECTOR_FAILED, Findings, Reference
from tests.property.world import TREE, policy_of

RULE = 'version = 1\n[[boundary]]\nid = "p"\nwhy = "w"\nacyclic = ["src/*"]\nexcept = ["src/*/tests/**"]\n'
A, B = TREE + b"/src/a/m.py", TREE + b"/src/b/m.py"
TO_A, TO_B = (Reference("src/a/m.py", "a", 1),), (Reference("src/b/m.py", "b", 1),)


@pytest.fixture
def made() -> Graphs:
    return Graphs(policy_of(RULE))


def edges(made: Graphs) -> set[tuple[str, str]]:
    return set(made._made["p"].edges())


def test_without_such_a_rule_nothing_is_kept() -> None:
    none = Graphs(policy_of("version = 1\n"))
    none.remove(A)
    none.tried(A, TO_B)
    assert not none
    assert not none.holds(A)
    assert none.state(A).graphs == {}


def test_paths_may_be_relative_and_exempt_files_lead_nowhere(made: Graphs) -> None:
    assert made.holds(b"src/a/m.py")
    assert made.holds(A)
    assert not made.holds(b"src/a/tests/m.py")
    assert not made.holds(b"docs/m.py")
    made.put(A, TO_B)
    made.put(b"src/b/tests/m.py", TO_A)
    assert edges(made) == {("src/a", "src/b")}
    made.put(b"src/a/m.py", ())
    assert edges(made) == set()


def test_what_is_tried_is_taken_back_unless_it_happens(made: Graphs) -> None:
    made.put(A, TO_B)
    for happened, left in ((False, {("src/a", "src/b")}), (True, {("src/b", "src/a")})):
        made.tried(A, ())
        made.tried(B, TO_A)
        assert edges(made) == {("src/b", "src/a")}
        made.settled(happened=happened)
        made.settled(happened=False)  # says nothing of what is settled
        assert edges(made) == left


def test_what_happened_before_the_tree_was_put_in_stays(made: Graphs) -> None:
    said = {A: Findings(references=TO_B), B: Findings(references=TO_A)}
    made.begin([b"src/a/m.py", b"src/b/m.py", b"src/b/gone.py"], said.get, said.get, pytest.fail)
    made.remove(B)
    made.tried(A, ())
    assert made.state(TREE + b"/README").graphs == {}
    assert "p" in made.state(A).graphs
    assert edges(made) == set()
    made.settled(happened=False)
    assert edges(made) == {("src/a", "src/b")}


def test_what_is_put_back_is_read_again(made: Graphs) -> None:
    now = {A: Findings(references=TO_B)}
    made.begin([], now.get, now.get, pytest.fail)
    made.changed(A)
    made.state(B)
    assert edges(made) == {("src/a", "src/b")}
    now[A] = Findings(refusal="unreadable")
    made.changed(A)
    made.state(B)
    assert edges(made) == {("src/a", "src/b")}


@pytest.mark.parametrize("reason", ["many", "slow", "failed"])
def test_what_is_not_whole_is_not_told(made: Graphs, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Findings(refusal=f"{INSPECTOR_FAILED}: it is gone" if reason == "failed" else "")
    if reason == "many":
        monkeypatch.setattr(graphs, "MOST_SOURCES", 0)
    if reason == "slow":
        monkeypatch.setattr(graphs, "MOST_SECONDS", -1.0)
    told: list[str] = []
    made.begin([b"src/a/m.py"], lambda _: said, lambda _: said, told.append)
    assert made.state(A).graphs == {}
    assert made.state(A).graphs == {}
    assert len(told) == 1
    assert "are refused" in told[0]


def test_files_that_cannot_be_read_are_named(made: Graphs) -> None:
    told: list[str] = []
    made.begin([b"src/a/m.py"], lambda _: Findings(refusal="too large"), lambda _: None, told.append)
    assert "p" in made.state(A).graphs
    assert "src/a/m.py" in told[0]
