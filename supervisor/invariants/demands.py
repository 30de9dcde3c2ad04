"""``must`` and ``never`` of ``[[infra]]``: whether a value that stands in a document is what a rule speaks of.

Programs read documents differently: a quoted ``"true"`` or a bare ``yes`` is the truth value to some. What some program
could read as the value counts for ``never``; what every program reads so counts for ``must``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.vocabulary.content import Scalar

_LONGEST = 1900  # longer values come cut, and nobody knows how they end
_TRUE = frozenset(("true", "yes", "on", "y", "t", "1"))
_FALSE = frozenset(("false", "no", "off", "n", "f", "0"))
_NUMBER = re.compile(
    r"\s*([-+]?)(?:0([xob])([0-9a-fA-F_]{1,16})|([0-9_]{1,24}(?:\.[0-9]{0,24})?(?:[eE][-+]?[0-9]{1,3})?))\s*"
)
_BASES = {"x": 16, "o": 8, "b": 2}


class Want(NamedTuple):
    """One scalar of a rule. ``text``: as the rule writes it; ``pattern`` and ``low``..``high`` for those two forms."""

    text: str
    value: Scalar
    pattern: re.Pattern[str] | None = None
    low: float | None = None
    high: float | None = None


class Demand(NamedTuple):
    """What is said of one member. ``listed``: any of ``wants`` in common is enough; else there is one, for every value
    that stands there."""

    name: str
    wants: tuple[Want, ...]
    listed: bool


def demands(said: object) -> tuple[Demand, ...]:
    """From the validated key: a scalar, a tuple, or a dict of these."""
    if isinstance(said, dict):
        return tuple(_demand(str(name), each) for name, each in said.items())
    return () if said is None else (_demand("", said),)


def _demand(name: str, said: object) -> Demand:
    if isinstance(said, tuple | list):
        return Demand(name, tuple(want(each) for each in said), listed=True)
    return Demand(name, (want(said),), listed=False)


def want(said: object) -> Want:
    if isinstance(said, str) and said.startswith("regex:"):
        return Want(said, None, re.compile(said[6:]))
    if isinstance(said, str) and said.startswith("range:"):
        low, _, high = said[6:].partition("..")
        return Want(said, None, None, float(low) if low else -float("inf"), float(high) if high else float("inf"))
    value = said if isinstance(said, str | int | float) else str(said)
    return Want(str(value).lower() if isinstance(value, bool) else str(value), value)


def is_cut(value: Scalar) -> bool:
    return isinstance(value, str) and len(value) >= _LONGEST


def is_hit(wanted: Want, value: Scalar) -> bool:
    """For ``never``: whether some program could read ``value`` as what is wanted. Of a cut value an expression may
    hold or not, so it does."""
    if wanted.pattern is not None:
        return is_cut(value) or wanted.pattern.search(shown(value)) is not None
    return _in_range(wanted, value) or _equal(wanted.value, value, loose=True)


def is_met(wanted: Want, value: Scalar) -> bool:
    """For ``must``: whether every program reads ``value`` as what is wanted."""
    if wanted.pattern is not None:
        return not is_cut(value) and value is not None and wanted.pattern.search(shown(value)) is not None
    return _in_range(wanted, value) or _equal(wanted.value, value, loose=False)


def _in_range(wanted: Want, value: Scalar) -> bool:
    if wanted.low is None or wanted.high is None:
        return False
    number = _number(value)
    return number is not None and wanted.low <= number <= wanted.high


def _equal(wanted: Scalar, value: Scalar, *, loose: bool) -> bool:
    if wanted is None or value is None or is_cut(value):
        return False
    if isinstance(wanted, str) and wanted in ("true", "false") and not isinstance(value, str):
        wanted = wanted == "true"
    if isinstance(wanted, bool):
        if isinstance(value, bool):
            return value is wanted
        words = (_TRUE if wanted else _FALSE) if loose else ("true" if wanted else "false",)
        return shown(value).lower() in words
    if isinstance(wanted, str) and isinstance(value, str):
        return wanted == value
    number = _number(wanted)
    return number is not None and not isinstance(value, bool) and number == _number(value)


def _number(value: Scalar) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 else None
    found = _NUMBER.fullmatch(value) if len(value) < 64 else None
    if found is None:
        return None
    try:
        number = float(int(found[3], _BASES[found[2]])) if found[2] else float(found[4])
    except ValueError:
        return None
    return -number if found[1] == "-" else number


def shown(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
