"""How the parts of the tree lead to each other, for the boundaries that forbid cycles: filled once from the tree as it
was found, and kept up with what is accepted, moved and removed since."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from supervisor.invariants.policy import CompiledPolicy
from supervisor.vocabulary.content import Findings, Reference

if TYPE_CHECKING:
    from supervisor.invariants.boundary import BoundaryRule
    from supervisor.invariants.edges import Graph

MOST_SOURCES = 20_000
MOST_SECONDS = 60.0


class Graphs:
    """Paths are relative to the tree. False where no rule forbids cycles; then nothing here does anything.

    ``known``: by the id of a rule, as ``RunState`` has it; empty until the graphs are whole, since a rule lets an edge
    pass only when it knows that nothing leads back."""

    def __init__(self, policy: CompiledPolicy) -> None:
        made = policy.boundaries.graphs() if policy.boundaries else {}
        rules = policy.boundaries.rules if policy.boundaries else ()
        self._rules: tuple[tuple[BoundaryRule, Graph], ...] = tuple(
            (rule, made[rule.invariant.id]) for rule in rules if rule.invariant.id in made
        )
        self._made: Mapping[str, Graph] = made
        self._of: dict[bytes, tuple[Reference, ...]] = {}  # those that lead to another part
        self._before: dict[bytes, tuple[Reference, ...]] = {}  # of what is tried: to go back to
        self.known: Mapping[str, Graph] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def holds(self, path: bytes) -> bool:
        """Whether what a file at ``path`` references plays a part."""
        text = _text(path)
        return any(rule.covers(text) and graph.group(text) for rule, graph in self._rules)

    def whole(self) -> None:
        """All files of the tree have been put in."""
        self.known = self._made

    def fill(self, paths: Iterable[bytes], found: Callable[[bytes], Findings | None]) -> str:
        """Put the tree in. ``found``: what a file says (None: there is no such file). What there is to tell: why it was
        not done, or which files could not be read; else empty."""
        begun = time.monotonic()
        held = [path for path in paths if self.holds(path)]
        told = "what would close a cycle cannot be told, and new references between parts are refused"
        if len(held) > MOST_SOURCES:
            return f"{len(held)} files are more than the {MOST_SOURCES} whose references are followed: {told}"
        unread = []
        for path in held:
            said = found(path)
            if said is not None:
                self.put(path, said.references)
                if said.refusal:
                    unread.append(path.decode("utf-8", "backslashreplace"))
            if time.monotonic() - begun > MOST_SECONDS:
                return f"the references of the tree were not read within {MOST_SECONDS:.0f} s: {told}"
        self.whole()
        return _unread(unread) if unread else ""

    def put(self, path: bytes, references: Collection[Reference]) -> None:
        """A version of the file has been accepted."""
        self._before.pop(path, None)
        self._set(path, references)

    def remove(self, path: bytes) -> None:
        """The file is gone."""
        if self._rules:
            self.put(path, ())

    # What is about to land counts for what lands with it, until the act is known to have happened.

    def tried(self, path: bytes, references: Collection[Reference]) -> None:
        """If the act happens, the file says this; ``settled`` tells whether it has."""
        if self._rules:
            self._before.setdefault(path, self._of.get(path, ()))
            self._set(path, references)

    def settled(self, *, happened: bool) -> None:
        before, self._before = self._before, {}
        if not happened:
            for path, references in before.items():
                self._set(path, references)

    def _set(self, path: bytes, references: Collection[Reference]) -> None:
        text = _text(path)
        leading: dict[Reference, None] = {}
        for rule, graph in self._rules:
            found = graph.leads(text, references).values() if references and rule.covers(text) else ()
            graph.replace(text, found)
            leading.update(dict.fromkeys(found))
        if leading:
            self._of[path] = tuple(leading)
        else:
            self._of.pop(path, None)


def _unread(paths: list[str]) -> str:
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return f"what {shown} may reference is not known: no cycle is told of that leads over it"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
