"""``[scope] tools``: programs that a run makes for itself.

``executables``: what the run itself made or changed is executed only where one of these globs matches its path. They
are anchored at the tree; outside of it those count that begin with ``~/``, in the home folder, and those without a
slash, at any depth. What lies somewhere where the run could replace it counts as the run's where nobody can hold it
until it is read: behind a dynamic loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.invariants.places import Zone, locate
from supervisor.invariants.servers import ServerRules, compile_servers
from supervisor.profile.model import Entry, Scope
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect, Match

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy

INVARIANT = "scope.tools"
_MOST_TOLD = 8


class Programs(NamedTuple):
    """Where what the run made may be executed: ``tree`` below the tree, ``home`` below the home folder, ``named``
    anywhere."""

    tree: Globs
    home: Globs
    named: Globs


class ToolRules(NamedTuple):
    """The compiled table. ``executables`` None: the key is not set, and what is executed is not asked about.
    ``servers`` None: no names of tool servers are given. ``source``: where the table is written."""

    source: str
    executables: Programs | None = None
    servers: ServerRules | None = None

    def __bool__(self) -> bool:
        return self.executables is not None or self.servers is not None


def compile_tools(scope: Scope) -> ToolRules:
    """The table of the profile."""
    source = scope.sources.get("tools", "govrun")
    found, names = _words(scope.tools, "executables"), _words(scope.tools, "mcp")
    programs = None if found is None else _programs([Entry(value, source) for value in found])
    return ToolRules(source, programs, None if names is None else compile_servers(names))


def _programs(entries: list[Entry]) -> Programs:
    home = [entry._replace(value=entry.value[1:]) for entry in entries if entry.value.startswith("~/")]
    tree = [entry for entry in entries if not entry.value.startswith("~/")]
    named = [entry for entry in tree if "/" not in entry.value.rstrip("/")]
    return Programs(Globs(tree), Globs(home), Globs(named))


def _words(table: Mapping[str, object], key: str) -> tuple[str, ...] | None:
    found = table.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else None


def describe(scope: Scope, *, verified: bool) -> tuple[Coverage, str]:
    """How firmly it holds, and with what note."""
    acts = Effect[scope.words_of(scope.sources["tools"]).then.upper()] >= Effect.ASK
    level = Coverage.SUPERVISED if acts and verified else Coverage.OBSERVED
    notes = []
    if "executables" in scope.tools:
        notes.append(
            "executables: programs, their interpreters, what loaders and variables lead to; not what they read then"
        )
    if "mcp" in scope.tools:
        notes.append("mcp: files of agents and editors in the tree, and the commands that write them")
    return level, "; ".join(notes)


def may_run(policy: CompiledPolicy, path: bytes) -> bool:
    """Whether a file that the run made may be executed at ``path``."""
    programs = policy.tools.executables if policy.tools else None
    if programs is None:
        return True
    place = locate(policy, path)
    if place.zone is Zone.TREE:
        return programs.tree.match(place.relative) is not None
    if path.startswith(policy.home + b"/") and programs.home.match(path[len(policy.home) + 1 :]) is not None:
        return True
    return programs.named.match(path.lstrip(b"/")) is not None


def judge_exec(policy: CompiledPolicy, event: ExecEvent) -> Iterator[Match]:
    """What of the run's own making is executed, and may not be."""
    wrong = (path for path in event.authored if not may_run(policy, path))
    for path in islice(wrong, _MOST_TOLD):
        rule, effect = policy.rule(INVARIANT, policy.tools.source)
        shown = path.removeprefix(policy.tree + b"/").decode("utf-8", "backslashreplace")
        yield Match(rule, effect, f"{shown} was made or changed by this run, and executables does not name it")
