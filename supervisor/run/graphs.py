"""How the parts of the tree lead to each other, for the boundaries that forbid cycles: filled once from the tree as it
was found, and kept up with what is accepted, moved and removed since."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from supervisor.invariants.policy import NO_STATE, CompiledPolicy, RunState
from supervisor.vocabulary.content import INSPECTOR_FAILED, Findings, Reference

if TYPE_CHECKING:
    from supervisor.invariants.boundary import BoundaryRule
    from supervisor.invariants.edges import Graph
    from supervisor.run.judgement import Source

Read = Callable[[Iterable["Source | Findings"]], Generator[Findings, None, None]]
MOST_SOURCES = 20_000
MOST_SECONDS = 60.0


def passed_on(found: Iterable[Source | Findings]) -> Generator[Findings, None, None]:
    """For who reads nothing."""
    for each in found:
        assert isinstance(each, Findings)
        yield each


class Graphs:
    """Paths are absolute, or relative to the tree. False where no rule forbids cycles; then nothing here does anything.

    ``known``: by the id of a rule, as ``RunState`` has it; empty until the graphs are whole, since a rule lets an edge
    pass only when it knows that nothing leads back."""

    def __init__(self, policy: CompiledPolicy) -> None:
        made = policy.boundaries.graphs() if policy.boundaries else {}
        rules = policy.boundaries.rules if policy.boundaries else ()
        self._rules: tuple[tuple[BoundaryRule, Graph], ...] = tuple(
            (rule, made[rule.invariant.id]) for rule in rules if rule.invariant.id in made
        )
        self._made: Mapping[str, Graph] = made
        self._inside = policy.tree + b"/"
        self._of: dict[bytes, tuple[Reference, ...]] = {}  # those that lead to another part
        self._before: dict[bytes, tuple[Reference, ...]] = {}  # of what is tried: to go back to
        self._spoken: set[bytes] = set()  # what was said of before the tree was put in
        self._changed: set[bytes] = set()
        self._unfilled: Callable[[], str] | None = None
        self._say: Callable[[str], None] | None = None
        self._found: Callable[[bytes], Findings | None] = _nothing
        self.known: Mapping[str, Graph] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def holds(self, path: bytes) -> bool:
        """Whether what a file at ``path`` references plays a part."""
        text = self._text(path)
        return any(rule.covers(text) and graph.group(text) for rule, graph in self._rules)

    def whole(self) -> None:
        """All files of the tree have been put in."""
        self.known = self._made

    def fill(
        self, paths: Iterable[bytes], found: Callable[[bytes], Source | Findings | None], read: Read = passed_on
    ) -> str:
        """Put the tree in. ``found``: what the file at an absolute path says, or what ``read`` has to find that of
        (None: there is none). What there is to tell: why it was not done, or which files could not be read; else
        empty."""
        begun = time.monotonic()
        held = [path for path in paths if self.holds(path)]
        told = "what would close a cycle cannot be told, and new references between parts are refused"
        if len(held) > MOST_SOURCES:
            return f"{len(held)} files are more than the {MOST_SOURCES} whose references are followed: {told}"
        unread = []
        ahead: deque[bytes] = deque()

        def asked() -> Iterator[Source | Findings]:
            for path in held:
                whole = self._whole(path)
                said = found(whole) if whole not in self._spoken else None
                if said is not None:
                    ahead.append(path)
                    yield said

        with closing(read(asked())) as answers:
            for said in answers:
                path = ahead.popleft()
                self._filled(self._whole(path), said.references)
                if said.refusal.startswith(INSPECTOR_FAILED):  # which says nothing of the file
                    return f"{_shown(path)}: {said.refusal}: {told}"
                if said.refusal:
                    unread.append(_shown(path))
                if time.monotonic() - begun > MOST_SECONDS:
                    return f"the references of the tree were not read within {MOST_SECONDS:.0f} s: {told}"
        self.whole()
        self._spoken.clear()
        return _unread(unread) if unread else ""

    def _filled(self, path: bytes, references: Collection[Reference]) -> None:
        if path in self._before:
            self._before[path] = tuple(references)
        else:
            self._set(path, references)

    # In a run: filled when that is first needed, since most runs touch no file that plays a part.

    def begin(
        self,
        paths: Iterable[bytes],
        first: Callable[[bytes], Source | Findings | None],
        now: Callable[[bytes], Findings | None],
        say: Callable[[str], None],
        read: Read = passed_on,
    ) -> None:
        """``paths``: all there were at the start. ``first``: what a file said then, or what ``read`` has to find that
        of; ``now``: what it says."""
        self._unfilled = lambda: self.fill(paths, first, read)
        self._found, self._say = now, say

    def state(self, path: bytes) -> RunState:
        """What a verdict on the file at ``path`` may depend on."""
        if not self.holds(path):
            return NO_STATE
        unfilled, self._unfilled = self._unfilled, None
        if unfilled is not None and (told := unfilled()) and self._say is not None:
            self._say(f"govrun: warning: {told}")
        while self._changed:
            again = self._changed.pop()
            said = self._found(again)
            if said is None or not said.refusal:  # else what was known of it stays
                self._set(again, said.references if said is not None else ())
        return RunState(graphs=self.known)

    def changed(self, path: bytes) -> None:
        """Govrun itself puts something else there: it is read again before the next verdict."""
        if self.holds(path):
            self._changed.add(self._whole(path))

    def put(self, path: bytes, references: Collection[Reference]) -> None:
        """A version of the file has been accepted."""
        whole = self._whole(path)
        self._before.pop(whole, None)
        self._speak((whole,))
        self._set(whole, references)

    def remove(self, path: bytes) -> None:
        """The file is gone."""
        if self._rules:
            self.put(path, ())

    # What is about to land counts for what lands with it, until the act is known to have happened.

    def tried(self, path: bytes, references: Collection[Reference]) -> None:
        """If the act happens, the file says this; ``settled`` tells whether it has."""
        if self._rules:
            whole = self._whole(path)
            self._before.setdefault(whole, self._of.get(whole, ()))
            self._set(whole, references)

    def settled(self, *, happened: bool) -> None:
        before, self._before = self._before, {}
        if happened:
            self._speak(before)
        else:
            for path, references in before.items():
                self._set(path, references)

    def _speak(self, paths: Iterable[bytes]) -> None:
        if self._unfilled is not None:
            self._spoken.update(paths)

    def _whole(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self._inside + path

    def _text(self, path: bytes) -> str:
        return path.removeprefix(self._inside).decode("utf-8", "surrogateescape")

    def _set(self, path: bytes, references: Collection[Reference]) -> None:
        text = self._text(path)
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


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _nothing(_path: bytes) -> Findings | None:
    return None
