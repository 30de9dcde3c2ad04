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
    ``command`` what is run instead; one of them is empty. ``paths``: files that have to be those of the base."""

    id: str
    proves: tuple[str, ...]
    when: str
    form: str = ""
    text: str = ""
    expect: str = ""
    command: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    source: str = ""


class Shown(NamedTuple):
    """What came of a contract: ``passed``, or why not."""

    contract: Contract
    passed: bool
    detail: str = ""


def compile_contracts(rules: Iterable[Rule]) -> tuple[Contract, ...]:
    """In profile order; those of a form that nothing here can show (``canary``) are left out."""
    return tuple(_compiled(rule) for rule in rules if "canary" not in rule.fields)


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
    )


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, tuple | list) else ()


def describe(rule: Rule) -> tuple[Coverage, str]:
    """When it is shown, and what that is worth."""
    when = str(rule.fields.get("when", ""))
    if "canary" in rule.fields:
        return Coverage.UNENFORCEABLE, "a canary cannot be tried yet"
    if "try" in rule.fields:
        moment = "at the start and at the end" if when == "start" else "at the end"
        note = f"asked {moment}, of the policy that is in force"
        return Coverage.OBSERVED, note if when in ("start", "stop") else f"{note} ({when} comes with a later version)"
    if when in ("start", "stop"):
        return Coverage.OBSERVED, f"run at the {'start' if when == 'start' else 'end'}, confined, on a copy of the tree"
    return Coverage.OBSERVED, f"run at the end, confined, on a copy of the tree ({when} comes with a later version)"


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
