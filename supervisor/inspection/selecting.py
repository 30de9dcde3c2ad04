"""What stands in a document where a rule looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from supervisor.inspection.decoding import Unreadable, whole
from supervisor.inspection.document_nodes import Items, Leaf, Made, Members, Node, Work, made
from supervisor.invariants.selector import Deep, Index, Name, Step, selector
from supervisor.vocabulary.content import Scalar, Selection, Value

LONGEST: Final = 1900  # characters of a value that are told
_MOST_PLACES = 5000
_MOST_SCALARS = 2000
_DEEPEST = 64
_PLAIN = re.compile(r"[^.\[\]\"\s]+")

Place = tuple[str, ...]


class Looker:
    """Follows paths in one document. ``embedded`` reads a document out of a string (a policy in JSON)."""

    def __init__(self, work: Work, embedded: Callable[[str, int], Made | None]) -> None:
        self._work, self._embedded = work, embedded
        self._told = 0

    def values(self, root: Node, prefix: str, at: str, selections: Iterable[Selection]) -> Iterator[Value]:
        """``selections`` look at the same place. ``prefix`` goes before it as it is told. ``ValueError`` for a path
        that is none."""
        for place, node, line in self._walk(root, _steps(at), 0, (prefix,) if prefix else (), 0):
            elements: tuple[tuple[Made, Place, int], ...] | None = None
            for selection in selections:
                fields = selection.fields or ("",)
                if any(fields) and elements is None:
                    elements = tuple(self._places(node, place, line))
                for each, where, its_line in elements or () if any(fields) else ((node, place, line),):
                    yield self._value(selection.id, where, its_line, each, fields)

    def _places(self, node: Made, place: Place, line: int, depth: int = 0) -> Iterator[tuple[Made, Place, int]]:
        """The elements of a list: a rule about members looks at each."""
        self._enter(depth)
        if not isinstance(node, Items):
            yield node, place, line
            return
        for number, item in enumerate(node.items):
            where = place if node.spread else _at(place, number)
            yield from self._places(made(item), where, item.line or line, depth + 1)

    def _enter(self, depth: int) -> None:
        self._work.spend()
        if depth > _DEEPEST:
            raise Unreadable(f"nested more than {_DEEPEST} levels deep where a rule looks")

    # ------------------------------------------------------------------------------------------------- walking

    def _walk(
        self, node: Node, steps: tuple[Step, ...], number: int, place: Place, depth: int
    ) -> Iterator[tuple[Place, Made, int]]:
        self._enter(depth)
        line, here = node.line, made(node)
        if number == len(steps):
            yield place, here, line
            return
        step = steps[number]
        if isinstance(here, Leaf):
            inner = self._embedded(here.value, here.line) if isinstance(here.value, str) else None
            if inner is None:
                yield from self._leaf(here, steps, number, place)
                return
            here = inner
        if isinstance(here, Leaf):
            return
        if isinstance(here, Items) and (here.spread or isinstance(step, Name)):
            for at, item in enumerate(here.items):
                yield from self._walk(item, steps, number, place if here.spread else _at(place, at), depth + 1)
        elif isinstance(step, Name):
            if isinstance(here, Members):
                for name, node_of in _members(here):
                    if step.takes(name):
                        yield from self._walk(node_of, steps, number + 1, (*place, _quoted(name)), depth + 1)
        elif isinstance(step, Index):
            yield from self._index(step, here, steps, number, place, depth)
        else:
            yield from self._deep(here, steps, number, place, depth)

    def _leaf(
        self, leaf: Leaf, steps: tuple[Step, ...], number: int, place: Place
    ) -> Iterator[tuple[Place, Made, int]]:
        """A path ends early in a scalar; in one that the text does not tell, what it leads to is not told either."""
        rest = steps[number:]
        here = all(isinstance(step, Deep) or (isinstance(step, Index) and step.at in (None, 0, -1)) for step in rest)
        dark = not leaf.known and leaf.value is None and not any(isinstance(step, Deep) for step in steps)
        if here or dark:
            yield place, leaf, leaf.line

    def _index(
        self, step: Index, here: Items | Members, steps: tuple[Step, ...], number: int, place: Place, depth: int
    ) -> Iterator[tuple[Place, Made, int]]:
        if isinstance(here, Members):
            # A block of its own is a list of one; below `**` every member is met anyway.
            if step.at in (None, 0, -1) and not (number and isinstance(steps[number - 1], Deep)):
                yield from self._walk(here, steps, number + 1, place, depth + 1)
            return
        count = len(here.items)
        wanted = step.at if step.at is None or step.at >= 0 else count + step.at
        for at in range(count) if wanted is None else (wanted,) if 0 <= wanted < count else ():
            yield from self._walk(here.items[at], steps, number + 1, _at(place, at), depth + 1)

    def _deep(
        self, here: Items | Members, steps: tuple[Step, ...], number: int, place: Place, depth: int
    ) -> Iterator[tuple[Place, Made, int]]:
        if number + 1 == len(steps) or isinstance(here, Members) or isinstance(steps[number + 1], Index):
            yield from self._walk(here, steps, number + 1, place, depth + 1)
        if isinstance(here, Items):
            for at, item in enumerate(here.items):
                yield from self._walk(item, steps, number, _at(place, at), depth + 1)
        else:
            brought = any(name == "dynamic" and any(_labelled(made(node))) for name, node in here.pairs)
            for name, node in _members(here):
                if not (brought and name == "dynamic"):
                    yield from self._walk(node, steps, number, (*place, _quoted(name)), depth + 1)

    # -------------------------------------------------------------------------------------------------- values

    def _value(self, rule: str, place: Place, line: int, node: Made, fields: tuple[str, ...]) -> Value:
        self._told += 1
        if self._told > _MOST_PLACES:
            raise Unreadable(f"rules look at more than {_MOST_PLACES} places in it")
        if any(fields) and isinstance(node, Leaf) and isinstance(node.value, str):
            node = self._embedded(node.value, node.line) or node
        told: list[tuple[str, tuple[Scalar, ...]]] = []
        unsure: list[str] = []
        for name in fields:
            found: list[Scalar] = []
            if not self._field(node, name, found):
                unsure.append(name)
            told.append((name, tuple(found)))
        return Value(rule, whole(".".join(place)), line, tuple(told), not unsure, tuple(unsure))

    def _field(self, node: Made, name: str, found: list[Scalar]) -> bool:
        """Adds the values of one member to ``found``; whether they are told whole."""
        if not name:
            return self._scalars(node, found, 0)
        if isinstance(node, Leaf):
            return node.known
        if not isinstance(node, Members):
            return self._scalars(node, found, 0)
        own = [inner for key, inner in _members(node) if key == name]
        if own:
            return self._every(own, found)
        if not node.known:
            return False
        if _PLAIN.fullmatch(name) and "*" not in name and "|" not in name:
            return True
        return self._every((inner for _, inner, _ in self._walk(node, _steps(name), 0, (), 0)), found)

    def _every(self, nodes: Iterable[Node], found: list[Scalar]) -> bool:
        known = True
        for node in nodes:
            known &= self._scalars(made(node), found, 0)
        return known

    def _scalars(self, node: Made, found: list[Scalar], depth: int) -> bool:
        self._enter(depth)
        if len(found) > _MOST_SCALARS:
            raise Unreadable(f"more than {_MOST_SCALARS} values in one place where a rule looks")
        if isinstance(node, Leaf):
            value = node.value
            if isinstance(value, str) and len(value) > LONGEST:
                found.append(whole(value, LONGEST))
                return False
            if node.known or value is not None:
                found.append(whole(value, LONGEST) if isinstance(value, str) else value)
            return node.known
        if isinstance(node, Members):
            found.extend(whole(name) for name, _ in node.pairs[:_MOST_SCALARS])
            return node.known
        known = node.known
        for item in node.items:
            known &= self._scalars(made(item), found, depth + 1)
        return known


def _members(here: Members) -> Iterator[tuple[str, Node]]:
    """With what Terraform's ``dynamic`` blocks bring: they are blocks of their label."""
    for name, node in here.pairs:
        yield name, node
        if name == "dynamic":
            yield from _labelled(made(node))


def _labelled(dynamic: Made) -> Iterator[tuple[str, Node]]:
    for outer in dynamic.items if isinstance(dynamic, Items) else (dynamic,):
        blocks = made(outer)
        for label, block in blocks.pairs if isinstance(blocks, Members) else ():
            body = made(block)
            for each in body.items if isinstance(body, Items) else (body,):
                inner = made(each)
                for name, content in inner.pairs if isinstance(inner, Members) else ():
                    if name == "content":
                        yield label, content


def may_lead_somewhere(at: str, text: str) -> bool:
    """Whether every name on the path stands in ``text``, wherever."""
    return all(
        any(name in text for name in step.exact)
        for step in _steps(at)
        if isinstance(step, Name) and step.pattern is None
    )


@lru_cache(maxsize=512)
def _steps(text: str) -> tuple[Step, ...]:
    return selector(text)


def _at(place: Place, number: int) -> Place:
    return (*place[:-1], f"{place[-1]}[{number}]") if place else (f"[{number}]",)


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', "'") + '"'
