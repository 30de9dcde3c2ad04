"""A planted violation: a patch is applied in a copy of the tree, by a run that the same rules bind, and has to meet the
rules that the contract names, live. What the rules would have answered is not asked: what they did is read from the
journal of that run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor.invariants.contract import Contract, Shown
from supervisor.run.nested import Nested
from supervisor.run.upheld import VIOLATED, proved

if TYPE_CHECKING:
    from supervisor.run.account import Account
    from supervisor.run.contracts import Stage

_PATCH = "canary.patch"


def planted(contract: Contract, stage: Stage, nested: Nested) -> Shown:
    """Passed: each of the rules has refused something, or taken it back, and nothing that breaks one was left. Errors:
    ``GovrunError``, OSError."""
    found = stage.base.at(os.fsencode(contract.canary))
    if found is None or found.link:
        return Shown(contract, False, f"there is no patch {contract.canary}")
    patch = nested.folder / _PATCH
    patch.write_bytes(found.content)
    command = ("git", "apply", "--whitespace=nowarn", str(patch))
    policy = stage.policy
    status, said = nested.run(command, profile=stage.profile, digest=policy.digest, baselines=policy.baselines)
    known = _account(nested)
    if known is None:
        return Shown(contract, False, f"the canary could not be planted: exit {status}: {said}")
    met: list[str] = []
    missed: list[str] = []
    for rule in sorted(proved(contract)):
        counts = known.invariants.get(rule, {})
        stood = known.standing.get(rule, {}).get("state") == VIOLATED
        refused = bool(counts.get("blocked") or counts.get("reverted"))
        (met if refused and not stood else missed).append(rule)
    if not missed:
        return Shown(contract, True, f"{contract.canary}: refused by {', '.join(met)}")
    others = sorted(rule for rule, each in known.invariants.items() if each.get("blocked") or each.get("reverted"))
    told = f"; refused by {', '.join(others)}" if others else f"; git apply: exit {status} {said}".rstrip()
    return Shown(contract, False, f"{contract.canary}: {', '.join(missed)} did not stop what was planted{told}")


def _account(nested: Nested) -> Account | None:
    """What the run left, None where none began."""
    from supervisor.journal.store import list_runs
    from supervisor.run.account import account

    state = nested.state / "govrun"
    runs = list_runs(state)
    return account(state / "runs" / runs[-1]) if runs else None
