"""At which surfaces each invariant is judged, and how firmly at each: one invariant may be held by the kernel where it
speaks of folders, before the act where it speaks of commands, and only afterwards where it speaks of content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from supervisor.profile.model import NOTHING, Profile, Rule
from supervisor.vocabulary.policy import Coverage, Invariant

FILES, READS, CONTENT, COMMANDS, NETWORK = "files", "reads", "content", "commands", "network"
COMMITS, CONFIGURATION, QUERIES, PROCESSES, RUN = "commits", "git configuration", "queries", "processes", "the run"
SURFACES = (FILES, READS, CONTENT, COMMANDS, NETWORK, COMMITS, CONFIGURATION, QUERIES, PROCESSES, RUN)
_ENFORCED, _SUPERVISED = Coverage.ENFORCED, Coverage.SUPERVISED
_OBSERVED, _NOT = Coverage.OBSERVED, Coverage.UNENFORCEABLE


class Judged(NamedTuple):
    """One surface of one invariant. ``how``: by what, or why not."""

    surface: str
    coverage: Coverage
    how: str


_ACT = "the call, before it is made"
_PLACED = "what a commit changes at that path, before its ref moves"
_EXEC = "the command line at exec, and again at the exec stop"
_WRITTEN = "what was written, when its writer is gone; refused where it arrives by rename, else taken back"
_LANDS = "what a commit holds, before its ref moves"

# By id: a level None is that of the invariant itself.
_KNOWN: Final[Mapping[str, tuple[tuple[str, Coverage | None, str], ...]]] = {
    "govrun.state": (
        (FILES, _ENFORCED, "Landlock: neither read nor written"),
        (NETWORK, _SUPERVISED, "its sockets: the call, before it is made"),
    ),
    "govrun.policy": ((FILES, None, _ACT), (COMMITS, _SUPERVISED, _PLACED)),
    "govrun.code": ((FILES, None, _ACT),),
    "govrun.agent": ((FILES, None, _ACT),),
    "govrun.path": ((FILES, None, _ACT),),
    "govrun.exec": ((COMMANDS, None, _EXEC),),
    "govrun.processes": ((PROCESSES, None, ""),),
    "git.internals": (
        (FILES, None, _ACT),
        (CONFIGURATION, _SUPERVISED, "the keys that change, before the new file is renamed into place"),
    ),
    "scope.write": (
        (FILES, None, f"outside of the tree Landlock; patterns inside it: {_ACT}"),
        (COMMITS, _SUPERVISED, _PLACED),
    ),
    "scope.protect": ((FILES, None, _ACT), (COMMITS, _SUPERVISED, _PLACED)),
    "scope.hide": (
        (READS, None, ""),
        (COMMANDS, _SUPERVISED, "arguments that name a hidden folder: told when the command starts"),
    ),
    "scope.hide.files": ((READS, None, ""), (FILES, None, _ACT), (COMMANDS, None, _EXEC)),
    "scope.read": ((READS, None, ""),),
    "scope.hosts": ((NETWORK, None, ""),),
    "scope.hosts.names": ((NETWORK, None, ""),),
    "scope.commands": ((COMMANDS, None, ""),),
    "scope.env": ((COMMANDS, None, ""),),
    "scope.timeout": ((RUN, None, ""),),
    "scope.files": ((PROCESSES, None, ""),),
    "scope.branches": ((COMMITS, None, ""),),
    "scope.push": ((COMMANDS, None, ""),),
    "scope.pull_requests": ((COMMANDS, None, ""),),
    "scope.commits": ((COMMITS, None, ""),),
    "scope.tools": (
        (COMMANDS, None, ""),
        (CONTENT, _OBSERVED, f"tool servers: {_WRITTEN}"),
        (COMMITS, _SUPERVISED, f"tool servers: {_LANDS}"),
    ),
    "scope.state": ((FILES, None, ""),),
    "scope.tls": ((NETWORK, None, ""),),
    "scope.disk": ((FILES, None, ""),),
    "scope.cpu": ((PROCESSES, None, ""),),
    "scope.memory": ((PROCESSES, None, ""),),
    "scope.processes": ((PROCESSES, None, ""),),
}
_CONTENT_KINDS = ("boundary", "infra", "secrets")
# Counters of guardrails: where each counts, and whether before the act.
_COUNTED: Final[Mapping[str, tuple[str, Coverage, str]]] = {
    "files": (FILES, _SUPERVISED, _ACT),
    "deletes": (FILES, _SUPERVISED, _ACT),
    "deleted_lines": (CONTENT, _OBSERVED, "counted when it was written"),
    "bytes": (CONTENT, _OBSERVED, "counted when it was written"),
    "execs": (COMMANDS, _SUPERVISED, _EXEC),
    "fails": (COMMANDS, _OBSERVED, "counted when a command has ended"),
    "connects": (NETWORK, _SUPERVISED, _ACT),
    "queries": (QUERIES, _SUPERVISED, "statements on command lines, before the client runs"),
    "rows": (QUERIES, _NOT, "answers of a database are not seen: there is no gateway yet"),
    "commits": (COMMITS, _SUPERVISED, _ACT),
    "depth": (COMMANDS, _SUPERVISED, "at exec, before the program is started"),
}


def surfaces(profile: Profile, invariants: Mapping[str, Invariant], *, git: bool) -> dict[str, tuple[Judged, ...]]:
    """By id, in the order of ``SURFACES``. ``git``: whether the tree is in a repository."""
    rules = {rule.id: rule for rule in (*profile.rules, *profile.contracts)}
    return {ident: _surfaces(found, rules.get(ident), git=git) for ident, found in invariants.items()}


def _surfaces(invariant: Invariant, rule: Rule | None, *, git: bool) -> tuple[Judged, ...]:
    found = list(_of(invariant, rule))
    if not git:
        elsewhere = [each for each in found if each.surface not in (COMMITS, CONFIGURATION)]
        found = elsewhere or [each._replace(coverage=_NOT, how="this is no git repository") for each in found]
    if invariant.coverage is _NOT:  # all of it, whatever the parts
        found = [each._replace(coverage=_NOT, how=invariant.note) for each in found]
    elif invariant.coverage is _OBSERVED:  # what only warns refuses nowhere
        found = [each._replace(coverage=min(each.coverage, _OBSERVED)) for each in found]
    order = {name: number for number, name in enumerate(SURFACES)}
    return tuple(sorted(dict.fromkeys(found), key=lambda each: order[each.surface]))


def _of(invariant: Invariant, rule: Rule | None) -> Iterator[Judged]:
    kind, fields = invariant.kind, rule.fields if rule is not None else NOTHING
    level, note = invariant.coverage, invariant.note
    if (known := _KNOWN.get(invariant.id)) is not None:
        for surface, own, how in known:
            yield Judged(surface, level if own is None else own, how or note)
    elif kind == "dependency":
        yield Judged(COMMANDS, _SUPERVISED, f"install commands: {_EXEC}")
        yield Judged(FILES, _SUPERVISED, "packages where they arrive, before the call is made")
        yield Judged(CONTENT, _OBSERVED, f"manifests, locks, imports: {_WRITTEN}")
        yield Judged(COMMITS, _SUPERVISED, _LANDS)
    elif kind == "infra" and "api" in fields:
        yield Judged(NETWORK, level, note)
    elif kind in _CONTENT_KINDS:
        yield Judged(CONTENT, _OBSERVED, _WRITTEN)
        yield Judged(COMMITS, _SUPERVISED, _LANDS)
        if kind == "infra":
            yield Judged(COMMANDS, _SUPERVISED, f"files that a command applies: {_EXEC}")
    elif kind == "rule":
        yield from (Judged(surface, level, note) for surface in (COMMANDS, FILES, NETWORK))
    elif kind in ("deploy", "command"):
        yield Judged(COMMANDS, level, _EXEC)
    elif kind == "data":
        yield from _data(invariant, fields)
    elif kind == "guardrail":
        yield from _guardrail(fields)
    elif kind == "remediation":
        yield from _remediation(fields)
    elif kind == "contract":
        yield Judged(COMMITS if fields.get("when") == "commit" else RUN, level, note)
    else:
        yield Judged(RUN, level, note)


def _data(invariant: Invariant, fields: Mapping[str, object]) -> Iterator[Judged]:
    if "service" in fields:
        yield Judged(QUERIES, _OBSERVED, "statements on command lines, before the client runs")
        yield Judged(NETWORK, _NOT, "what programs send to a database by themselves: there is no gateway yet")
        return
    hides = fields.get("access") == "hide"
    yield Judged(READS if hides else FILES, invariant.coverage, invariant.note)


def _guardrail(fields: Mapping[str, object]) -> Iterator[Judged]:
    most = fields.get("max")
    for name in most if isinstance(most, Mapping) else ():
        surface, level, how = _COUNTED[str(name)]
        yield Judged(surface, level, f"{name}: {how}")
    if fields.get("loop"):
        yield Judged(COMMANDS, _OBSERVED, "repetition: when a command has ended")
    if fields.get("never_empty"):
        yield Judged(FILES, _SUPERVISED, f"never_empty: {_ACT}")
    if fields.get("irreversible"):
        yield Judged(COMMANDS, _SUPERVISED, f"irreversible: {_EXEC}")
        yield Judged(FILES, _SUPERVISED, f"irreversible: {_ACT}")


def _remediation(fields: Mapping[str, object]) -> Iterator[Judged]:
    yield Judged(FILES, _SUPERVISED, f"while something refused is not put right: {_ACT}")
    if fields.get("fixers") or fields.get("attempts"):
        yield Judged(COMMANDS, _SUPERVISED, f"fixers by name: {_EXEC}")
