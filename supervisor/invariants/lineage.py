"""``[scope] state``: files in which an agent remembers things. Nothing is refused there: each change is recorded, with
digests before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.profile.model import Scope
from supervisor.vocabulary.policy import Coverage

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy

NOTE = "each change is recorded, with digests before and after; of a file that stays open at the next judged act"


class StateRules(NamedTuple):
    """Globs below the tree, and below the home folder."""

    tree: Globs
    home: Globs

    def __bool__(self) -> bool:
        return bool(self.tree) or bool(self.home)


def compile_state(scope: Scope) -> StateRules:
    """The paths of the profile."""
    home = (entry._replace(value=entry.value[1:]) for entry in scope.state if entry.value.startswith("~/"))
    return StateRules(Globs(entry for entry in scope.state if not entry.value.startswith("~/")), Globs(home))


def describe() -> tuple[Coverage, str]:
    """How firmly it holds, and with what note."""
    return Coverage.OBSERVED, NOTE


def is_state(policy: CompiledPolicy, path: bytes) -> bool:
    """Whether the profile declares the file."""
    rules = policy.remembered
    if path.startswith(policy.tree + b"/") and rules.tree.match(path[len(policy.tree) + 1 :]) is not None:
        return True
    return path.startswith(policy.home + b"/") and rules.home.match(path[len(policy.home) + 1 :]) is not None
