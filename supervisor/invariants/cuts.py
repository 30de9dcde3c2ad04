"""Versions as points on a line: intervals between cuts, so that "inside", "outside" and "could be either" are asked the
same way of every ecosystem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

# A cut lies before every version, just before one (0), just after one (1), or behind all. Versions of one ecosystem
# compare with each other.
Cut = tuple[Any, ...]
Interval = tuple[Cut, Cut]
LOW: Cut = (-1,)
HIGH: Cut = (1,)
ALL: tuple[Interval, ...] = ((LOW, HIGH),)


def intersect(one: Iterable[Interval], other: tuple[Interval, ...]) -> Iterator[Interval]:
    for low, high in one:
        for shut, till in other:
            start, end = max(low, shut), min(high, till)
            if start < end:
                yield start, end


def merged(found: list[Interval]) -> tuple[Interval, ...]:
    """Sorted, those that touch made one."""
    made: list[Interval] = []
    for low, high in sorted(found):
        if made and low <= made[-1][1]:
            made[-1] = (made[-1][0], max(high, made[-1][1]))
        else:
            made.append((low, high))
    return tuple(made)


def outside(low: Cut, high: Cut) -> tuple[Interval, ...]:
    return tuple((start, end) for start, end in ((LOW, low), (high, HIGH)) if start < end)


def before(version: Any) -> Cut:
    return (0, version, 0)


def after(version: Any) -> Cut:
    return (0, version, 1)


def bumped(numbers: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*numbers[:at], numbers[at] + 1)


def caret(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Where ``^`` ends: the first number that is not 0 may not change."""
    return bumped(numbers, next((at for at, number in enumerate(numbers) if number), len(numbers) - 1))


def compared(operator: str, start: Cut, end: Cut) -> tuple[Interval, ...]:
    """The plain operators, about everything between ``start`` and ``end``."""
    match operator:
        case ">=":
            return ((start, HIGH),)
        case ">":
            return ((end, HIGH),)
        case "<=":
            return ((LOW, end),)
        case "<":
            return ((LOW, start),)
        case "!=":
            return outside(start, end)
        case _:
            return ((start, end),)


def semver(numbers: tuple[int, ...], pre: str | None) -> tuple[Any, ...]:
    """A key that sorts as semver does: a pre-release before its release, numbers in it before words."""
    if not pre:
        return (*numbers, (1,))
    return (*numbers, (0, *((0, int(p), "") if p.isdecimal() and len(p) < 16 else (1, 0, p) for p in pre.split("."))))


def first(numbers: tuple[int, ...]) -> tuple[Any, ...]:
    """The first of everything that begins with the numbers: the pre-release ``-0``."""
    return semver((*numbers, 0, 0)[:3], "0")
