"""Everything the profile says of itself, shown: its examples and its contracts, and contracts that show nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from supervisor.invariants.contract import Contract, Shown, compile_contracts
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Profile, Rule
from supervisor.run import contracts
from supervisor.run.attempts import Attempts
from supervisor.run.checking import Here, policy_here
from supervisor.run.examples import ask, examples
from supervisor.run.start import governed
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.verdicts import Effect, Verdict

PASSED, FAILED, WORTHLESS, SKIPPED = "passed", "failed", "worthless", "skipped"
_NARROWS = ("allow", "only_via")  # what lets pass that the rule would else refuse


class Tested(NamedTuple):
    """``kind``: ``example`` or ``contract``. ``state``: one of the four words above. ``detail``: why, or what came."""

    kind: str
    id: str
    source: str
    text: str
    state: str
    detail: str = ""


def shown(environ: Mapping[str, str], *, run: bool = False) -> list[Tested]:
    """Examples, then contracts, in the order of the profile. ``run``: start the commands of contracts too, each
    confined on a copy of the tree. Errors: ``GovrunError`` with exit code 2."""
    try:
        here = policy_here(environ)
        files = tuple(contracts.tree_paths(here.policy, here.place.repository, environ))
        return [*_examples(here, files), *_contracts(here, files, environ, run=run)]
    except GovrunError as error:
        error.exit_code = 2
        raise


def _examples(here: Here, files: tuple[bytes, ...]) -> Iterator[Tested]:
    found = list(examples(here.policy, here.profile))
    asked = iter(ask(here.policy, (each for each in found if each.asked), lambda: files))
    for each in found:
        text = f"{'denied' if each.denied else 'allowed'}: {each.text}"
        if not each.asked:
            why = "what it says depends on what a run has done"
            yield Tested("example", each.rule, each.source, text, SKIPPED, why)
            continue
        answer = next(asked)
        state = PASSED if answer.holds else FAILED
        yield Tested("example", each.rule, each.source, text, state, answer.detail)


def _contracts(here: Here, files: tuple[bytes, ...], environ: Mapping[str, str], *, run: bool) -> Iterator[Tested]:
    compiled = {each.id: each for each in compile_contracts(here.profile.contracts)}
    due = [each for each in compiled.values() if each.form or run]
    if any(each.command for each in due):
        os.makedirs(here.policy.state, mode=0o700, exist_ok=True)

    def as_it_is(path: bytes) -> contracts.File | None:
        return contracts.there(os.path.join(here.policy.tree, path))

    came = {
        each.contract.id: each
        for each in contracts.show(due, here.policy, lambda: files, as_it_is, list, environ, governed)
    }
    for rule in here.profile.contracts:
        contract, answer = compiled.get(rule.id), came.get(rule.id)
        if contract is None:
            yield Tested("contract", rule.id, rule.source, "canary", SKIPPED, "a canary cannot be tried yet")
            continue
        text = f"{contract.form}: {contract.text} -> {contract.expect}" if contract.form else " ".join(contract.command)
        if answer is None:
            yield Tested("contract", rule.id, rule.source, text, SKIPPED, "it is run with --run")
        else:
            yield _of_contract(here, files, answer, text)


def _of_contract(here: Here, files: tuple[bytes, ...], answer: Shown, text: str) -> Tested:
    contract = answer.contract
    state, detail = (PASSED if answer.passed else FAILED), answer.detail
    if answer.passed and contract.form:
        why = _worthless(here, files, contract)
        if why:
            state, detail = WORTHLESS, why
    return Tested("contract", contract.id, contract.source, text, state, detail)


def _worthless(here: Here, files: tuple[bytes, ...], contract: Contract) -> str:
    """Why nothing could make the contract fail, empty if something could."""
    proved = {name.rpartition("/")[2] for name in contract.proves}
    told = ", ".join(contract.proves)
    now = _effect(here.policy, contract, files)
    others = tuple(rule for rule in here.profile.rules if rule.id not in proved)
    without = _effect(here.compile(here.profile._replace(rules=others)), contract, files, proved)
    if without is not now:
        return ""
    if contract.expect != "allow":
        return f"{told} might as well not be there: the answer is {without.word} without it too"
    if _allows_by_list(here.profile, proved):
        return ""
    stricter = tuple(_strict(rule) if rule.id in proved else rule for rule in here.profile.rules)
    if _effect(here.compile(here.profile._replace(rules=stricter)), contract, files) is not now:
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
