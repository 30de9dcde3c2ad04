"""The keys of ``[scope]`` that have a module of their own: each compiled and described by it, loaded where it is
set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervisor.profile.model import Scope
from supervisor.vocabulary.limits import KEYS, LimitFacts
from supervisor.vocabulary.policy import Coverage

_OF_BRANCHING = frozenset(("branches", "commits", "push", "pull_requests"))


def compiled(scope: Scope, limits: LimitFacts) -> dict[str, Any]:
    """What they come to, by the field of ``CompiledPolicy`` that holds it."""
    found: dict[str, Any] = {}
    if any(key in scope.sources for key in KEYS):
        from supervisor.invariants.limits import compiled as bounds

        found["limits"] = bounds(scope, limits)
    if not _OF_BRANCHING.isdisjoint(scope.sources):
        from supervisor.invariants.branching import compile_branching

        found["branching"] = compile_branching(scope)
    if "tools" in scope.sources:
        from supervisor.invariants.tools import compile_tools

        found["tools"] = compile_tools(scope)
    if "state" in scope.sources:
        from supervisor.invariants.lineage import compile_state

        found["remembered"] = compile_state(scope)
    if "tools" in scope.sources or any(not entry.source.startswith("pack:") for entry in scope.env_drop):
        from supervisor.invariants.injection import compile_injection

        found["injection"] = compile_injection(scope)
    return found


def described(
    scope: Scope, limits: LimitFacts, *, at_exec: Coverage, refs: Coverage
) -> Iterator[tuple[str, Coverage, str, str, str]]:
    """(key, coverage, note, why, what to do instead). ``at_exec``: how firmly what starts is judged, ``refs``: what
    moves a ref."""
    if any(key in scope.sources for key in KEYS):
        from supervisor.invariants.limits import described as limited

        for key, coverage, note in limited(scope, limits):
            yield key, coverage, note, "", ""
    if not _OF_BRANCHING.isdisjoint(scope.sources):
        from supervisor.invariants.branching import describe

        for said in describe(scope):
            level = at_exec if said.at_exec else refs
            missing = level is Coverage.UNENFORCEABLE
            yield said.key, level, "there is no repository here" if missing else said.note, said.why, said.use
    if "tools" in scope.sources:
        from supervisor.invariants import tools

        told = tools.describe(scope, verified=at_exec > Coverage.OBSERVED)
        yield "tools", *told, "nobody has looked at what a run brings itself", ""
    if "state" in scope.sources:
        from supervisor.invariants import lineage

        yield "state", *lineage.describe(), "what an agent remembers steers what it does next", ""
