"""Versions of Maven and RubyGems as cuts: neither is semver.

Maven's are Apache Maven's ``ComparableVersion`` without its nested lists: numbers, and words of which some come before
the release (``alpha``, ``rc``, ``snapshot``) and all others behind it. RubyGems' have any number of parts, of which
words come before numbers.
"""

from __future__ import annotations

import re
from typing import Any, Final

from supervisor.invariants.cuts import ALL, HIGH, LOW, Cut, Interval, after, before, bumped, caret, compared, merged

_MOST_PARTS = 64
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*\Z", re.ASCII)

# ------------------------------------------------------------------------------------------------------- Maven

_PIECE = re.compile(r"\d{1,18}|[a-z]+", re.ASCII)
_SAME = {"cr": "rc", "ga": "", "final": "", "release": ""}
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}
_BEFORE: Final = ("alpha", "beta", "milestone", "rc", "snapshot")
_END = (0,)
_LOWEST = (-9,)
_BRACKETS = re.compile(r"\s*([\[(\]])([^\[\](),]*)(?:(,)([^\[\](),]*))?([\])\[])\s*(?:,|\Z)", re.ASCII)


def maven(operator: str, text: str) -> tuple[Interval, ...] | None:
    """One comparator. Without an operator it is the version, of which ``1.2`` and ``1.2.0`` are two spellings;
    ``1.2.+`` and ``1.2.*`` stand for all that begin so (Gradle)."""
    prefix = re.fullmatch(r"(\d[\d.]*?)\.?[+*]", text)
    if prefix is None and text == "+":
        return ALL
    numbers = _numbers(prefix[1] if prefix is not None else text)
    if prefix is not None:
        return compared(operator, _opening(numbers), _opening(bumped(numbers, len(numbers) - 1)))
    if _VERSION.match(text) is None or not numbers:
        return None
    key = _maven_key(text)
    start, end = before(key), after(key)
    match operator:
        case "^":
            return ((start, _opening(caret(numbers))),)
        case "~" | "~>" | "~=":
            return ((start, _opening(bumped(numbers, min(1, len(numbers) - 1)))),)
        case _:
            return compared(operator, start, end)


def maven_brackets(text: str) -> tuple[Interval, ...] | None:
    """``[1,2)``, ``(,1]``, ``[1]`` and unions of them; Gradle also writes ``[1,2[`` and ``]1,2]``."""
    found: list[Interval] = []
    at = 0
    while at < len(text):
        part = _BRACKETS.match(text, at)
        if part is None or len(found) > _MOST_PARTS:
            return None
        opening, low, comma, high, closing = part.groups()
        ends = _ends(opening, low.strip(), (high or "").strip() if comma else low.strip(), closing)
        if ends is None:
            return None
        if ends[0] < ends[1]:
            found.append(ends)
        at = part.end()
    return merged(found)


def _ends(opening: str, low: str, high: str, closing: str) -> Interval | None:
    if any(each and _VERSION.match(each) is None for each in (low, high)):
        return None
    start, end = LOW, HIGH
    if low:
        start = before(_maven_key(low)) if opening == "[" else after(_maven_key(low))
    if high:
        end = after(_maven_key(high)) if closing == "]" else before(_maven_key(high))
    return start, end


def _numbers(text: str) -> tuple[int, ...]:
    leading = re.match(r"\d{1,18}(?:\.\d{1,18}){0,15}", text, re.ASCII)
    return tuple(int(number) for number in leading[0].split(".")) if leading is not None else ()


def _opening(numbers: tuple[int, ...]) -> Cut:
    """Before everything that begins with the numbers, what comes before the release itself included."""
    return before((*_trimmed([(3, number) for number in numbers]), _LOWEST))


def _maven_key(text: str) -> tuple[tuple[Any, ...], ...]:
    pieces = _PIECE.findall(text.lower())[:_MOST_PARTS]
    parts: list[tuple[Any, ...]] = []
    for at, piece in enumerate(pieces):
        if piece.isdecimal():
            parts.append((3, int(piece)))
            continue
        followed = at + 1 < len(pieces) and pieces[at + 1].isdecimal()
        word = _SHORT.get(piece, piece) if followed else piece
        word = _SAME.get(word, word)
        parts = _trimmed(parts)
        if word in _BEFORE:
            parts.append((_BEFORE.index(word) - len(_BEFORE),))
        elif word:
            parts.append((1,) if word == "sp" else (2, word))
    return (*_trimmed(parts), _END)


def _trimmed(parts: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Zeros before a word or the end say nothing."""
    kept = list(parts)
    while kept and kept[-1] == (3, 0):
        kept.pop()
    return kept


# --------------------------------------------------------------------------------------------------------- gems

_GEM = re.compile(r"\d{1,18}(?:\.[0-9A-Za-z]{1,40})*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z", re.ASCII)
_GEM_PIECE = re.compile(r"\d{1,18}|[A-Za-z]+", re.ASCII)
_ZERO = (1, 0, "")


def gem(operator: str, text: str) -> tuple[Interval, ...] | None:
    """One comparator of RubyGems. ``~> 1.2.3`` ends before ``1.3`` and all that leads to it."""
    if text.endswith(".*"):
        numbers = _numbers(text[:-2])
        return compared(operator, _gem_opening(numbers), _gem_opening(bumped(numbers, len(numbers) - 1)))
    if _GEM.match(text) is None:
        return None
    key, numbers = _gem_key(text), _numbers(text)
    start, end = before(key), after(key)
    match operator:
        case "~>" | "~" | "~=":
            fixed = numbers[: max(1, len(numbers) - 1)]
            return ((start, _gem_opening(bumped(fixed, len(fixed) - 1))),)
        case "^":
            return ((start, _gem_opening(caret(numbers))),)
        case _:
            return compared(operator, start, end)


def gem_asked(operator: str, text: str) -> tuple[Interval, ...] | None:
    """A request for ``< 2`` is not answered with ``2.0.rc1``."""
    if operator == "<" and text.replace(".", "").isdecimal():
        return ((LOW, _gem_opening(_numbers(text))),)
    return gem(operator, text)


def _gem_opening(numbers: tuple[int, ...]) -> Cut:
    kept = list(numbers)
    while kept and not kept[-1]:
        kept.pop()
    return before((*((1, number, "") for number in kept), (0, 0, "")))


def _gem_key(text: str) -> tuple[tuple[Any, ...], ...]:
    parts: list[tuple[Any, ...]] = []
    words = False
    for piece in _GEM_PIECE.findall(text.replace("-", ".pre."))[:_MOST_PARTS]:
        if piece.isdecimal():
            parts.append((1, int(piece), ""))
            continue
        if not words:
            while parts and parts[-1] == _ZERO:
                parts.pop()
        words = True
        parts.append((0, 0, piece))
    while parts and parts[-1] == _ZERO:
        parts.pop()
    return (*parts, _ZERO)
