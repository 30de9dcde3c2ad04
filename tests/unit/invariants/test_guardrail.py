"""``[[guardrail]]`` rules as a pure function of what has been used and what an act adds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.guardrail import (
    COUNTERS,
    MANY,
    GuardRules,
    Increment,
    LoopState,
    Usage,
    compile_guardrails,
    describe,
    fired,
    judge,
    judge_loop,
)
from supervisor.profile.model import Rule
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.content import NOTHING_FOUND, Statement
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind, NetEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, profile_of, target

EXEC = ExecEvent(ACTOR, target(b"/usr/bin/make"), b"make", (b"make",), b"/w/tree", "call")
UNLINK = FsEvent(ACTOR, FsOp.UNLINK, "unlink", target(b"src/a.py"))
WRITE = FsEvent(ACTOR, FsOp.WRITE, "openat", target(b"src/a.py"))
LANDED = ContentEvent(ACTOR, target(b"src/a.py"), NOTHING_FOUND)


def rule(**table: Any) -> Rule:
    own = {key: table.pop(key) for key in list(table) if key in Rule._fields}
    return Rule("guardrail", own.pop("id", "g"), fields=table, source="govrun.toml:1", **own)


def rules(*tables: dict[str, Any]) -> GuardRules:
    made = [rule(**{"id": f"g{number}"} | table) for number, table in enumerate(tables)]
    return compile_guardrails(made, {each.id: Invariant(each.id, "guardrail", each.then or "pause") for each in made})


def counts(**numbers: int) -> tuple[int, ...]:
    return tuple(numbers.get(name, 0) for name in COUNTERS)


def feeds(*names: str) -> int:
    return sum(1 << COUNTERS.index(name) for name in names)


def said(found: GuardRules, used: dict[str, int], event: Any, increment: Increment, **more: Any) -> list[Any]:
    usage = {each.invariant.id: Usage(counts(**used), more.pop("cooling", frozenset())) for each in found.rules}
    return list(judge(found, usage, event, more.pop("relative", b"src/a.py"), increment, **more))


def test_the_act_that_would_cross_is_refused_and_the_one_before_is_not() -> None:
    found = rules({"per": "10m", "max": {"deletes": 3}, "then": "deny"})
    one = Increment(counts=counts(deletes=1), feeds=feeds("deletes"))
    assert said(found, {"deletes": 2}, UNLINK, one) == []
    (match,) = said(found, {"deletes": 3}, UNLINK, one)
    assert match.effect is Effect.DENY
    assert match.message == "src/a.py: files deleted within 10m: 4, at most 3 may be"


def test_a_ceiling_of_nought_allows_none() -> None:
    found = rules({"per": "run", "max": {"connects": 0}})
    event = NetEvent(ACTOR, "connect", "inet", "tcp", "192.0.2.1", 443)
    (match,) = said(found, {}, event, Increment(counts=counts(connects=1)), relative=None)
    assert match.effect is Effect.PAUSE
    assert "connect 192.0.2.1:443: connections in this run: 1" in match.message


def test_what_an_act_does_not_add_to_does_not_stop_it() -> None:
    found = rules({"per": "run", "max": {"files": 1, "execs": 1}})
    assert said(found, {"files": 9, "execs": 1}, WRITE, Increment(feeds=feeds("files"))) == []
    assert len(said(found, {"execs": 1}, EXEC, Increment(counts=counts(execs=1)), relative=None)) == 1


def test_each_rule_has_its_own_part_of_an_act() -> None:
    found = rules({"per": "run", "max": {"files": 2}}, {"per": "5m", "max": {"files": 2}})
    increment = Increment({"g0": counts(), "g1": counts(files=1)})
    assert [match.invariant.id for match in said(found, {"files": 2}, WRITE, increment)] == ["g1"]


def test_what_is_not_known_is_used_up() -> None:
    found = rules({"per": "day", "max": {"files": 100}})
    (match,) = judge(found, {}, WRITE, b"a", Increment(feeds=feeds("files")))
    assert match.effect is Effect.PAUSE
    assert "not known" in match.message


def test_more_than_can_be_listed_is_too_much() -> None:
    found = rules({"per": "run", "max": {"files": (1 << 53) - 1}})
    (match,) = said(found, {}, WRITE, Increment({"g0": counts(files=MANY)}))
    assert "too many to count" in match.message


@pytest.mark.parametrize(
    ("then", "before", "landed", "ended"),
    [
        ("observe", Effect.OBSERVE, Effect.OBSERVE, Effect.OBSERVE),
        ("warn", Effect.WARN, Effect.WARN, Effect.WARN),
        ("ask", Effect.ASK, Effect.REVERT, Effect.WARN),
        ("deny", Effect.DENY, Effect.REVERT, Effect.WARN),
        ("revert", Effect.REVERT, Effect.REVERT, Effect.WARN),
        ("pause", Effect.PAUSE, Effect.PAUSE, Effect.PAUSE),
        ("kill", Effect.KILL, Effect.KILL, Effect.KILL),
    ],
)
def test_effects(then: str, before: Effect, landed: Effect, ended: Effect) -> None:
    found = rules({"per": "run", "max": {"deleted_lines": 5, "fails": 1, "files": 1}, "then": then})
    (early,) = said(found, {"files": 1}, WRITE, Increment(counts=counts(files=1)))
    (late,) = said(found, {}, LANDED, Increment(counts=counts(deleted_lines=6), after=True))
    (last,) = said(found, {"fails": 1}, EXEC, Increment(counts=counts(fails=1), after=True), relative=None)
    assert (early.effect, late.effect, last.effect) == (before, landed, ended)


def test_what_was_counted_too_late_is_refused_from_then_on() -> None:
    found = rules({"per": "action", "max": {"fails": 2, "bytes": 10}, "then": "deny"})
    start = Increment(counts=counts(execs=1), feeds=feeds("execs", "fails"))
    assert said(found, {"fails": 2}, EXEC, start, relative=None) == []
    assert len(said(found, {"fails": 3}, EXEC, start, relative=None)) == 1
    assert len(said(found, {"bytes": 11}, WRITE, Increment(feeds=feeds("files", "bytes")))) == 1
    assert said(found, {"bytes": 11}, UNLINK, Increment(feeds=feeds("deletes"))) == []
    # the end of a command that went well adds nothing
    assert said(found, {"fails": 3}, EXEC, Increment(feeds=feeds("fails"), after=True), relative=None) == []


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_a_ceiling_is_exact(most: int, used: int, add: int) -> None:
    found = rules({"per": "1h", "max": {"execs": most}})
    refused = bool(said(found, {"execs": used}, EXEC, Increment(counts=counts(execs=add)), relative=None))
    assert refused == (add > 0 and used + add > most)


# ------------------------------------------------------------------------------------------------------- cooling


def test_a_cooldown_refuses_the_same_sort_only() -> None:
    found = rules({"per": "1m", "max": {"deletes": 3, "execs": 3}, "cooldown": 30.0})
    deletion = Increment(counts=counts(deletes=1), feeds=feeds("deletes"))
    start = Increment(counts=counts(execs=1), feeds=feeds("execs"))
    usage = {"g0": Usage(counts(deletes=3, execs=0))}
    matches = list(judge(found, usage, UNLINK, b"a", deletion))
    assert list(fired(found, usage, matches, deletion)) == [("g0", "deletes")]
    cooling = frozenset(("deletes",))
    (match,) = said(found, {}, UNLINK, deletion, cooling=cooling)
    assert "30 s" in match.message
    assert said(found, {}, EXEC, start, relative=None, cooling=cooling) == []
    # to be refused while it cools does not begin it again
    assert list(fired(found, {"g0": Usage(counts(deletes=3), cooling)}, [match], deletion)) == []


# ---------------------------------------------------------------------------------------------- irreversible acts


def command(**facts: Any) -> ExecEvent:
    return EXEC._replace(commands=(Command("git", "push", ("git", "push", "origin"), **facts),))


@pytest.mark.parametrize(("word", "effect"), [("ask", Effect.ASK), ("deny", Effect.DENY)])
def test_what_cannot_be_kept_cannot_be_undone(word: str, effect: Effect) -> None:
    found = rules({"irreversible": word, "exempt": ("*.iso",)})
    (match,) = said(found, {}, UNLINK, Increment(lost=b"src/a.py"))
    assert match.effect is effect and match.message.startswith("src/a.py cannot be kept")
    assert said(found, {}, UNLINK, Increment()) == []
    assert said(found, {}, UNLINK, Increment(lost=b"src/a.iso")) == []
    # the one that is replaced is named, not the one that is moved there
    (match,) = said(found, {}, UNLINK, Increment(lost=b"src/b.py"))
    assert match.message.startswith("src/b.py cannot be kept")


@pytest.mark.parametrize(("word", "effect"), [("ask", Effect.ASK), ("deny", Effect.DENY)])
def test_what_cannot_be_undone(word: str, effect: Effect) -> None:
    found = rules({"irreversible": word})
    start = Increment(counts=counts(execs=1))
    (match,) = said(found, {}, command(irreversible=True, targets=("origin",)), start, relative=None)
    assert match == match._replace(effect=effect, message="git push (origin) cannot be undone from here")
    assert said(found, {}, command(), start, relative=None) == []
    writes = EXEC._replace(statements=(Statement(("delete",), ("a.b",), shape="DELETE FROM a.b"),))
    reads = EXEC._replace(statements=(Statement(("read",), ("a.b",)),))
    assert len(said(found, {}, writes, start, relative=None)) == 1
    assert said(found, {}, reads, start, relative=None) == []


def test_allowed_or_unsaid_is_not_judged() -> None:
    event = command(irreversible=True)
    assert said(rules({"irreversible": "allow"}, {"per": "run", "max": {"files": 1}}), {}, event, Increment()) == []


# ------------------------------------------------------------------------------------------------------- folders


def empties(pattern: str, event: FsEvent, relative: bytes | None, left: int = 0, other: bytes | None = None) -> int:
    found = rules({"never_empty": (pattern,), "then": "deny"})
    return len(said(found, {}, event, Increment(), relative=relative, other=other, remaining=lambda folder: left))


def moved(old: bytes, new: bytes, kind: Kind = Kind.FILE, there: Kind = Kind.ABSENT, **facts: Any) -> FsEvent:
    return FsEvent(ACTOR, FsOp.RENAME, "rename", target(old, kind), target(new, there), **facts)


@pytest.mark.parametrize("pattern", ["db/migrations", "db/migrations/", "db/migrations/**", "migrations", "**/*.sql"])
def test_the_last_file_of_a_watched_folder_stays(pattern: str) -> None:
    path = b"db/migrations/1.sql"
    last = FsEvent(ACTOR, FsOp.UNLINK, "unlink", target(path))
    assert empties(pattern, last, path) == 1
    assert empties(pattern, last, path, left=1) == 0
    assert empties(pattern, moved(path, b"old/1.sql"), path, other=b"old/1.sql") == 1
    assert empties(pattern, moved(path, b"db/migrations/2.sql"), path, other=b"db/migrations/2.sql") == 0
    assert empties(pattern, last._replace(target=target(b"db/x.txt")), b"db/x.txt") == 0


def test_who_cannot_tell_what_is_left_has_an_empty_folder() -> None:
    found = rules({"never_empty": ("tests",)})
    assert len(said(found, {}, UNLINK, Increment(), relative=b"tests/a.py")) == 1


def test_a_watched_folder_does_not_go_as_a_whole() -> None:
    folder = moved(b"db", b"gone", Kind.DIR, beneath=(b"migrations", b"migrations/1.sql"))
    assert empties("db/migrations", folder, b"db", left=5, other=b"gone") == 1
    assert empties("db/migrations", folder._replace(beneath=None), b"db", left=5, other=b"gone") == 1
    assert empties("db/migrations", folder._replace(beneath=(b"x",)), b"db", left=5, other=b"gone") == 0
    itself = moved(b"db/migrations", b"db/old", Kind.DIR)
    assert empties("db/migrations", itself, b"db/migrations", left=5, other=b"db/old") == 1
    swapped = moved(b"empty", b"tests", Kind.DIR, Kind.DIR, exchange=True, beneath_other=(b"a",))
    assert empties("tests", swapped, b"empty", left=5, other=b"tests") == 1
    full = swapped._replace(beneath=(b"a",))
    assert empties("tests", full, b"empty", left=5, other=b"tests") == 0
    file = moved(b"tests", b"x", Kind.DIR, Kind.LINK, exchange=True, beneath=(b"a",))
    assert empties("tests", file, b"tests", left=5, other=b"x") == 1


def test_git_may_go_to_a_commit_without_the_folder() -> None:
    found = rules({"never_empty": ("tests",)})
    assert said(found, {}, UNLINK, Increment(by_git=(1, 2)), relative=b"tests/a.py") == []


# --------------------------------------------------------------------------------------------------------- loops


def test_repetition() -> None:
    found = rules({"loop": {"same_failing": 4, "alternating": 6}, "then": "deny"})

    def of(state: LoopState, *, ended: bool) -> list[Effect]:
        return [match.effect for match in judge_loop(found, state, "make test", ended=ended)]

    assert of(LoopState(3, 5, 2), ended=True) == []
    assert of(LoopState(4, 0, 2), ended=True) == [Effect.WARN]
    assert of(LoopState(4, 0, 2), ended=False) == [Effect.DENY]
    assert of(LoopState(0, 6, 0), ended=True) == [Effect.WARN]
    pausing = rules({"loop": {"same_failing": 4}})
    (match,) = judge_loop(pausing, LoopState(4, 0, 2), "make test", ended=True)
    assert match.effect is Effect.PAUSE
    assert match.message.startswith("make test has failed 4 times with status 2")
    warning = rules({"loop": {"same_failing": 4}, "then": "warn"})
    assert list(judge_loop(warning, LoopState(9), "x", ended=False)) == []


def test_depth_of_programs() -> None:
    found = rules({"per": "run", "max": {"depth": 3}})
    assert said(found, {}, EXEC, Increment(depth=3), relative=None) == []
    assert len(said(found, {}, EXEC, Increment(depth=4), relative=None)) == 1


# ------------------------------------------------------------------------------------------- profile and coverage


def test_what_a_profile_says_arrives() -> None:
    text = """
