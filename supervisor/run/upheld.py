"""What a run leaves of each invariant: held, violated, or neither shown nor seen to be broken.

An invariant is **violated** where something that breaks it was let be (a warning, somebody else's change, a ceiling
that was crossed by what had happened already), could not be taken back, or where a contract that proves it is not met
at the end. It is **held** where a contract that is able to fail has passed on the tree as the run left it, or where the
kernel alone enforces it. In all other cases it is **unproved**: nothing contradicts it, and nothing shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from supervisor.invariants.contract import Contract
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Outcome, Verdict

HELD, VIOLATED, UNPROVED = "held", "violated", "unproved"
PASSED, FAILED, DENIED = "passed", "failed", "denied"


class Evidence(NamedTuple):
    """What came of a contract when it was last shown: ``PASSED``, ``FAILED``, or ``DENIED`` where what it failed on was
    refused. ``fresh``: on the tree as it is at the end."""

    contract: Contract
    came: str
    fresh: bool


class Stood:
    """Ids of invariants of which a violation stands. Told of verdicts that do not keep their act from happening."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._reverting: dict[int, Verdict] = {}

    def let_be(self, verdict: Verdict) -> None:
        """What is warned of happens. A rule may observe what breaks nothing; one that *is* to observe has been broken.
        What came of contracts is known by itself."""
        for match in verdict.matches:
            if match.invariant.kind == "contract":
                continue
            if match.effect is Effect.WARN or (match.effect is Effect.OBSERVE and match.invariant.then == "observe"):
                self.ids.add(match.invariant.id)

    def found(self, verdict: Verdict) -> None:
        """It is there, and nobody of the run has done it."""
        self.ids.update(match.invariant.id for match in verdict.matches)

    def happened(self, verdict: Verdict) -> None:
        """A ceiling was crossed by what cannot be refused any more; ``revert`` puts it back."""
        crossed = (match for match in verdict.matches if match.invariant.kind == "guardrail")
        self.ids.update(each.invariant.id for each in crossed if each.effect is not Effect.REVERT)

    def reverting(self, seq: int, verdict: Verdict) -> None:
        self._reverting[seq] = verdict

    def reverted(self, seq: int, outcome: Outcome) -> None:
        """How the revert of intent ``seq`` ended."""
        verdict = self._reverting.pop(seq, None)
        if verdict is not None and outcome is Outcome.FAILED:
            self.found(verdict)


def proved(contract: Contract) -> frozenset[str]:
    """Ids of the invariants that a contract is about, without the pack that they come from."""
    return frozenset(name.rpartition("/")[2] for name in contract.proves)


def standing(
    invariants: Mapping[str, Invariant], stood: Iterable[str], evidence: Iterable[Evidence]
) -> dict[str, dict[str, object]]:
    """By id: ``coverage``, ``state``, and the ``contracts`` about it with what came of each."""
    broken, shown = set(stood), list(evidence)
    found = {}
    for ident, invariant in invariants.items():
        about = [each for each in shown if ident in proved(each.contract) or ident == each.contract.id]
        told: dict[str, object] = {
            "coverage": invariant.coverage.word,
            "state": _state(invariant, broken=ident in broken, about=about),
        }
        if contracts := {each.contract.id: each.came for each in about}:
            told["contracts"] = contracts
        found[ident] = told
    return found


def _state(invariant: Invariant, *, broken: bool, about: list[Evidence]) -> str:
    if broken or any(each.came == FAILED for each in about):
        return VIOLATED
    if any(each.came == PASSED and each.fresh and not each.contract.worthless for each in about):
        return HELD
    return HELD if invariant.coverage is Coverage.ENFORCED else UNPROVED
