"""Contracts before a run begins: whether they can be shown, whether they are worth it, and those of the start."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from supervisor.git.base import Objects
from supervisor.git.layout import Repository
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.invariants.contract import Contract, Shown
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Profile
from supervisor.run.compose import compile_for
from supervisor.run.contracts import Stage, changed_proof, due, proof_files, show, tree_paths
from supervisor.run.frozen import Committed, WorkTree
from supervisor.run.nested import Governed
from supervisor.run.prepare import Prepared
from supervisor.run.worth import worthless
from supervisor.vocabulary.errors import GovrunError, ProfileError

_SHOWN = 5
_PATIENCE = 10.0  # seconds for one object of git


def begin(prepared: Prepared, governed: Governed, say: Callable[[str], None]) -> tuple[Prepared, tuple[Shown, ...]]:
    """The same with contracts that know whether they are worth anything, and what came of those that were shown.
    Errors: ``ProfileError`` with all that cannot be shown, or is not met."""
    environ, repository = prepared.environment.variables, prepared.place.repository
    tree = WorkTree(prepared.policy.tree, lambda: tree_paths(prepared.policy, repository, environ))
    require_proofs(prepared.contracts, tree, repository)
    prepared = prepared._replace(contracts=tuple(_weighed(prepared, tree, say)))
    stage = Stage(
        prepared.policy, prepared.profile, tree, tree, environ, governed, prepared.state, prepared.options.profile
    )  # fmt: skip
    return prepared, tuple(require_started(prepared.contracts, stage))


def _weighed(prepared: Prepared, tree: WorkTree, say: Callable[[str], None]) -> Iterator[Contract]:
    files: list[tuple[bytes, ...]] = []
    compiled = partial(_compiled, prepared)
    for contract in prepared.contracts:
        if contract.form and not files:
            files.append(tuple(tree.files()))
        try:
            why = worthless(contract, prepared.profile, compiled, files[0] if files else ())
        except GovrunError:
            why = ""  # what it is shown for says so itself
        if why:
            say(f"govrun: contract {contract.id} ({contract.source}) proves nothing: {why}")
        yield contract._replace(worthless=why)


def _compiled(prepared: Prepared, profile: Profile) -> CompiledPolicy:
    return compile_for(
        prepared.place, profile, prepared.agent, prepared.host, prepared.state, prepared.home, prepared.caches,
        verified=prepared.host.yama < 2,
    )  # fmt: skip


def require_started(contracts: Iterable[Contract], stage: Stage) -> list[Shown]:
    """What has to be shown before anything starts. Errors: ``ProfileError`` with all that is not met."""
    found = show(due(contracts, "start"), stage)
    failed = [f"{each.contract.source}: {each.contract.id}: {each.in_full()}" for each in found if not each.passed]
    if failed:
        count = f"{len(failed)} contract{'s' if len(failed) > 1 else ''}"
        fix = "correct the rule or the contract; nothing was started"
        raise ProfileError(f"{count} not met at the start", "\n".join(failed), fix)
    return found


def require_proofs(contracts: Iterable[Contract], tree: WorkTree, repository: Repository | None) -> None:
    """What a contract stands on has to be committed, and to lie there as it was: what it was could not be told at a
    later moment, and a run that never touched it would seem to have changed it. Errors: ``ProfileError``."""
    standing = [each for each in contracts if each.when != "start" and (each.canary or (each.command and each.paths))]
    if not standing:
        return
    with _base(repository) as base:
        found = [(each, _unproven(each, tree, base)) for each in standing]
    problems = [f"{contract.source}: {contract.id}: {why}" for contract, why in found if why]
    if problems:
        count = f"{len(problems)} contract{'s' if len(problems) > 1 else ''}"
        named = any(contract.paths for contract, why in found if why)
        fix = "commit the files that the proof stands on" + (", or take them out of `paths`" if named else "")
        raise ProfileError(
            f"{count} cannot be shown: nobody could tell whether the run has changed the proof",
            "\n".join(problems),
            fix,
        )


def _unproven(contract: Contract, tree: WorkTree, base: Committed) -> str:
    names = [*contract.paths, *([contract.canary] if contract.canary else [])]
    told = ", ".join(names)
    if base.objects is None:
        return f"it stands on {told}, and there is no commit that they could be compared with"
    if contract.canary and base.at(os.fsencode(contract.canary)) is None:
        return f"the commit that the run begins at has no file {contract.canary}"
    if contract.paths and not any(True for _ in proof_files(contract, base)):
        return f"no file of the commit that the run begins at matches {', '.join(contract.paths)}"
    changed = changed_proof(contract, tree, base)
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return f"not as the commit has them: {', '.join(changed[:_SHOWN])}{more}" if changed else ""


@contextmanager
def _base(repository: Repository | None) -> Iterator[Committed]:
    """The commit that is checked out."""
    if repository is None or not repository.head_commit:
        yield Committed(None, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        own = make_own(Path(folder) / "git", repository.common_dir, repository.object_format)
        objects = Objects(Git(own), timeout=_PATIENCE)
        try:
            yield Committed(objects, repository.head_commit)
        finally:
            objects.close()
