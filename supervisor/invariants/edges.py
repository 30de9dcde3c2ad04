"""References between groups of files (``packages/ui``), and the cycles among them.

A group is the shortest path above a file, or the file's own, that one of the globs matches: with ``packages/*`` that of
``packages/ui/src/a.ts`` is ``packages/ui``. What lies in no group takes no part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.vocabulary.content import Reference

_ALL = frozenset({"*", "**", "/*", "/**"})
_MOST_PARTS = 200


class Step(NamedTuple):
    """One edge between groups, and a file that makes it, with the line."""

    source: str
    target: str
    file: str
    line: int


def group_of(globs: Globs, path: str) -> str:
    """Empty for what is in no group."""
    if not path:
        return ""
    parts = path.split("/")
    if any(entry.value in _ALL for entry in globs.entries):
        return parts[0]
    if globs.match(path.encode("utf-8", "surrogateescape")) is None:
        return ""
    for end in range(1, min(len(parts), _MOST_PARTS)):
        prefix = "/".join(parts[:end])
        if globs.match(prefix.encode("utf-8", "surrogateescape"), directory=True) is not None:
            return prefix
    return path


class Graph:
    """The edges between groups that the files of the tree make, kept up file by file."""

    def __init__(self, groups: Globs) -> None:
        self._groups = groups
        self._of_file: dict[str, dict[str, int]] = {}  # file -> group that it leads to -> first line
        self._of_group: dict[str, dict[str, dict[str, int]]] = {}  # group -> group -> files, in order, with the line
        self._known: dict[str, str] = {}  # path -> group

    def __len__(self) -> int:
        """How many files make edges."""
        return len(self._of_file)

    def group(self, path: str) -> str:
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = group_of(self._groups, path)
            if len(self._known) > 1_000_000:
                self._known.clear()
        return found

    def edges(self) -> frozenset[tuple[str, str]]:
        return frozenset((source, target) for source, targets in self._of_group.items() for target in targets)

    def leads(self, path: str, references: Iterable[Reference]) -> dict[str, Reference]:
        """Other groups that a file at ``path`` with these references leads to, each with the first of them."""
        own = self.group(path)
        found: dict[str, Reference] = {}
        for each in references if own else ():
            target = self.group(each.to)
            if target and target != own and (target not in found or each.line < found[target].line):
                found[target] = each
        return found

    def replace(self, path: str, references: Iterable[Reference]) -> None:
        """From now on the file at ``path`` has these references and no others."""
        self.remove(path)
        found = {target: each.line for target, each in self.leads(path, references).items()}
        if not found:
            return
        self._of_file[path] = found
        targets = self._of_group.setdefault(self.group(path), {})
        for target, line in found.items():
            targets.setdefault(target, {})[path] = line

    def remove(self, path: str) -> None:
        """The file is gone. Does nothing for one that is not known."""
        own = self.group(path)
        for target in self._of_file.pop(path, {}):
            files = self._of_group[own][target]
            del files[path]
            if not files:
                del self._of_group[own][target]
        if not self._of_group.get(own, True):
            del self._of_group[own]

    def way(self, start: str, goal: str) -> tuple[Step, ...] | None:
        """The shortest way from one group to another, None where there is none. Looks at no more than can be reached
        from ``start``."""
        if start == goal:
            return ()
        before: dict[str, str] = {start: ""}
        ahead = deque([start])
        while ahead:
            source = ahead.popleft()
            for target in self._of_group.get(source, ()):
                if target in before:
                    continue
                before[target] = source
                if target == goal:
                    return self._steps(before, goal)
                ahead.append(target)
        return None

    def cycle(self, path: str) -> tuple[Step, ...]:
        """A cycle that the known references of the file at ``path`` are a part of, beginning with it; else empty."""
        own = self.group(path)
        for target, line in self._of_file.get(path, {}).items():
            back = self.way(target, own)
            if back is not None:
                return (Step(own, target, path, line), *back)
        return ()

    def _steps(self, before: dict[str, str], goal: str) -> tuple[Step, ...]:
        found: list[Step] = []
        target = goal
        while source := before[target]:
            file, line = next(iter(self._of_group[source][target].items()))
            found.append(Step(source, target, file, line))
            target = source
        return tuple(reversed(found))
