"""Repetition without progress is found at exactly the count that is configured, and work that gets on is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.guardrail import LoopState, compile_guardrails, judge_loop
from supervisor.profile.model import Rule
from supervisor.run.loops import POLLING, Loops
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect

TEST = ("make", "test")
RULES = compile_guardrails(
    [Rule("guardrail", "g", then="pause", fields={"loop": {"same_failing": 4, "alternating": 3}})],
    {"g": Invariant("g", "guardrail", "pause")},
)


def pauses(state: LoopState) -> bool:
    return any(match.effect is Effect.PAUSE for match in judge_loop(RULES, state, "x", ended=True))


class Tree:
    """A tree of one agent: what it edits is told to the tracker with what was there."""

    def __init__(self) -> None:
        self.loops = Loops()
        self.files: dict[bytes, bytes | None] = {b"a.py": b"A", b"b.py": b"1"}

    def edit(self, path: bytes, content: bytes | None) -> None:
        self.loops.changed(path, content, self.files.get(path))
        self.files[path] = content


def test_a_command_that_fails_again_and_again_is_found_at_the_count() -> None:
    loops = Loops()
    found = [pauses(loops.ended(TEST, 2, float(now))) for now in range(6)]
    assert found == [False, False, False, True, True, True]
    assert loops.snapshot(TEST, 9.0) == LoopState(6, 0, 2)
    assert loops.snapshot(("make", "testx"), 9.0) == LoopState()
    assert loops.snapshot(("make t", "est"), 9.0) == LoopState()


@pytest.mark.parametrize("progress", ["tree", "status", "success"])
def test_who_gets_on_is_not_found(progress: str) -> None:
    tree = Tree()
    for now in range(20):
        status = {"tree": 2, "status": 2 + now % 2, "success": 2 * (now % 3)}[progress]
        if progress == "tree":
            tree.edit(b"a.py", b"%d" % now)
        assert not pauses(tree.loops.ended(TEST, status, float(now)))


def test_before_it_starts_again_a_changed_tree_is_known() -> None:
    tree = Tree()
    for now in range(4):
        tree.loops.ended(TEST, 2, float(now))
    assert tree.loops.snapshot(TEST, 5.0).failing == 4
    tree.edit(b"a.py", b"B")
    assert tree.loops.snapshot(TEST, 5.0).failing == 0


def test_an_agent_that_polls_is_not_found() -> None:
    loops = Loops()
    for number in range(50):
        assert not pauses(loops.ended(("gh", "run", "view"), 1, number * (POLLING + 1), reads=True))
    assert loops.snapshot(("gh", "run", "view"), 50 * (POLLING + 1), reads=True).failing == 0
    # whoever asks every second does, and so does who changes things every minute
    assert [pauses(loops.ended(("gh", "x"), 1, float(now), reads=True)) for now in range(4)][-1]
    assert [pauses(loops.ended(("make", "x"), 1, now * 60.0)) for now in range(4)][-1]


def test_back_and_forth_is_found_at_the_count() -> None:
    tree, found = Tree(), []
    for number in range(7):
        tree.edit(b"a.py", b"B" if number % 2 == 0 else b"A")
        found.append(pauses(tree.loops.ended(("sed", "x"), 0, float(number))))
    # A -> B, -> A (1), -> B (2), -> A (3)
    assert found == [False, False, False, True, True, True, True]
    assert tree.loops.snapshot(("sed", "x"), 9.0).returns == 6
    assert tree.loops.snapshot(("make",), 9.0).returns == 0


def test_back_and_forth_by_the_agents_own_edits() -> None:
    tree, found = Tree(), []
    for number in range(4):
        tree.edit(b"a.py", b"B" if number % 2 == 0 else b"A")
        found.append(pauses(tree.loops.look()))
    assert found == [False, False, False, True]
    assert tree.loops.look().returns == 0  # nothing was changed since


def test_a_cycle_of_three_and_of_two_files() -> None:
    tree, returns = Tree(), []
    for number in range(9):
        tree.edit(b"a.py", b"ABC"[number % 3 :][:1])
        tree.edit(b"b.py", b"123"[number % 3 :][:1])
        returns.append(tree.loops.look().returns)
    assert returns == [0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_something_new_is_progress() -> None:
    tree = Tree()
    for number in range(30):
        tree.edit(b"a.py", b"try %d" % number)
        assert not pauses(tree.loops.look())
        tree.edit(b"a.py", b"A")
        assert not pauses(tree.loops.look())


def test_a_person_may_let_it_go_on() -> None:
    tree = Tree()
    for number in range(6):
        tree.edit(b"a.py", b"B" if number % 2 == 0 else b"A")
        tree.loops.ended(TEST, 2, float(number))
    tree.loops.forget()
    assert tree.loops.snapshot(TEST, 9.0) == LoopState()
    tree.edit(b"a.py", b"B")
    assert tree.loops.ended(TEST, 2, 9.0) == LoopState(1, 0, 2)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"ab"]), st.sampled_from([None, b"", b"b", b"x"]))))
def test_the_number_tells_trees_apart_and_nothing_else(edits: list[tuple[bytes, bytes | None]]) -> None:
    tree = Tree()
    tree.files = {}
    known: dict[int, dict[bytes, bytes]] = {0: {}}
    for path, content in edits:
        tree.edit(path, content)
        now = {path: content for path, content in tree.files.items() if content is not None}
        assert known.setdefault(tree.loops.tree, now) == now
    for path in list(tree.files):
        tree.edit(path, None)
    assert tree.loops.tree == 0


def test_memory_is_bounded_and_what_is_forgotten_is_taken_from_the_caller() -> None:
    tree = Tree()
    for number in range(20_000):
        tree.edit(b"%d" % number, b"x")
        tree.loops.ended((str(number),), 1, 0.0)
    assert len(tree.loops._files) <= 1 << 14
    assert len(tree.loops._commands) <= 512
    assert len(tree.loops._seen) <= 256
    for number in range(20_000):
        tree.edit(b"%d" % number, None)
    assert tree.loops.tree == 0


def test_a_run_that_continues_another() -> None:
    tree = Tree()
    for number in range(3):
        tree.edit(b"a.py", b"B" if number % 2 == 0 else b"A")
        tree.loops.ended(TEST, 2, float(number))
        tree.loops.ended(TEST, 2, float(number))
    told = json.loads(json.dumps(tree.loops.dump(10.0)))
    later = Tree()
    later.files[b"a.py"] = b"B"
    later.loops.resume(told, 100.0, 60.0)
    assert later.loops.snapshot(TEST, 100.0).failing == 2
    later.edit(b"a.py", b"A")
    assert later.loops.look().returns == 3


def test_what_helpers_do_is_no_failure_but_puts_the_tree_back() -> None:
    tree = Tree()
    for now in range(9):
        assert not pauses(tree.loops.ended(("readlink", "x"), 1, float(now), counts=False))
    assert tree.loops.snapshot(("readlink", "x"), 9.0) == LoopState()
    found = []
    for number in range(7):
        tree.edit(b"a.py", b"AB"[number % 2 : number % 2 + 1])
        found.append(pauses(tree.loops.ended(("helper",), 0, 9.0, counts=False)))
    assert True in found
