"""Questions: everything but an approval in time ends in no."""

from __future__ import annotations

import errno
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.operator.approvals import Approvals, Pending, Question, State, asks, held, listed
from supervisor.vocabulary.acts import DONE, Held, Reply

PUSH = Question("push", "pushes to origin", (b"git", b"push"), "d1", b"/w")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(timeout: float = 60.0, chance: bytes = b"\x3f\x00") -> tuple[Approvals, Clock]:
    clock = Clock()
    return Approvals(timeout, clock, lambda size: chance), clock


def never() -> Reply:
    raise AssertionError("what was not approved was done")


@pytest.mark.parametrize(
    "mode, terminal, waits",
    [
        ("auto", True, True), ("auto", False, False), ("wait", True, True), ("wait", False, True),
        ("deny", True, False), ("deny", False, False), ("", True, False), ("other", True, False),
    ],
)  # fmt: skip
def test_mode(mode: str, terminal: bool, waits: bool) -> None:
    assert asks(mode, terminal) is waits


def test_an_approved_act_is_done_once() -> None:
    approvals, _ = made()
    done = []
    pending = approvals.hold(PUSH)
    assert pending.id == "3F" and approvals.waits(pending) == "waiting 60 s: govrun approve 3F (another terminal)"
    act = held(approvals, pending, lambda: done.append(1) or Reply(value=7))
    assert act.retry() is None and not done
    result = approvals.approve("3f", "uid 1")
    assert result.done and result.told == "approved 3F, this act only: git push" and result.pending is pending
    assert act.retry() == Reply(value=7) and done == [1]
    assert act.retry() == Reply(error=errno.EACCES) and done == [1]
    assert approvals.refusal(pending) == ""
    assert not approvals.knows(PUSH)
    assert approvals.hold(PUSH).state is State.PENDING


def test_denied() -> None:
    approvals, _ = made()
    pending = approvals.hold(PUSH)
    assert approvals.deny("3F", "uid 1", "not on Fridays").told == "denied 3F: git push"
    assert held(approvals, pending, never).retry() == Reply(error=errno.EACCES)
    assert approvals.refusal(pending) == "the operator said no: not on Fridays"


def test_time_out_is_no() -> None:
    approvals, clock = made()
    pending = approvals.hold(PUSH)
    act = held(approvals, pending, never)
    clock.now += 59.9
    assert act.retry() is None and approvals.pending() == [(pending, pytest.approx(0.1))]
    clock.now += 0.1
    # Nobody has looked yet: whoever comes first, the answer is the same.
    assert (result := approvals.approve("3F", "uid 1")).word == "over" and "nobody answered in 60 s" in result.told
    assert act.retry() == Reply(error=errno.EACCES)
    assert approvals.state("3F") is State.TIMED_OUT and approvals.pending() == []
    assert approvals.refusal(pending) == "nobody answered in 60 s"
    assert approvals.deny("3F", "uid 1").word == "over"


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan])
def test_without_a_time_nothing_waits(timeout: float) -> None:
    approvals, _ = made(timeout)
    pending = approvals.hold(PUSH)
    assert held(approvals, pending, never).retry() == Reply(error=errno.EACCES)
    assert not approvals.approve(pending.id, "x").done


def test_an_endless_time_ends() -> None:
    approvals, clock = made(math.inf)
    pending = approvals.hold(PUSH)
    clock.now += 8 * 86400
    assert held(approvals, pending, never).retry() == Reply(error=errno.EACCES)


def test_of_two_answers_the_first_counts() -> None:
    approvals, _ = made()
    first, second = approvals.hold(PUSH), approvals.hold(PUSH)
    assert approvals.approve(first.id, "uid 1").done and approvals.deny(second.id, "uid 1").done
    assert (late := approvals.deny(first.id, "uid 2")).word == "answered" and "approved by uid 1" in late.told
    assert (late := approvals.approve(second.id, "uid 2")).word == "answered" and "denied by uid 1" in late.told
    assert first.state is State.APPROVED and second.state is State.DENIED
    assert held(approvals, second, never).retry() == Reply(error=errno.EACCES)


def test_nothing_is_left_to_approve_when_the_process_is_gone() -> None:
    approvals, _ = made()
    pending = approvals.hold(PUSH)
    act = held(approvals, pending, never)
    act.abandon()
    result = approvals.approve("3F", "uid 1")
    assert (result.word, result.told) == ("over", "3F is over: nobody waits for it any more") and not result.done
    assert act.retry() == Reply(error=errno.EACCES)


def test_an_approved_act_whose_process_is_gone_is_not_done() -> None:
    approvals, _ = made()
    act = held(approvals, approvals.hold(PUSH), never)
    approvals.approve("3F", "uid 1")
    act.abandon()
    assert act.retry() == Reply(error=errno.EACCES)


def test_what_waits_after_the_approval_is_waited_for() -> None:
    approvals, _ = made()
    answers: list[Reply | None] = [None, DONE]
    left = []
    act = held(approvals, approvals.hold(PUSH), lambda: Held(lambda: answers.pop(0), lambda: left.append("abandoned")))
    approvals.approve("3F", "uid 1")
    assert act.retry() is None and act.retry() is DONE
    act.abandon()
    assert left == ["abandoned"]


