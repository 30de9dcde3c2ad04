"""Package patterns (``npm:lodash <4.17.21``) and what they say of a package that is named somewhere.

A range is a sorted tuple of intervals between cuts, so that "inside", "outside" and "could be either" are asked the
same way of every ecosystem. PyPI versions compare as PEP 440 says, npm's as semver does, pre-releases included: what
comes before a fix is not the fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

JUDGED = ("pypi", "npm")
# A longer text is no range that a person wrote, and combining its parts would take long.
_MOST_TEXT = 1_000


class Answer(IntEnum):
    """Whether a package is what a pattern speaks of. ``MAYBE``: the request may end inside the range or outside."""

    NO = 0
    MAYBE = 1
    YES = 2


class Pattern(NamedTuple):
    """``ecosystem`` may be ``*``; ``name`` is as written and may hold ``*``; ``versions`` is empty for all."""

    ecosystem: str
    name: str
    versions: str
    text: str


class Patterns(NamedTuple):
    """Patterns by what they name: ``exact`` by (ecosystem, canonical name), ``globs`` with ``*`` in the name."""

    exact: Mapping[tuple[str, str], tuple[Pattern, ...]] = {}
    globs: tuple[Pattern, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.exact or self.globs)


def canonical(ecosystem: str, name: str) -> str:
    """The one spelling of a name: PEP 503 for ``pypi``, lower case everywhere."""
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "pypi" else name.lower()


def pattern(text: str) -> Pattern:
    """``ECOSYSTEM:NAME``, with a range after a space. Total: the profile's loader has looked at the shape."""
    ecosystem, _, rest = text.strip().partition(":")
    name, _, versions = rest.strip().partition(" ")
    versions = versions.strip()
    return Pattern(ecosystem, name, "" if versions == "*" else versions, text.strip())


def patterns(entries: Iterable[str]) -> Patterns:
    """Those of the entries that speak of an ecosystem that is judged."""
    exact: dict[tuple[str, str], tuple[Pattern, ...]] = {}
    globs: list[Pattern] = []
    for made in map(pattern, entries):
        for ecosystem in ecosystems(made):
            if "*" in made.name:
                globs.append(made._replace(ecosystem=ecosystem, name=canonical(ecosystem, made.name)))
            else:
                key = (ecosystem, canonical(ecosystem, made.name))
                exact[key] = (*exact.get(key, ()), made)
    return Patterns(exact, tuple(globs))


def ecosystems(made: Pattern) -> tuple[str, ...]:
    """The judged ecosystems that a pattern speaks of."""
    if made.ecosystem == "*":
        return JUDGED
    return (made.ecosystem,) if made.ecosystem in JUDGED else ()


def named(found: Patterns, ecosystem: str, name: str) -> Iterator[Pattern]:
    """The patterns that name the package (its canonical name), whatever the version."""
    yield from found.exact.get((ecosystem, name), ())
    for each in found.globs:
        if each.ecosystem == ecosystem and _fits(each.name, name):
            yield each


def _fits(glob: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), name, re.DOTALL) is not None


def matches(made: Pattern, ecosystem: str, name: str, versions: str = "") -> Answer:
    """Whether the package ``name``, asked for as ``versions`` (an exact version, a range, or empty), is what the
    pattern speaks of."""
    if ecosystem not in ecosystems(made) or not _fits(canonical(ecosystem, made.name), canonical(ecosystem, name)):
        return Answer.NO
    return within(made.versions, ecosystem, versions)


def within(forbidden: str, ecosystem: str, versions: str) -> Answer:
    """Whether what is asked for lies in the ``forbidden`` range: wholly, not at all, or perhaps."""
    if not forbidden:
        return Answer.YES
    closed = ranges(ecosystem, forbidden)
    if closed is None:
        return Answer.YES  # a range that nobody can read forbids everything
    wanted = ranges(ecosystem, versions, asked=True)
    if wanted is None:
        return Answer.MAYBE
    if not any(max(low, shut) < min(high, till) for low, high in wanted for shut, till in closed):
        return Answer.NO
    inside = all(any(shut <= low and high <= till for shut, till in closed) for low, high in wanted)
    return Answer.YES if inside else Answer.MAYBE


