"""What a run leaves of an invariant."""

from __future__ import annotations

import pytest

from supervisor.invariants.contract import Contract
from supervisor.run.upheld import DENIED, FAILED, HELD, PASSED, UNPROVED, VIOLATED, Evidence, Stood, standing
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match, Outcome, Verdict

RULE = Invariant("rule", "dependency", "revert", coverage=Coverage.SUPERVISED)
FLOOR = Invariant("floor", "scope", "deny", coverage=Coverage.ENFORCED)
GUARD = Invariant("guard", "guardrail", "pause", coverage=Coverage.SUPERVISED)
PROOF = Invariant("proof", "contract", "deny", coverage=Coverage.OBSERVED)
ALL = {each.id: each for each in (RULE, FLOOR, GUARD, PROOF)}
CONTRACT = Contract("proof", ("pack:default/rule",), "stop", command=("x",))


def state(ident: str = "rule", *evidence: Evidence, stood: Stood | None = None) -> object:
    return standing(ALL, (stood or Stood()).ids, evidence)[ident]["state"]


def verdict(effect: Effect, rule: Invariant = RULE) -> Verdict:
    return Verdict(effect, (Match(rule, effect, "told"),))


def test_what_nothing_shows_is_unproved_unless_the_kernel_holds_it() -> None:
    assert (state("rule"), state("floor"), state("proof")) == (UNPROVED, HELD, UNPROVED)


@pytest.mark.parametrize(
    ("evidence", "word"),
    [
        (Evidence(CONTRACT, PASSED, fresh=True), HELD),
        (Evidence(CONTRACT, PASSED, fresh=False), UNPROVED),
        (Evidence(CONTRACT._replace(worthless="never fails"), PASSED, fresh=True), UNPROVED),
        (Evidence(CONTRACT._replace(proves=("other",)), PASSED, fresh=True), UNPROVED),
        (Evidence(CONTRACT, FAILED, fresh=True), VIOLATED),
        (Evidence(CONTRACT, FAILED, fresh=False), VIOLATED),
        (Evidence(CONTRACT, DENIED, fresh=False), UNPROVED),
    ],
)
def test_a_contract_holds_what_it_is_about(evidence: Evidence, word: str) -> None:
    assert state("rule", evidence) == word


def test_one_that_fails_outweighs_one_that_passes() -> None:
    other = CONTRACT._replace(id="another")
    assert state("rule", Evidence(CONTRACT, PASSED, True), Evidence(other, FAILED, True)) == VIOLATED


def test_contracts_about_an_invariant_are_named() -> None:
    told = standing(ALL, (), [Evidence(CONTRACT, PASSED, True)])
    assert told["rule"] == {"coverage": "supervised", "state": HELD, "contracts": {"proof": "passed"}}
    assert told["proof"]["state"] == HELD and "contracts" not in told["floor"]


@pytest.mark.parametrize(
    ("effect", "rule", "word"),
    [
        (Effect.WARN, RULE, VIOLATED),
        (Effect.OBSERVE, RULE, UNPROVED),  # it notes something that breaks nothing
        (Effect.OBSERVE, RULE._replace(then="observe"), VIOLATED),
    ],
)
def test_what_is_let_be_stands(effect: Effect, rule: Invariant, word: str) -> None:
    stood = Stood()
    stood.let_be(verdict(effect, rule))
    assert state(stood=stood) == word


def test_what_is_let_be_stands_whatever_holds_the_rest() -> None:
    stood = Stood()
    stood.let_be(verdict(Effect.WARN, FLOOR))
    assert state("floor", stood=stood) == VIOLATED


def test_a_contract_is_known_by_what_came_of_it_last() -> None:
    stood = Stood()
    stood.let_be(verdict(Effect.WARN, PROOF))
    assert state("proof", Evidence(CONTRACT, PASSED, True), stood=stood) == HELD


@pytest.mark.parametrize(("outcome", "word"), [(Outcome.FAILED, VIOLATED), (Outcome.REVERTED, UNPROVED)])
def test_what_could_not_be_taken_back_stands(outcome: Outcome, word: str) -> None:
    stood = Stood()
    stood.reverting(7, verdict(Effect.REVERT))
    stood.reverted(7, outcome)
    assert state(stood=stood) == word


def test_a_ceiling_that_was_crossed_stands_unless_it_was_put_back() -> None:
    for effect, word in ((Effect.PAUSE, VIOLATED), (Effect.DENY, VIOLATED), (Effect.REVERT, UNPROVED)):
        stood = Stood()
        stood.happened(verdict(effect, GUARD))
        assert state("guard", stood=stood) == word
    stood.happened(verdict(Effect.KILL, FLOOR))  # a limit that was reached has been kept
    assert state("floor", stood=stood) == HELD
