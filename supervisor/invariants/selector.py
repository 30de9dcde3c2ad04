"""The path language of ``at`` in ``[[infra]]``: where in a document a rule looks. Only its grammar; no document here.

``a.b`` is a member of a member, ``*`` any one name, ``aws_*_policy`` names of that form, ``a|b`` either name, ``**``
any number of names and positions, ``[*]`` every element, ``[2]`` or ``[-1]`` one of them, ``"a.b"`` a name as it is
quoted. Nothing at all is the whole document. A name also looks into the elements of a list, and ``[*]`` takes what is
no list as a list of one: ``ingress { … }``, two such blocks and ``ingress = [{ … }]`` are the same to a rule.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MOST_STEPS = 32
_NAME = re.compile(r'"([^"]*)"|\'([^\']*)\'|([^.\[\]"\'|]+)')
_INDEX = re.compile(r"\[(\*|-?\d{1,6})\]")


class Name(NamedTuple):
    """``exact`` names, and ``pattern`` for those with a star."""

    exact: frozenset[str]
    pattern: re.Pattern[str] | None = None

    def takes(self, name: str) -> bool:
        return name in self.exact or (self.pattern is not None and self.pattern.fullmatch(name) is not None)


class Index(NamedTuple):
    """``at`` is None for every element; from the end when negative."""

    at: int | None


class Deep(NamedTuple):
    """Any number of names and positions."""


Step = Name | Index | Deep


def selector(text: str) -> tuple[Step, ...]:
    """The steps. ``ValueError`` says what is wrong with ``text``."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        index = _INDEX.match(text, at)
        if index is not None:
            steps.append(Index(None if index[1] == "*" else int(index[1])))
            at = index.end()
        else:
            if at and text[at] != ".":
                raise ValueError(f"a dot or an index belongs at character {at + 1} of {text!r}")
            step, at = _name(text, at + 1 if at or text[0] == "." else 0)
            if isinstance(step, Deep) and steps and isinstance(steps[-1], Deep):
                continue
            steps.append(step)
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"more than {_MOST_STEPS} steps in {text[:80]!r}")
    return tuple(steps)


def _name(text: str, at: int) -> tuple[Step, int]:
    exact: set[str] = set()
    patterns: list[str] = []
    first = at
    while True:
        found = _NAME.match(text, at)
        if found is None:
            raise ValueError(f"a name belongs at character {at + 1} of {text!r}")
        at = found.end()
        if found[3] is not None and "*" in found[3]:
            if text[first:at] == "**":
                return Deep(), at
            patterns.append(".*".join(re.escape(part) for part in re.split(r"\*+", found[3])))
        else:
            exact.add(next(part for part in found.groups() if part is not None))
        if text[at : at + 1] != "|":
            break
        at += 1
    return Name(frozenset(exact), re.compile("|".join(patterns), re.DOTALL) if patterns else None), at