def unreadable(made: Pattern) -> bool:
    """Whether the pattern's range cannot be read. PyPI's is looked at roughly: ``packaging`` is costly to import."""
    if not made.versions:
        return False
    if made.ecosystem == "pypi":
        return any(
            parts is None or not all(re.fullmatch(_ROUGHLY, version) for _, version in parts)
            for parts in map(_comparators, made.versions.split("||"))
        )
    return ranges("npm", made.versions) is None


# ------------------------------------------------------------------------------------------------------ ranges

# A cut lies before every version, just before one (0), just after one (1), or behind all. Versions of one ecosystem
# compare with each other.
Cut = tuple[Any, ...]
Interval = tuple[Cut, Cut]
_LOW: Cut = (-1,)
_HIGH: Cut = (1,)
_ALL: tuple[Interval, ...] = ((_LOW, _HIGH),)
_PART = r"\s*(\^|~=|~>|~|===|==|=|!=|<=|>=|<|>)?\s*v?([0-9A-Za-z*][0-9A-Za-z.*+!_-]*)"
_ROUGHLY = r"\*|\d+(!\d+)?(\.\d+)*(\.\*|[-_.]?[a-z][0-9a-z._+-]*)?"
_NPM = r"(\d{1,15}|[xX*])(?:\.(\d{1,15}|[xX*]))?(?:\.(\d{1,15}|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"


def ranges(ecosystem: str, text: str, *, asked: bool = False) -> tuple[Interval, ...] | None:
    """The intervals that a range or version stands for, sorted, none touching another; None: it cannot be read (a
    tag, an address, another language). ``asked``: it is a request, and npm answers ``<2.0.0`` with no ``2.0.0-rc.1``;
    a rule that says ``<2.0.0`` means the pre-releases as well."""
    if len(text) > _MOST_TEXT:
        return None
    of = (_npm_asked if asked else _npm) if ecosystem == "npm" else _pypi
    found: list[Interval] = []
    for alternative in text.split("||"):
        parts = _hyphen(alternative) if ecosystem == "npm" else None
        parts = parts or _comparators(alternative)
        if parts is None:
            return None
        meet: tuple[Interval, ...] = _ALL
        for operator, version in parts:
            allowed = _ALL if version in ("*", "x", "X") and operator not in ("<", ">", "!=") else of(operator, version)
            if allowed is None:
                return None
            meet = tuple(_intersect(meet, allowed))
        found.extend(meet)
    return _merged(found)


def _comparators(text: str) -> list[tuple[str, str]] | None:
    """``>=1, <2`` or ``>=1 <2`` as pairs of operator and version; empty for a text that asks for nothing."""
    found: list[tuple[str, str]] = []
    rest = text.strip().removeprefix("(").removesuffix(")").strip()
    while rest:
        part = re.match(_PART, rest)
        if part is None:
            return None
        found.append((part[1] or "", part[2]))
        rest = rest[part.end() :].lstrip().removeprefix(",").strip()
    return found


def _hyphen(text: str) -> list[tuple[str, str]] | None:
    ends = re.fullmatch(r"\s*v?(\S+)\s+-\s+v?(\S+)\s*", text)
    return [(">=", ends[1]), ("<=", ends[2])] if ends is not None else None


def _intersect(one: Iterable[Interval], other: tuple[Interval, ...]) -> Iterator[Interval]:
    for low, high in one:
        for shut, till in other:
            start, end = max(low, shut), min(high, till)
            if start < end:
                yield start, end


