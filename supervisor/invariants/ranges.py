"""What a range or a version stands for, in the words of its ecosystem.

PyPI versions compare as PEP 440 says, npm's as semver does, pre-releases included: what comes before a fix is not the
fix. Cargo and Go write semver too. A version without an operator is that version, or all that begin so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from supervisor.invariants import other_ranges
from supervisor.invariants.cuts import (
    ALL,
    HIGH,
    LOW,
    Cut,
    Interval,
    after,
    before,
    bumped,
    caret,
    compared,
    first,
    intersect,
    merged,
    semver,
)

# A longer text is no range that a person wrote, and combining its parts would take long.
_MOST_TEXT = 1_000
_Comparator = Callable[[str, str], tuple[Interval, ...] | None]
_PART = r"\s*(\^|~=|~>|~|===|==|=|!=|<=|>=|<|>)?\s*v?([0-9A-Za-z*][0-9A-Za-z.*+!_-]*)"
_ROUGHLY = r"\*|\d+(!\d+)?(\.\d+)*(\.\*|[-_.]?[a-z][0-9a-z._+-]*)?"
_NPM = r"(\d{1,15}|[xX*])(?:\.(\d{1,15}|[xX*]))?(?:\.(\d{1,15}|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"


def ranges(ecosystem: str, text: str, *, asked: bool = False) -> tuple[Interval, ...] | None:
    """The intervals that a range or version stands for, sorted, none touching another; None: it cannot be read (a
    tag, an address, another language). ``asked``: it is a request, and npm answers ``<2.0.0`` with no ``2.0.0-rc.1``;
    a rule that says ``<2.0.0`` means the pre-releases as well."""
    if len(text) > _MOST_TEXT:
        return None
    if ecosystem == "maven" and text.strip()[:1] in ("[", "(", "]"):
        return other_ranges.maven_brackets(text.strip())
    rule, request = _COMPARATORS.get(ecosystem, (_pypi, _pypi))
    of = request if asked else rule
    found: list[Interval] = []
    for alternative in text.split("||"):
        parts = _hyphen(alternative) if ecosystem == "npm" else None
        parts = parts or _comparators(alternative)
        if parts is None:
            return None
        meet: tuple[Interval, ...] = ALL
        for operator, version in parts:
            allowed = ALL if version in ("*", "x", "X") and operator not in ("<", ">", "!=") else of(operator, version)
            if allowed is None:
                return None
            meet = tuple(intersect(meet, allowed))
        found.extend(meet)
    return merged(found)


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


def roughly_pypi(text: str) -> bool:
    """Whether it looks like a range of PyPI: ``packaging`` is costly to import."""
    return all(
        parts is not None and all(re.fullmatch(_ROUGHLY, version) for _, version in parts)
        for parts in map(_comparators, text.split("||"))
    )


def _hyphen(text: str) -> list[tuple[str, str]] | None:
    ends = re.fullmatch(r"\s*v?(\S+)\s+-\s+v?(\S+)\s*", text)
    return [(">=", ends[1]), ("<=", ends[2])] if ends is not None else None


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
        return () if operator in ("<", ">", "!=") else ALL
    whole = len(numbers) == 3
    start = before(semver(numbers, found[4]) if whole else first(numbers))
    end = after(semver(numbers, found[4])) if whole else before(first(bumped(numbers, len(numbers) - 1)))
    match operator:
        case "^":
            return ((start, before(first(caret(numbers)))),)
        case "~" | "~>" | "~=":
            return ((start, before(first(bumped(numbers, min(1, len(numbers) - 1))))),)
        case _:
            return compared(operator, start, end)


def _npm_asked(operator: str, text: str) -> tuple[Interval, ...] | None:
    return _npm(operator, text + "-0" if operator == "<" and re.fullmatch(r"\d+\.\d+\.\d+", text) else text)


# -------------------------------------------------------------------------------------------------------- pypi


def _pypi(operator: str, text: str) -> tuple[Interval, ...] | None:
    """One clause of PEP 440, or poetry's ``^`` and ``~``. Local versions (``1.2+cpu``) count as what they are built
    from."""
    from packaging.version import Version

    prefix = text.endswith(".*")
    try:
        version = Version(Version(text.removesuffix(".*")).public)
        epoch = f"{version.epoch}!" if version.epoch else ""

        def opening(numbers: tuple[int, ...]) -> Cut:
            return before(Version(epoch + ".".join(map(str, numbers)) + ".dev0"))

        return _clause(operator, version, opening, prefix=prefix)
    except ValueError:
        return None


def _clause(
    operator: str, version: Any, opening: Callable[[tuple[int, ...]], Cut], *, prefix: bool
) -> tuple[Interval, ...]:
    release: tuple[int, ...] = version.release
    start, end = before(version), after(version)
    if prefix:
        start, end = opening(release), opening(bumped(release, len(release) - 1))
    match operator:
        case "^":
            return ((start, opening(caret(release))),)
        case "~=" if len(release) > 1:
            return ((start, opening(bumped(release, len(release) - 2))),)
        case "~" | "~>" | "~=":
            return ((start, opening(bumped(release, min(1, len(release) - 1)))),)
        case "<" if not version.is_prerelease and not version.is_postrelease:
            return ((LOW, opening(release)),)  # PEP 440: without the pre-releases of the version itself
        case ">" if not version.is_prerelease and not version.is_postrelease and not prefix:
            last = type(version)(f"{version.public}.post{10**15}")  # and `>` without its post-releases
            return ((after(last), HIGH),)
        case _:
            return compared(operator, start, end)


_COMPARATORS: Final[Mapping[str, tuple[_Comparator, _Comparator]]] = {
    "pypi": (_pypi, _pypi),
    **dict.fromkeys(("npm", "cargo", "go"), (_npm, _npm_asked)),
    "maven": (other_ranges.maven, other_ranges.maven),
    "rubygems": (other_ranges.gem, other_ranges.gem_asked),
}
