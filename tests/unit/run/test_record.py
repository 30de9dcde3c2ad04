"""Records and counts: every attempt is counted once and A = S + F + B + U at any moment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from supervisor.journal.reader import Reader
from supervisor.journal.writer import Journal
from supervisor.run.record import Recorder, kind_of, source_key
from supervisor.vocabulary.events import (
    Actor,
    ExecEvent,
    FsEvent,
    FsOp,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    ProcessEvent,
    RefEvent,
)
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import ALLOWED, Effect, Match, Outcome, Verdict
from tests.property.world import ACTOR, config, create, target, write

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
RULE = Invariant("scope.write", "scope", "deny", "why", "use", "0007", "b" * 40, "govrun.toml:3", Coverage.SUPERVISED)
OTHER = Invariant("govrun.policy", "builtin", "deny", source="govrun")
DENIED = Verdict(Effect.DENY, (Match(RULE, Effect.DENY, "outside"), Match(OTHER, Effect.DENY, "binds")))
WARNED = Verdict(Effect.WARN, (Match(RULE, Effect.WARN, "outside"),))
EXEC = ExecEvent(ACTOR, target(b"/usr/bin/ls"), b"ls", (b"ls", b"\xff"), b"/w", "call", chain=(b"/bin/sh",))


class Book:
    """A real journal in a folder of its own, and what was written to it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.journal = Journal(self.folder, RUN)
        self.recorder = Recorder(self.journal, "p" * 64)

    def records(self) -> list[dict[str, Any]]:
        return list(Reader(self.folder))

    def close(self) -> None:
        self.journal.close()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


@pytest.fixture
def book() -> Any:
    book = Book()
    yield book
    book.close()


def test_an_act_is_an_intent_and_an_outcome(book: Book) -> None:
    seq = book.recorder.intent(write(b"a"), ALLOWED)
    assert book.recorder.counts.as_dict() == {"attempted": 1, "succeeded": 0, "failed": 0, "blocked": 0, "unknown": 1}
    book.recorder.outcome(seq, "fs.write", Outcome.FAILED, 28)
    intent, outcome = book.records()
    assert (intent["kind"], intent["phase"], intent["verdict"], intent["seq"]) == ("fs.write", "intent", "allow", 1)
    assert (outcome["phase"], outcome["cause"], outcome["outcome"], outcome["errno"]) == ("outcome", 1, "failed", 28)
    assert book.recorder.counts.as_dict() == {"attempted": 1, "succeeded": 0, "failed": 1, "blocked": 0, "unknown": 0}


def test_a_refusal_names_every_invariant_and_the_decision(book: Book) -> None:
    book.recorder.blocked(create(b"a\xff"), DENIED, 13, "told")
    record = book.records()[0]
    assert record["outcome"] == "blocked"
    assert (record["invariant"], record["matched"]) == ("scope.write", ["scope.write", "govrun.policy"])
    assert (record["adr"], record["adr_blob"], record["why"], record["use"]) == ("0007", "b" * 40, "why", "use")
    assert (record["coverage"], record["invariant_kind"], record["policy_blob"]) == ("supervised", "scope", "p" * 64)
    assert (record["errno"], record["message"], record["verdict"]) == (13, "told", "deny")
    assert book.recorder.counts.decisions == {"scope.write<-0007": 1}


def test_an_act_refused_after_it_began_is_one_attempt(book: Book) -> None:
    seq = book.recorder.intent(EXEC, ALLOWED)
    book.recorder.blocked(EXEC, DENIED, 13, "told", seq)
    assert book.recorder.counts.as_dict() == {"attempted": 1, "succeeded": 0, "failed": 0, "blocked": 1, "unknown": 0}
    assert book.records()[1]["cause"] == seq


def test_what_was_only_seen_is_counted_as_done(book: Book) -> None:
    book.recorder.observed(RefEvent(ACTOR, "refs/heads/x", "", "1" * 40), ALLOWED)
    assert book.recorder.counts.as_dict()["succeeded"] == 1
    assert book.records()[0]["binding"] == "post_hoc"


def test_notes_of_the_run_itself_are_no_attempts(book: Book) -> None:
    book.recorder.begin(["x"], b"/")
    assert book.recorder.counts.attempted == 0


def test_warnings_are_counted(book: Book) -> None:
    book.recorder.intent(write(b"a"), WARNED)
    book.recorder.intent(write(b"a"), ALLOWED)
    book.recorder.observed(write(b"a"), WARNED._replace(effect=Effect.OBSERVE))
    book.recorder.blocked(write(b"a"), DENIED, 13, "")
    assert book.recorder.counts.warned == 2


