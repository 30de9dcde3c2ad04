"""``[scope] commands``: which programs may be started, by name.

A bare name stands for a program that lies where the run cannot write; whatever the run could have put there needs an
entry with a slash. So neither a copy named like an allowed program nor a link of that name passes.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Layers
from supervisor.vocabulary.events import ExecEvent


class Refusal(NamedTuple):
    message: str
    source: str


class CommandRules(NamedTuple):
    """One pair per layer that sets ``commands``: names, and patterns over paths in the tree. Empty: no limit."""

    layers: tuple[tuple[tuple[Entry, ...], Globs], ...] = ()


def compile_commands(layers: Layers) -> CommandRules:
    """Sort each layer's entries into names and paths. ``/usr/bin/x`` is a path outside the tree and kept as a name."""
    found = []
    for layer in layers:
        names = tuple(e for e in layer if "/" not in e.value or e.value.startswith("/"))
        paths = Globs(
            e._replace(value="/" + e.value.removeprefix("./"))
            for e in layer
            if "/" in e.value.strip("/") and e.value[0] != "/"
        )
        found.append((names, paths))
    return CommandRules(tuple(found))


def forbids(
    rules: CommandRules, event: ExecEvent, relative: bytes | None, writable: bool, alias_writable: bool
) -> Refusal:
    """Why the program may not run, and where the list that lacks it is written; empty when it may.

    ``relative``: the program's path in the tree, None outside; ``writable``: the run could have written it;
    ``alias_writable``: the run could have made the other name it was started by.
    """
    if not rules.layers:
        return Refusal("", "")
    path = event.target.path.decode("utf-8", "surrogateescape")
    name = path.rpartition("/")[2]
    alias = "" if alias_writable else event.alias.decode("utf-8", "surrogateescape").rpartition("/")[2]
    for names, paths in rules.layers:
        if relative is not None and paths.match(relative):
            continue
        if not writable and any(_fits(entry.value, path, name, alias) for entry in names):
            continue
        source = next((entry.source for entry in (*names, *paths.entries)), "")
        return Refusal(f"{name or path} is not among the commands of this scope", source)
    return Refusal("", "")


def _fits(pattern: str, path: str, name: str, alias: str) -> bool:
    if pattern.startswith("/"):
        return fnmatchcase(path, pattern)
    return fnmatchcase(name, pattern) or (alias != "" and fnmatchcase(alias, pattern))
