"""Contracts that nothing could make fail: what passes whatever the rules say proves none of them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from supervisor.invariants.contract import Contract
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Profile, Rule
from supervisor.run.attempts import Attempts
from supervisor.vocabulary.verdicts import Effect, Verdict

_NARROWS = ("allow", "only_via")  # what lets pass that the rule would else refuse
_NEVER_FAILS = frozenset(("true", ":", "echo", "printf"))
Compile = Callable[[Profile], CompiledPolicy]


def worthless(contract: Contract, profile: Profile, compiled: Compile, files: tuple[bytes, ...]) -> str:
    """Why nothing could make the contract fail, empty if something could. ``files``: paths of the tree. Errors:
    ``UsageError`` for what is no act."""
    if contract.command and contract.command[0].rpartition("/")[2] in _NEVER_FAILS:
        return f"{contract.command[0]} ends with 0 whatever is in the tree"
    return _of_attempt(contract, profile, compiled, files) if contract.form else ""


def _of_attempt(contract: Contract, profile: Profile, compiled: Compile, files: tuple[bytes, ...]) -> str:
    proved = {name.rpartition("/")[2] for name in contract.proves}
    told = ", ".join(contract.proves)
    now = _effect(compiled(profile), contract, files)
    others = tuple(rule for rule in profile.rules if rule.id not in proved)
    without = _effect(compiled(profile._replace(rules=others)), contract, files, proved)
    if without is not now:
        return ""
    if contract.expect != "allow":
        return f"{told} might as well not be there: the answer is {without.word} without it too"
    if _allows_by_list(profile, proved):
        return ""
    stricter = tuple(_strict(rule) if rule.id in proved else rule for rule in profile.rules)
    if _effect(compiled(profile._replace(rules=stricter)), contract, files) is not now:
        return ""
    return f"nothing that {told} says could refuse this"


def _effect(
    policy: CompiledPolicy, contract: Contract, files: tuple[bytes, ...], silent: Collection[str] = ()
) -> Effect:
    """The strictest answer to the attempt, leaving out what rules in ``silent`` say (those of the scope, and built-in
    ones, cannot be taken out of a profile)."""
    attempts = Attempts(policy, lambda: files)
    try:
        verdicts: list[Verdict] = attempts.verdicts(contract.form, contract.text)
    finally:
        attempts.close()
    matches = (match for verdict in verdicts for match in verdict.matches)
    return max((match.effect for match in matches if match.invariant.id not in silent), default=Effect.ALLOW)


def _allows_by_list(profile: Profile, proved: set[str]) -> bool:
    """Whether one of the rules refuses what it does not list."""
    return any(
        rule.id in proved and ("allow_only" in rule.fields or (rule.kind == "data" and "allow" in rule.fields))
        for rule in profile.rules
    )


def _strict(rule: Rule) -> Rule:
    """The rule without its exceptions."""
    fields = {key: value for key, value in rule.fields.items() if key not in _NARROWS}
    return rule._replace(fields=fields, paths=(), exempt=())
