"""``[[contract]]``: what has to be shown at a stated moment, for the invariants that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from supervisor.profile.model import Rule
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect, Verdict

WHENS = ("start", "checkpoint", "commit", "stop")


class Contract(NamedTuple):
    """One compiled table: ``form`` and ``text`` are those of an attempt (``exec``, ``git push origin main``),
    ``command`` what is run instead; one of them is empty. ``paths``: files that have to be those of the base.
    ``canary``: the path of a patch that is planted instead. ``worthless``: why nothing could make it fail, where that
    is so."""

    id: str
    proves: tuple[str, ...]
    when: str
    form: str = ""
    text: str = ""
    expect: str = ""
    command: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    source: str = ""
    canary: str = ""
    worthless: str = ""


class Shown(NamedTuple):
    """What came of a contract: ``passed``, or why not. ``state``: which tree it was shown on, empty for attempts, which
    are shown on none. ``said``: the end of what a command said, which is not for the run."""

    contract: Contract
    passed: bool
    detail: str = ""
    state: str = ""
    said: str = ""

    def in_full(self) -> str:
        """For the journal, and for people when nobody of the run is left."""
        return f"{self.detail}; its output ends: {self.said}" if self.said else self.detail


def compile_contracts(rules: Iterable[Rule]) -> tuple[Contract, ...]:
    """In profile order."""
    return tuple(_compiled(rule) for rule in rules)


def _compiled(rule: Rule) -> Contract:
    fields = rule.fields
    attempt = fields.get("try")
    form, text = next(iter(attempt.items())) if isinstance(attempt, Mapping) and attempt else ("", "")
    return Contract(
        rule.id,
        _words(fields.get("proves")),
        str(fields.get("when", "")),
        str(form),
        str(text),
        str(fields.get("expect", "")),
        _words(fields.get("run")),
        rule.paths,
        rule.source,
        str(fields.get("canary", "")),
    )


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, tuple | list) else ()


_MOMENTS = {
    "start": "at the start",
    "checkpoint": "at the end of each action that changed the tree (at most every 10 s), and warned of",
    "commit": "on what each commit holds, before its ref moves; else that is refused",
    "stop": "at the end",
}


def describe(rule: Rule) -> tuple[Coverage, str]:
    """When it is shown, and what that is worth."""
    when = str(rule.fields.get("when", ""))
    moment = _MOMENTS.get(when, when)
    level = Coverage.SUPERVISED if when == "commit" else Coverage.OBSERVED
    if "canary" in rule.fields:
        return level, f"planted {moment}, in a run of its own under the same rules, on a copy"
    if "try" in rule.fields:
        again = ", and at the end again" if when == "start" else ""
        return level, f"asked {moment}{again}, of the policy that is in force"
    return level, f"run {moment}, confined, on a copy"


def is_met(expect: str, verdict: Verdict) -> bool:
    """Whether an attempt ends as it has to: ``refused`` is anything that lets the act not happen, an unanswered
    question too; the others are exactly that verdict."""
    if expect == "refused":
        return verdict.blocks
    return verdict.effect is {"ask": Effect.ASK, "deny": Effect.DENY, "allow": Effect.ALLOW}.get(expect)


def answers_for(contract: Contract, verdict: Verdict) -> bool:
    """Whether one of the invariants that the contract is to prove has spoken: a refusal by another one proves nothing
    of them."""
    if contract.expect == "allow":
        return True
    names = {name.rpartition("/")[2] for name in contract.proves}
    return any(match.invariant.id in names for match in verdict.matches)