def _merged(found: list[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for low, high in sorted(found):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _outside(low: Cut, high: Cut) -> tuple[Interval, ...]:
    return tuple((start, end) for start, end in ((_LOW, low), (high, _HIGH)) if start < end)


def _before(version: Any) -> Cut:
    return (0, version, 0)


def _after(version: Any) -> Cut:
    return (0, version, 1)


def _bumped(numbers: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*numbers[:at], numbers[at] + 1)


def _caret(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Where ``^`` ends: the first number that is not 0 may not change."""
    return _bumped(numbers, next((at for at, number in enumerate(numbers) if number), len(numbers) - 1))


# --------------------------------------------------------------------------------------------------------- npm


def _npm(operator: str, text: str) -> tuple[Interval, ...] | None:
    """One comparator of node-semver. A version that is not written out (``4``, ``1.x``) stands for all that begin so,
    their pre-releases included."""
    found = re.fullmatch(_NPM, text)
    if found is None:
        return None
    numbers: tuple[int, ...] = ()
    for number in found.groups()[:3]:
        if number is None or number in "xX*":
            break
        numbers = (*numbers, int(number))
    if not numbers:
        return () if operator in ("<", ">", "!=") else _ALL
    whole = len(numbers) == 3
    start = _before(_semver(numbers, found[4]) if whole else _first(numbers))
    end = _after(_semver(numbers, found[4])) if whole else _before(_first(_bumped(numbers, len(numbers) - 1)))
    match operator:
        case "^":
            return ((start, _before(_first(_caret(numbers)))),)
        case "~" | "~>" | "~=":
            return ((start, _before(_first(_bumped(numbers, min(1, len(numbers) - 1))))),)
        case _:
            return _compared(operator, start, end)


def _npm_asked(operator: str, text: str) -> tuple[Interval, ...] | None:
    return _npm(operator, text + "-0" if operator == "<" and re.fullmatch(r"\d+\.\d+\.\d+", text) else text)


def _compared(operator: str, start: Cut, end: Cut) -> tuple[Interval, ...]:
    """The plain operators, about everything between ``start`` and ``end``."""
    match operator:
        case ">=":
            return ((start, _HIGH),)
        case ">":
            return ((end, _HIGH),)
        case "<=":
            return ((_LOW, end),)
        case "<":
            return ((_LOW, start),)
        case "!=":
            return _outside(start, end)
        case _:
            return ((start, end),)


def _semver(numbers: tuple[int, ...], pre: str | None) -> tuple[Any, ...]:
    """A key that sorts as semver does: a pre-release before its release, numbers in it before words."""
    if not pre:
        return (*numbers, (1,))
    return (*numbers, (0, *((0, int(p), "") if p.isdecimal() and len(p) < 16 else (1, 0, p) for p in pre.split("."))))


def _first(numbers: tuple[int, ...]) -> tuple[Any, ...]:
    """The first of everything that begins with the numbers: the pre-release ``-0``."""
    return _semver((*numbers, 0, 0)[:3], "0")


# -------------------------------------------------------------------------------------------------------- pypi


def _pypi(operator: str, text: str) -> tuple[Interval, ...] | None:
    """One clause of PEP 440, or poetry's ``^`` and ``~``. Local versions (``1.2+cpu``) count as what they are built
    from."""
    from packaging.version import Version

    prefix = text.endswith(".*")
    try:
        version = Version(Version(text.removesuffix(".*")).public)
        epoch = f"{version.epoch}!" if version.epoch else ""

        def first(numbers: tuple[int, ...]) -> Cut:
            return _before(Version(epoch + ".".join(map(str, numbers)) + ".dev0"))

        return _clause(operator, version, first, prefix=prefix)
    except ValueError:
        return None


def _clause(
    operator: str, version: Any, first: Callable[[tuple[int, ...]], Cut], *, prefix: bool
) -> tuple[Interval, ...]:
    release: tuple[int, ...] = version.release
    start, end = _before(version), _after(version)
    if prefix:
        start, end = first(release), first(_bumped(release, len(release) - 1))
    match operator:
        case "^":
            return ((start, first(_caret(release))),)
        case "~=" if len(release) > 1:
            return ((start, first(_bumped(release, len(release) - 2))),)
        case "~" | "~>" | "~=":
            return ((start, first(_bumped(release, min(1, len(release) - 1)))),)
        case "<" if not version.is_prerelease and not version.is_postrelease:
            return ((_LOW, first(release)),)  # PEP 440: without the pre-releases of the version itself
        case ">" if not version.is_prerelease and not version.is_postrelease and not prefix:
            last = type(version)(f"{version.public}.post{10**15}")  # and `>` without its post-releases
            return ((_after(last), _HIGH),)
        case _:
            return _compared(operator, start, end)