version = 1
[[guardrail]]
id = "x"
why = "y"
per = "10m"
max = { files = 40, deleted_lines = 600 }
loop = { same_failing = 4, alternating = 6 }
never_empty = ["tests/"]
cooldown = "1m"
irreversible = "ask"
paths = ["src/**"]
except = ["src/gen/**"]
"""
    made = next(each for each in profile_of(text).rules if each.id == "x")
    (found,) = compile_guardrails([made], {"x": Invariant("x", "guardrail", "pause")}).rules
    assert (found.effect, found.span, found.seconds) == (Effect.PAUSE, "time", 600.0)
    assert {COUNTERS[at]: most for at, most in found.ceilings} == {"files": 40, "deleted_lines": 600}
    assert (found.same_failing, found.alternating, found.cooldown) == (4, 6, 60.0)
    assert found.irreversible is Effect.ASK
    assert found.covers(b"src/a")
    assert not found.covers(b"src/gen/a")
    assert not found.covers(b"a")


@pytest.mark.parametrize(
    ("table", "coverage"),
    [
        ({"per": "run", "max": {"files": 1}}, Coverage.SUPERVISED),
        ({"per": "run", "max": {"files": 1}, "then": "warn"}, Coverage.OBSERVED),
        ({"per": "run", "max": {"fails": 1}}, Coverage.OBSERVED),
        ({"per": "run", "max": {"rows": 1}}, Coverage.UNENFORCEABLE),
        ({"loop": {"alternating": 2}}, Coverage.OBSERVED),
        ({"never_empty": ("a",)}, Coverage.SUPERVISED),
        ({"irreversible": "ask", "then": "warn"}, Coverage.SUPERVISED),
        ({"cooldown": 3.0}, Coverage.UNENFORCEABLE),
    ],
)
def test_coverage(table: dict[str, Any], coverage: Coverage) -> None:
    found, note = describe(rule(**table))
    assert found is coverage
    assert note
