"""Episodes: attempts, chains of fixes that break something else, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.invariants.remediation import Subject, compile_remediation, judge_exec, judge_fs
from supervisor.journal.codec import encode
from supervisor.profile.model import Rule
from supervisor.run.episodes import IDLE, Ended, Episodes
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp
from supervisor.vocabulary.policy import Invariant
from tests.property.world import ACTOR, target

A, B = Subject("path", b"src/a.py"), Subject("path", b"src/b.py")
FIXER = ("ruff", "check", "--fix")


def rules(**table: Any) -> Any:
    made = Rule("remediation", "honest", fields={"fixers": ("ruff --fix",), "attempts": 3} | table)
    return compile_remediation([made], {"honest": Invariant("honest", "remediation", "deny")})


def refuses(found: Episodes, path: bytes, action: int) -> list[str]:
    """An edit as the loop takes it: judged, then told."""
    event = FsEvent(ACTOR._replace(action=action), FsOp.WRITE, "openat", target(path))
    said = [match.message for match in judge_fs(found._rules, found.snapshot(), event, path)]
    found.action(action, touched=(path,))
    return said


def runs(found: Episodes, words: tuple[str, ...], action: int) -> bool:
    actor = ACTOR._replace(action=action)
    event = ExecEvent(actor, target(b"/x"), b"x", (b"x",), b"/", "call", commands=(Command(words[0], "", words),))
    said = list(judge_exec(found._rules, found.snapshot(), event))
    found.action(action, words)
    return not said


def test_fix_break_fix_is_a_chain_of_two() -> None:
    found = Episodes(rules())
    first = found.opened("lint", A, 10, "t0", action=1, violations=4, fixable=True)
    assert found.over() == []  # it is open
    found.action(2, FIXER)
    found.action(2, touched=(b"src/a.py", b"src/b.py"))
    second = found.opened("layers", B, 20, "t1", action=2, fixable=True)
    assert found.passed("lint", A, "t1", 2)
    found.attempted(2, "t1", 4)
    found.action(3, touched=(b"src/b.py",))
    assert found.passed("layers", B, "t2", 3)
    assert found.chain(second) == (first, second)
    assert [each["episode"] for each in found.over()] == [first, second] and found.over() == []
    one, two = found.records()
    assert (one["episode"], one["parent"], one["from"], one["to"], one["outcome"]) == (first, "", "t0", "t1", "fixed")
    assert (two["episode"], two["parent"], two["from"], two["to"], two["outcome"]) == (
        second,
        first,
        "t1",
        "t2",
        "fixed",
    )
    assert (one["opened"], one["attempts"], one["violations"]) == (10, 1, [4, 4])
    assert one["gates"] == [
        {"action": 2, "gate": "lint", "result": "passed", "command": "ruff check --fix", "tree": "t1"}
    ]
    assert two["gates"] == [{"action": 3, "gate": "layers", "result": "passed", "tree": "t2"}]
    assert str(found.counts()) == "2/0/0/0"
    assert json.loads(json.dumps(encode(found.records()[0])))


def test_what_comes_back_is_the_third_link() -> None:
    found = Episodes(rules())
    ids = [found.opened("i", A, 1, "", action=1)]
    for action, (subject, other) in enumerate(((A, B), (B, A), (A, B)), 2):
        found.action(action, touched=(subject.name,))
        found.passed("i", subject, "", action)
        ids.append(found.opened("i", other, action, "", action=action))
    assert found.chain(ids[-1]) == tuple(ids)
    assert len(set(ids)) == 4


def test_a_fixer_that_does_nothing_is_an_attempt() -> None:
    found = Episodes(rules())
    found.opened("lint", A, 1, "t", action=1)
    assert found.action(2, FIXER) == ("1",)
    assert found.action(2, FIXER) == ("1",)  # once per action
    assert found.action(3, ("ruff", "check")) == ()
    assert found.action(3, touched=(b"src/c.py",)) == ()
    (state,) = found.attempted(2, "t")
    assert state.attempts == 1
    assert found.records()[0]["gates"] == [
        {"action": 2, "gate": "lint", "result": "none", "command": "ruff check --fix", "tree": "t"}
    ]


def test_exhausted_after_the_attempts_and_no_sooner() -> None:
    found = Episodes(rules(attempts=3))
    found.opened("lint", A, 1, "t", action=1)
    assert runs(found, FIXER, 2)
    assert refuses(found, b"src/a.py", 3) == []
    found.opened("lint", A, 2, "t", action=3)  # refused again: the same episode
    assert runs(found, FIXER, 4)
    assert found.counts() == Ended()
    assert refuses(found, b"src/a.py", 4) == []  # the third attempt goes on
    assert len(refuses(found, b"src/a.py", 5)) == 1
    assert found.counts() == Ended(exhausted=1)
    assert not runs(found, FIXER, 6)
    assert len(refuses(found, b"src/a.py", 4)) == 1
    assert refuses(found, b"src/b.py", 6) == []
    assert not found.passed("lint", A)
    (record,) = found.records()
    assert (record["outcome"], record["attempts"]) == ("exhausted", 3)
    assert [gate["result"] for gate in record["gates"]] == ["none", "refused", "none"]


def test_tests_are_not_weakened_while_something_is_open() -> None:
    found = Episodes(rules(never_edit=("tests/**",)))
    assert refuses(found, b"tests/test_a.py", 1) == []
    found.opened("lint", A, 1, "t", action=1, fixable=True)
    assert len(refuses(found, b"tests/test_a.py", 2)) == 1
    assert found.opened("honest", Subject("path", b"tests/test_a.py"), 2, "t", action=2) == ""
    assert found.passed("lint", A)
    assert refuses(found, b"tests/test_a.py", 3) == []


def test_an_attempt_is_held_to_named_files_as_soon_as_it_is_one() -> None:
    found = Episodes(rules(must=("only-named-files",)))
    found.opened("lint", A, 1, "t", action=1, fixable=True)
    assert refuses(found, b"src/c.py", 2) == []
    assert runs(found, FIXER, 3)
    assert refuses(found, b"src/a.py", 3) == []
    assert len(refuses(found, b"src/c.py", 3)) == 1


def test_what_an_attempt_leaves_is_noted() -> None:
    found = Episodes(rules(must=("violations-do-not-rise",)))
    found.opened("lint", A, 1, "t", action=1, violations=2)
    found.action(2, FIXER)
    (state,) = found.attempted(2, "u", 1)
    assert (state.opening, state.latest) == (2, 1)
    assert found.records()[0]["violations"] == [2, 1]


def test_the_action_that_was_refused_is_no_attempt() -> None:
    found = Episodes(rules())
    found.opened("lint", A, 1, "t", action=4)
    assert found.action(4, touched=(b"src/a.py",)) == ()
    assert found.passed("lint", A, "u", 4)
    assert found.counts() == Ended(fixed=1)


def test_one_episode_per_invariant_and_subject() -> None:
    found = Episodes(rules())
    ids = {found.opened(name, subject, 1, "") for name in ("x", "y") for subject in (A, B) for _ in range(3)}
    assert len(ids) == 4
    assert len(found.action(1, FIXER)) == 4
    host = Subject("host", b"198.51.100.1")
    found.opened("scope.hosts", host, 2, "", action=1)
    assert found.action(2, touched=(host,)) == ("5",)


def test_other_ends() -> None:
    found = Episodes(rules(attempts=1))
    for name in ("a", "b", "c", "d"):
        found.opened(name, Subject("path", name.encode()), 1, "")
    assert found.superseded(Subject("path", b"a")) == 1
    assert found.superseded(invariant="b") == 1
    found.action(1, touched=(b"c",))
    found.close("end")
    assert found.counts() == Ended(0, 1, 1, 2)
    assert [record["to"] for record in found.records()] == ["", "", "end", "end"]
    assert not found.snapshot().open


def test_a_person_may_let_an_exhausted_one_be_tried_again() -> None:
    found = Episodes(rules(attempts=1))
    found.opened("lint", A, 1, "")
    found.action(1, FIXER)
    assert not runs(found, FIXER, 2)
    assert found.superseded(A) == 1
    assert runs(found, FIXER, 3)


def test_what_nobody_tries_to_fix_is_abandoned() -> None:
    found = Episodes(rules())
    found.opened("lint", A, 1, "", action=1)
    for action in range(2, IDLE + 2):
        found.action(action, ("ls",))
    assert found.snapshot().open
    found.action(IDLE + 2, ("ls",))
    assert found.counts() == Ended(abandoned=1)


def test_memory_is_bounded_and_exhausted_ones_stay() -> None:
    found = Episodes(rules(attempts=1))
    found.opened("lint", A, 1, "")
    found.action(1, touched=(A.name,))
    found.action(2, touched=(A.name,))
    for number in range(3000):
        found.opened("lint", Subject("path", b"%d" % number), 1, "", action=3)
    assert len(found.snapshot().open) == 512
    assert len(found.records()) <= 1512
    assert sum(found.counts()) == 2489
    assert len(refuses(found, A.name, 4)) == 1


def test_too_many_exhausted_ones_stop_the_run() -> None:
    found = Episodes(rules(attempts=1))
    with pytest.raises(StopRun):
        for number in range(10_000):
            subject = Subject("path", b"%d" % number)
            found.opened("lint", subject, 1, "", action=0)
            found.action(1, touched=(subject.name,))
            found.action(2, touched=(subject.name,))


def test_a_run_that_continues_another() -> None:
    found = Episodes(rules(attempts=1), "X-")
    weird = Subject("path", b"\xff")
    found.opened("lint", A, 1, "", named=(b"\xfe",), violations=2, fixable=True)
    found.action(1, touched=(A.name,))
    found.opened("lint", weird, 1, "", action=1)
    found.action(2, touched=(A.name,))
    told = json.loads(json.dumps(found.dump()))
    later = Episodes(rules(attempts=1), "Y-")
    later.resume(told)
    assert {each.subject for each in later.snapshot().open} == {weird}
    assert len(refuses(later, A.name, 1)) == 1
    assert later.action(1, touched=(weird.name,)) == ("X-2",)
    assert later.opened("other", B, 1, "") == "Y-1"


def test_a_file_that_was_removed_is_fixed_unless_it_comes_back() -> None:
    found = Episodes(rules(attempts=3))
    found.opened("lint", A, 1, "", action=1, fixable=True)
    found.action(2, touched=(A.name,))
    found.removed(A, 2)
    found.opened("lint", A, 2, "", action=2)  # the same action makes it anew
    found.action(3, touched=(A.name,))
    assert found.counts() == Ended()
    found.removed(A, 3)
    found.action(4)
    assert found.counts() == Ended(fixed=1)
    assert found.records()[0]["attempts"] == 2
    second = found.opened("lint", A, 3, "", action=4, fixable=True)
    (state,) = found.snapshot().open
    assert (state.attempts, state.parent) == (3, "1") and second == "2"
    assert len(refuses(found, A.name, 5)) == 1
    found.removed(B, 5)  # nothing is known of it
    found.close()
    assert found.counts() == Ended(fixed=1, exhausted=1)


def test_the_end_of_the_run_is_the_end_of_what_was_removed() -> None:
    found = Episodes(rules())
    found.opened("lint", A, 1, "", action=1, fixable=True)
    found.removed(A, 1)
    found.close()
    assert found.counts() == Ended(fixed=1)


def test_an_attempt_is_held_to_named_files_until_it_ends() -> None:
    found = Episodes(rules(must=("only-named-files",)))
    found.opened("lint", A, 1, "t", action=1, fixable=True)
    assert runs(found, FIXER, 3)
    assert found.passed("lint", A, "u", 3)
    assert refuses(found, b"src/a.py", 3) == []
    assert len(refuses(found, b"src/c.py", 3)) == 1
    assert refuses(found, b"src/c.py", 4) == []


def test_what_bounds_attempts_that_are_over_is_bounded() -> None:
    found = Episodes(rules(must=("only-named-files",), attempts=0))
    for action in range(2, 3000):
        found.opened("lint", A, 1, "t", action=action - 1, fixable=True)
        found.action(action, touched=(A.name,))
        found.passed("lint", A, "u", action)
    assert len(found.snapshot().by_action) == 1024
    assert len(refuses(found, b"src/c.py", 2999)) == 1
