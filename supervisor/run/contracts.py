"""Contracts of a run: attempts are asked of the policy in force, commands are run in a run of their own, and canaries
are planted in one that is bound by the same rules.

What a command or a canary sees is a copy: nobody of the run can reach it. It is confined by the same means as an agent,
reads nothing that the run may not, writes nowhere but in the copy, and a command reaches no host.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.git.layout import Repository
from supervisor.invariants.contract import Contract, Shown, answers_for, is_met
from supervisor.invariants.globs import Globs
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Entry, Profile
from supervisor.run.attempts import Attempts
from supervisor.run.checking import tree_files
from supervisor.run.frozen import Files, Hides, Shape, Unsettled
from supervisor.run.narrowing import Within
from supervisor.run.nested import PATIENCE, Governed, Nested
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.verdicts import Verdict


class Stage(NamedTuple):
    """Where contracts are shown. ``shape``: the tree that they are shown on, ``base``: what it was at the start of the
    run. ``bound``: the profile in force, ``folder``: where copies are made. ``profile``: the file that was named on the
    command line."""

    policy: CompiledPolicy
    bound: Profile
    shape: Shape
    base: Files
    environ: Mapping[str, str]
    governed: Governed
    folder: Path
    profile: Path | None = None
    alive: Callable[[], bool] = lambda: True


def due(contracts: Iterable[Contract], moment: str) -> tuple[Contract, ...]:
    """What has to be shown at a moment: ``start``, ``checkpoint``, ``commit`` or ``stop``. Attempts of the start are
    asked at the end again: nothing has weakened the rules."""
    if moment == "stop":
        return tuple(each for each in contracts if each.when == "stop" or (each.when == "start" and each.form))
    return tuple(each for each in contracts if each.when == moment)


def tree_paths(policy: CompiledPolicy, repository: Repository | None, environ: Mapping[str, str]) -> list[bytes]:
    """Paths of the files that belong to the tree, relative to it. Errors: ``GovrunError``."""
    if repository is not None:
        return tree_files(repository, environ)
    found = []
    for folder, names, files in os.walk(policy.tree):
        names[:] = [name for name in names if name != b".git"]
        found += [os.path.join(folder, name)[len(policy.tree) + 1 :] for name in files]
    return found


def show(contracts: Iterable[Contract], stage: Stage) -> list[Shown]:
    """What came of each. Whatever goes wrong is a contract that is not met. Errors: ``Unsettled``."""
    attempts = Attempts(stage.policy)
    try:
        return [_shown(contract, stage, attempts) for contract in contracts]
    finally:
        attempts.close()


def _shown(contract: Contract, stage: Stage, attempts: Attempts) -> Shown:
    try:
        if contract.form:
            return _attempted(contract, attempts)
        if changed := changed_proof(contract, stage.shape, stage.base):
            return Shown(contract, False, f"proof changed: the run has changed {', '.join(changed[:5])}")
        with tempfile.TemporaryDirectory(prefix="govrun-contract-", dir=stage.folder) as folder:
            nested = Nested(Path(folder), stage.environ, stage.governed, stage.alive)
            state = stage.shape.copy(nested.tree, _hides(stage.policy))
            if contract.canary:
                from supervisor.run.canary import planted

                return planted(contract, stage, nested)._replace(state=state)
            return _run(contract, stage, nested)._replace(state=state)
    except Unsettled:
        raise
    except GovrunError as error:
        return Shown(contract, False, f"{error.what}: {error.why}")
    except OSError as error:
        return Shown(contract, False, str(error))


def _attempted(contract: Contract, attempts: Attempts) -> Shown:
    verdict = attempts.judge(contract.form, contract.text)
    what = f"{contract.form} {contract.text!r}"
    if not is_met(contract.expect, verdict):
        return Shown(contract, False, f"{what} is answered with {verdict.effect.word}, not {contract.expect}")
    if not answers_for(contract, verdict):
        told = f"{what} is refused by {_named(verdict)}, which says nothing of {', '.join(contract.proves)}"
        return Shown(contract, False, told)
    return Shown(contract, True, f"{what}: {verdict.effect.word}")


def _named(verdict: Verdict) -> str:
    return ", ".join(dict.fromkeys(match.invariant.id for match in verdict.matches)) or "nothing"


def _hides(policy: CompiledPolicy) -> Hides | None:
    """Which files of the tree the run may not read."""
    if not policy.judges_reads:
        return None
    from supervisor.invariants.hidden import beside_of

    return beside_of(policy).hides


def _run(contract: Contract, stage: Stage, nested: Nested) -> Shown:
    """What the command says is for people alone: it may have been written by the run, for the run to read."""
    within = Within(stage.bound, stage.policy, os.fsencode(nested.temp), PATIENCE)
    status, said = nested.run(contract.command, within=within)
    told = " ".join(contract.command)
    if status == 0:
        return Shown(contract, True, told)
    return Shown(contract, False, f"{told}: exit {status}; its output is kept from the run: govrun log", said=said)


def changed_proof(contract: Contract, now: Files, base: Files) -> list[str]:
    """Files that the proof stands on and that are not as they were. Errors: ``GovrunError``, OSError."""
    if not (contract.paths or contract.canary):
        return []
    paths = sorted({*proof_files(contract, now), *proof_files(contract, base)})
    return [path.decode("utf-8", "backslashreplace") for path in paths if base.at(path) != now.at(path)]


def proof_files(contract: Contract, files: Files) -> Iterator[bytes]:
    """Those of the files that the proof stands on: ``paths``, and the patch of a canary."""
    proof, patch = Globs(Entry(each, contract.source) for each in contract.paths), os.fsencode(contract.canary)
    return (path for path in files.files() if path == patch or proof.match(path) is not None)
