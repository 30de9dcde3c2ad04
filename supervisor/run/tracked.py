"""Hidden files that git tracks: what was committed lies in the object store too, where a run reads it with git."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from supervisor.git.layout import Repository
from supervisor.git.view import View
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.problems import plain
from supervisor.vocabulary.errors import GovrunError

_SHOWN = 4


def warnings(policy: CompiledPolicy, repository: Repository | None) -> tuple[str, ...]:
    """What is said of them before a start; nothing where no rule hides files by name."""
    if repository is None:
        return ()
    try:
        with tempfile.TemporaryDirectory(prefix="govrun-tracked-") as folder:
            paths = View(Path(folder) / "view", repository).tracked()
    except (GovrunError, OSError) as error:
        return (f"whether git tracks what is hidden is not known: {getattr(error, 'why', error)}",)
    found = [plain(path.decode("utf-8", "backslashreplace")) for path in _hidden(policy, paths)]
    if not found:
        return ()
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    named = ", ".join(islice(found, _SHOWN))
    return (
        f"git tracks what is hidden: {named}{more}; every committed version can be read (git show HEAD:{found[0]})",
    )


def _hidden(policy: CompiledPolicy, paths: list[bytes]) -> Iterator[bytes]:
    sets = [policy.hidden.tree] if policy.hidden else []
    exempt = []
    for rule in policy.data.rules if policy.data else ():
        if rule.access == "hide":
            sets.append(rule.paths)
            exempt.append(rule.exempt)
    for path in paths:
        if any(globs.match(path) is not None for globs in sets) and not any(globs.match(path) for globs in exempt):
            yield path