def test_for_run() -> None:
    approvals, _ = made()
    first, same, other = (
        approvals.hold(PUSH),
        approvals.hold(PUSH._replace(message="again")),
        approvals.hold(PUSH._replace(argv=(b"git", b"push", b"-f"))),
    )
    result = approvals.approve("3F", "uid 1", for_run=True)
    assert result.done and "for the rest of the run" in result.told
    assert (first.state, same.state, other.state) == (State.APPROVED, State.APPROVED, State.PENDING)
    assert approvals.knows(PUSH) and approvals.hold(PUSH).state is State.APPROVED
    different = [
        PUSH._replace(argv=(b"git", b"push", b"")), PUSH._replace(executable="d2"), PUSH._replace(cwd=b"/w/x"),
        PUSH._replace(invariant="other"), PUSH._replace(subject="refs/heads/main"),
    ]  # fmt: skip
    assert not any(approvals.knows(one) for one in different)
    assert [approvals.hold(one).state for one in different] == [State.PENDING] * len(different)


def test_what_is_not_known_by_its_content_is_asked_again() -> None:
    approvals, _ = made()
    unknown = PUSH._replace(executable="")
    approvals.hold(unknown)
    assert "this act only: it cannot be told apart" in approvals.approve("3F", "uid 1", for_run=True).told
    assert not approvals.knows(unknown) and approvals.hold(unknown).state is State.PENDING


@given(st.binary(min_size=2, max_size=2))
def test_an_id_names_one_question_for_good(chance: bytes) -> None:
    approvals, _ = made(chance=chance)
    seen: dict[str, Pending] = {}
    for _ in range(600):
        pending = approvals.hold(PUSH)
        assert pending.id not in seen and (len(pending.id) == 2) == (len(seen) < 256)
        seen[pending.id] = pending
        approvals.abandon(pending)
    assert not any(approvals.approve(number, "x").done for number in seen)
    assert {approvals.state(number) for number in seen} == {State.OVER}
    assert approvals.state("300") is State.UNKNOWN and approvals.state("0100") is State.UNKNOWN


def test_ids_that_were_never_given() -> None:
    approvals, _ = made()
    approvals.hold(PUSH)
    for number in ("40", "3E", "00", "FF", "100", "03F", "", "x", "+5", " 3F", "3F ", "0x3F", "٣F", "-1"):
        assert approvals.state(number) is State.UNKNOWN, number
        assert approvals.approve(number, "x").word == approvals.deny(number, "x").word == "unknown"
    assert [one.id for one, _ in approvals.pending()] == ["3F"]


def test_a_flood_is_denied() -> None:
    approvals, clock = made()
    for _ in range(128):
        assert approvals.hold(PUSH).state is State.PENDING
    over = approvals.hold(PUSH)
    assert over.state is State.DENIED and approvals.refusal(over) == "not asked: 128 other questions wait"
    assert held(approvals, over, never).retry() == Reply(error=errno.EACCES)
    assert approvals.approve(over.id, "x").word == "over"
    clock.now += 60
    assert approvals.hold(PUSH).state is State.PENDING


def test_a_pause_stops_the_time_of_questions() -> None:
    approvals, clock = made()
    before = approvals.hold(PUSH)
    clock.now += 50
    approvals.pause()
    clock.now += 1000
    approvals.pause()
    during = approvals.hold(PUSH)
    assert [left for _, left in approvals.pending()] == [10, 60]
    clock.now += 1000
    assert approvals.approve(during.id, "x").done
    approvals.resume()
    approvals.resume()
    clock.now += 9
    assert approvals.state_of(before) is State.PENDING
    clock.now += 1
    assert approvals.state_of(before) is State.TIMED_OUT


def test_what_is_shown_is_one_line_and_short() -> None:
    approvals, _ = made()
    nasty = Question(
        "a\nb", "m\x1b[31m" * 99, (b"a\nb\x1b", b"\xff\xfe", "\u202e".encode(), b"x" * 9999), "", b"/\n\xff"
    )
    approvals.hold(nasty)
    (one,) = listed(approvals)
    for name in ("command", "message", "invariant", "cwd"):
        assert str(one[name]).isprintable() and len(str(one[name])) <= 300
    assert str(one["command"]).startswith("'a b '")
    assert approvals.approve("3F", "x").told.isprintable()


@given(st.lists(st.tuples(st.sampled_from("hadxtpr"), st.integers(0, 5)), max_size=40))
def test_only_an_approval_in_time_lets_an_act_through(steps: list[tuple[str, int]]) -> None:
    approvals, clock = made(10.0)
    known: list[tuple[Pending, Held]] = []
    approved: set[str] = set()
    done: list[str] = []

    def act(number: str) -> Reply:
        done.append(number)
        return DONE

    for what, which in steps:
        pending, waiting = known[which % len(known)] if known else (None, None)
        if what == "h":
            fresh = approvals.hold(PUSH)
            known.append((fresh, held(approvals, fresh, lambda number=fresh.id: act(number))))
        elif what == "t":
            clock.now += 4
        elif what == "p":
            approvals.pause()
        elif what == "r":
            approvals.resume()
        elif pending is None or waiting is None:
            continue
        elif what == "a":
            if approvals.approve(pending.id, "x").done:
                assert pending.id not in approved
                approved.add(pending.id)
        elif what == "d":
            approvals.deny(pending.id, "x")
        else:
            waiting.abandon()
        for _, each in known:
            each.retry()
    assert len(done) == len(set(done)) and set(done) <= approved
