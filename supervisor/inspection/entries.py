"""Entries of JSON and TOML documents with their places in the text, and how they are cut out of it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from supervisor.vocabulary.content import Findings, Requirement

Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK_TO_END = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_SPACES = re.compile(r"[ \t]*")
_MOST_CUTS = 300


class Entry(NamedTuple):
    """One key with its value, or one element of an array.

    ``path``: keys and positions from the root, the own one last. ``text``: the value when it is a string. ``start``
    and ``end``: offsets of key and value together. ``shape``: ``item`` between commas, ``line`` of its own (TOML),
    ``table`` with a header (TOML; ``end`` is then the end of its last line). ``group``: the offset of the container,
    equal for siblings. ``value`` as a shape: the span alone goes.
    """

    path: Path
    text: str | None
    start: int
    end: int
    line: int
    shape: str
    group: int


class Located(NamedTuple):
    """A requirement, and the entries that go when it goes (none: it cannot be taken out)."""

    requirement: Requirement
    entries: tuple[Entry, ...] = ()


class Document(NamedTuple):
    """A manifest: what it requires, all its entries, and why it cannot be read whole (empty: it can)."""

    located: list[Located]
    entries: list[Entry]
    problem: str = ""

    def findings(self) -> Findings:
        return Findings(requirements=tuple(each.requirement for each in self.located), pending=self.problem)


def cut(text: str, entries: Sequence[Entry], doomed: Collection[Entry]) -> str:
    """``text`` without ``doomed``, which are among ``entries``. Siblings keep their commas as they were.

    ``ValueError`` for more than a person writes: every cut copies the text.
    """
    if len(doomed) > _MOST_CUTS:
        raise ValueError("too many entries to take out")
    ends: dict[int, list[int]] = {}
    for each in entries:
        ends.setdefault(each.group, []).append(each.end)
    for group in ends.values():
        group.sort()
    for entry in sorted(set(doomed), key=lambda each: each.start, reverse=True):
        if entry.shape == "item":
            siblings = ends.get(entry.group, [])
            before = bisect.bisect_right(siblings, entry.start)
            text = _without_item(text, entry, siblings[before - 1] if before else None)
        elif entry.shape == "value":
            text = text[: entry.start] + text[entry.end :]
        else:
            first = text.rfind("\n", 0, entry.start) + 1
            text = text[:first] + text[_line_after(text, entry.end) :]
    return text


def _line_after(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end + 1


def _span(pattern: re.Pattern[str], text: str, offset: int) -> int:
    found = pattern.match(text, offset)
    return offset if found is None else found.end()


def _without_item(text: str, entry: Entry, previous: int | None) -> str:
    after = _span(_SPACE, text, entry.end)
    if text[after : after + 1] == ",":
        first, last = _own_lines(text, entry.start, after + 1)
        return text[:first] + text[last:]
    first, last = _own_lines(text, entry.start, entry.end)
    comma = -1 if previous is None else _span(_SPACE, text, previous)
    if comma < 0 or text[comma : comma + 1] != ",":
        return text[:first] + text[last:]
    if text[comma + 1 : entry.start].isspace() or comma + 1 == entry.start:
        if first != entry.start:
            # Keep the line end before the entry for what closes the container.
            return text[:comma] + text[comma + 1 : first] + text[last:]
        return text[:comma] + text[entry.end :]
    return text[:comma] + text[comma + 1 : first] + text[last:]


def _own_lines(text: str, start: int, end: int) -> tuple[int, int]:
    """The span from ``start`` to ``end``, made whole lines when nothing else stands on them, else with the spaces
    that follow."""
    first = text.rfind("\n", 0, start) + 1
    rest = _BLANK_TO_END.match(text, end)
    if not text[first:start].strip(" \t") and rest is not None:
        return first, rest.end()
    return start, _span(_SPACES, text, end) if text[end - 1 : end] == "," else end