def test_the_decision_is_the_record_else_where_the_rule_was_written() -> None:
    assert source_key(RULE) == "scope.write<-0007"
    assert source_key(RULE._replace(adr="")) == "scope.write<-govrun.toml:3"
    assert source_key(RULE._replace(adr="", source="")) == "scope.write<-govrun"


def test_kinds() -> None:
    assert kind_of(create(b"x")) == "fs.create"
    assert kind_of(config(b".git/config")) == "state"
    assert kind_of(EXEC) == "exec"
    assert kind_of(NetEvent(ACTOR, "connect", "inet", "tcp")) == "net.connect"
    assert kind_of(ProcessEvent(ACTOR, "signal", 1, True, "")) == "process"
    assert kind_of(RefEvent(ACTOR, "r", "", "")) == "git.ref"
    assert kind_of(LifecycleEvent("timeout", "")) == "policy"
    assert kind_of(ObservationGap("x", "")) == "gap"


# ------------------------------------------------------------------------------------- the short way of a record

paths = st.binary(min_size=1, max_size=12).map(lambda raw: b"/" + raw.replace(b"\0", b"."))
file_events = st.builds(
    FsEvent,
    actor=st.builds(
        Actor,
        pid=st.integers(1, 9),
        ppid=st.integers(0, 9),
        start=st.integers(0, 9),
        exe=paths,
        argv=st.lists(st.binary(max_size=300), max_size=40).map(tuple),
        action=st.integers(0, 3),
    ),
    op=st.sampled_from(list(FsOp)),
    call=st.sampled_from(["openat", "rename"]),
    target=paths.map(target),
    other=st.one_of(st.none(), paths.map(target)),
    mode=st.sampled_from([0, 0o644, 0o4755]),
)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(file_events, min_size=1, max_size=4))
def test_the_short_way_writes_the_same_record(events: list[FsEvent]) -> None:
    book = Book()
    try:
        for event in events:
            book.recorder.intent(event, ALLOWED)
            book.journal.append(book.recorder._record(event, ALLOWED, "intent"))
        records = book.records()
        assert len(records) == 2 * len(events)
        for short, long in zip(records[::2], records[1::2], strict=True):
            assert {k: v for k, v in short.items() if k not in ("seq", "time")} == {
                k: v for k, v in long.items() if k not in ("seq", "time")
            }
    finally:
        book.close()


def test_a_very_long_record_is_cut_and_says_so(book: Book) -> None:
    book.recorder.intent(create(b"x" * 100_000), ALLOWED)
    record = book.records()[0]
    assert record["cut"].startswith("sha256:")
    assert (record["kind"], record["phase"]) == ("fs.create", "intent")


# --------------------------------------------------------------------------------------------------- arithmetic


class Arithmetic(RuleBasedStateMachine):
    """Any sequence of intents, outcomes, refusals and observations, against counting by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.open: list[int] = []
        self.expected = {"attempted": 0, "succeeded": 0, "failed": 0, "blocked": 0}

    @initialize()
    def begin(self) -> None:
        self.book.recorder.note("run.start")

    @rule(
        event=st.sampled_from([write(b"a"), EXEC, config(b".git/config")]), verdict=st.sampled_from([ALLOWED, WARNED])
    )
    def intend(self, event: Any, verdict: Verdict) -> None:
        self.open.append(self.book.recorder.intent(event, verdict))
        self.expected["attempted"] += 1

    @rule(outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN]))
    def end(self, outcome: Outcome) -> None:
        if self.open:
            self.book.recorder.outcome(self.open.pop(), "exec", outcome)
            if outcome is not Outcome.UNKNOWN:
                self.expected[outcome.value] += 1

    @rule(late=st.booleans())
    def block(self, late: bool) -> None:
        cause = self.open.pop() if late and self.open else 0
        self.book.recorder.blocked(EXEC, DENIED, 13, "m", cause)
        self.expected["attempted"] += 0 if cause else 1
        self.expected["blocked"] += 1

    @rule()
    def observe(self) -> None:
        self.book.recorder.observed(RefEvent(ACTOR, "r", "", "1"), ALLOWED)
        self.expected["attempted"] += 1
        self.expected["succeeded"] += 1

    @invariant()
    def adds_up(self) -> None:
        counts = self.book.recorder.counts.as_dict()
        unknown = counts.pop("unknown")
        assert counts == self.expected
        assert unknown >= len(self.open)
        assert counts["attempted"] == counts["succeeded"] + counts["failed"] + counts["blocked"] + unknown
        assert unknown >= 0

    def teardown(self) -> None:
        self.book.close()


def test_the_counts_add_up_whatever_happens() -> None:
    bounded = settings(max_examples=25, stateful_step_count=20, deadline=None, database=None)
    run_state_machine_as_test(Arithmetic, settings=bounded)  # type: ignore[no-untyped-call]
