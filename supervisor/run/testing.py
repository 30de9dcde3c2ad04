"""Everything the profile says of itself, shown: its examples and its contracts, and contracts that show nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.invariants.contract import Shown, compile_contracts
from supervisor.run import contracts
from supervisor.run.checking import Here, policy_here
from supervisor.run.compose import baselines_of
from supervisor.run.examples import ask, examples
from supervisor.run.frozen import WorkTree
from supervisor.run.start import governed
from supervisor.run.worth import worthless
from supervisor.vocabulary.errors import GovrunError

PASSED, FAILED, WORTHLESS, SKIPPED = "passed", "failed", "worthless", "skipped"


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
    compiled = compile_contracts(here.profile.contracts)
    state = Path(os.fsdecode(here.policy.state))
    if run and any(not each.form for each in compiled):
        os.makedirs(state, mode=0o700, exist_ok=True)
    tree = WorkTree(here.policy.tree, lambda: files)
    policy = here.policy
    if run and any(each.canary for each in compiled):
        policy = policy._replace(baselines=baselines_of(here.place, here.profile))
    stage = contracts.Stage(policy, here.profile, tree, tree, environ, governed, state)
    for contract in compiled:
        text = f"{contract.form}: {contract.text} -> {contract.expect}" if contract.form else " ".join(contract.command)
        text = text or f"canary: {contract.canary}"
        if contract.form or run:
            yield _of_contract(here, files, contracts.show([contract], stage)[0], text)
        else:
            yield Tested("contract", contract.id, contract.source, text, SKIPPED, "it is run with --run")


def _of_contract(here: Here, files: tuple[bytes, ...], answer: Shown, text: str) -> Tested:
    contract = answer.contract
    state, detail = (PASSED if answer.passed else FAILED), answer.in_full()
    if answer.passed:
        why = worthless(contract, here.profile, here.compile, files)
        if why:
            state, detail = WORTHLESS, why
    return Tested("contract", contract.id, contract.source, text, state, detail)
