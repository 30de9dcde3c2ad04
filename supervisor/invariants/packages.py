"""Package patterns (``npm:lodash <4.17.21``) and what they say of a package that is named somewhere.

A name is compared in one spelling: PyPI's as PEP 503 has it, Cargo's with ``-`` for ``_``, all in lower case. Some
packages have several names: a Go module of a later major version (``example.com/x/v2``) is also called by its path
without the version, a Maven artifact (``group:artifact``) also without its group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from supervisor.invariants.ranges import ranges, roughly_pypi

JUDGED = ("pypi", "npm", "cargo", "go", "maven", "rubygems")
_MAJOR = re.compile(r"(/v|\.v)\d+\Z", re.ASCII)


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

    def speaks_of(self, ecosystem: str) -> bool:
        return any(each == ecosystem for each, _ in self.exact) or any(
            each.ecosystem == ecosystem for each in self.globs
        )


def canonical(ecosystem: str, name: str) -> str:
    """The one spelling of a name: PEP 503 for ``pypi``, ``-`` for ``_`` in ``cargo``, lower case everywhere."""
    if ecosystem == "pypi":
        return re.sub(r"[-_.]+", "-", name).lower()
    return name.lower().replace("_", "-") if ecosystem == "cargo" else name.lower()


def spellings(ecosystem: str, name: str) -> tuple[str, ...]:
    """What a rule may call the package besides its canonical name, which comes first."""
    if ecosystem == "go":
        bare = _MAJOR.sub("", name)
        return (name, bare) if bare != name else (name,)
    if ecosystem == "maven":
        artifact = name.partition(":")[2]
        return (name, artifact) if artifact else (name,)
    return (name,)


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
    called = spellings(ecosystem, name)
    for spelling in called:
        yield from found.exact.get((ecosystem, spelling), ())
    for each in found.globs:
        if each.ecosystem == ecosystem and any(_fits(each.name, spelling) for spelling in called):
            yield each


def _fits(glob: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), name, re.DOTALL) is not None


def matches(made: Pattern, ecosystem: str, name: str, versions: str = "") -> Answer:
    """Whether the package ``name``, asked for as ``versions`` (an exact version, a range, or empty), is what the
    pattern speaks of."""
    glob = canonical(ecosystem, made.name)
    called = spellings(ecosystem, canonical(ecosystem, name))
    if ecosystem not in ecosystems(made) or not any(_fits(glob, spelling) for spelling in called):
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
        return not roughly_pypi(made.versions)
    return ranges("npm" if made.ecosystem == "*" else made.ecosystem, made.versions) is None
