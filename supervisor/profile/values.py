"""Checks of single values: each takes the place and what TOML or YAML gave and returns the clean value.

What is wrong is reported at the place; None means "reported, do not use". Nothing is coerced silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.profile.problems import Spot, nearest, shown

Check = Callable[[Spot, Any], Any]

TIME_UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0))
SIZE_UNITS = (
    *(("B", 1), ("K", 1 << 10), ("KiB", 1 << 10), ("M", 1 << 20), ("MiB", 1 << 20), ("G", 1 << 30), ("GiB", 1 << 30)),
    *(("T", 1 << 40), ("TiB", 1 << 40), ("kB", 10**3), ("KB", 10**3), ("MB", 10**6), ("GB", 10**9), ("TB", 10**12)),
)


def text(spot: Spot, value: object) -> str | None:
    """A non-empty string without NUL."""
    if not isinstance(value, str):
        return spot.wrong("a string", value)
    if not value.strip():
        return spot.bad(f'"{spot.label}" must not be empty')
    if "\0" in value:
        return spot.bad(f'"{spot.label}" contains a NUL character')
    return value


def flag(spot: Spot, value: object) -> bool | None:
    return value if isinstance(value, bool) else spot.wrong("true or false", value)


def whole(spot: Spot, value: object, least: int = 1) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return spot.wrong("a whole number", value)
    if not least <= value < 1 << 53:
        return spot.bad(f'"{spot.label}" must be {least} or more, and below 2^53')
    return value


def count(spot: Spot, value: object) -> int | None:
    return whole(spot, value, least=0)


def list_of(check: Check, *, empty: bool = True, single: bool = False) -> Check:
    """A list whose elements pass ``check``, as a tuple. ``single`` takes one bare element too."""

    def checked(spot: Spot, value: object) -> tuple[Any, ...] | None:
        if single and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            return spot.wrong("a list", value)
        if not value and not empty:
            return spot.bad(f'"{spot.label}" must not be empty')
        items = [check(spot.to(number), item) for number, item in enumerate(value)]
        return None if any(item is None for item in items) else tuple(items)

    return checked


def one_of(*words: str) -> Check:
    def checked(spot: Spot, value: object) -> str | None:
        if not isinstance(value, str):
            return spot.wrong("a string", value)
        if value not in words:
            listed = ", ".join(words)
            return spot.bad(f'"{spot.label}" is {shown(value)}{nearest(value, words)}; it takes: {listed}')
        return value

    return checked


def table_of(**checks: Check) -> Check:
    """A table that has only these keys."""

    def checked(spot: Spot, value: object) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            return spot.wrong("a table", value)
        out = {}
        for key, item in value.items():
            check = checks.get(key)
            if check is None:
                spot.to(key).unknown(key, f'"{spot.label}"', checks)
            else:
                out[key] = check(spot.to(key), item)
        return out

    return checked


def _units(spot: Spot, value: object, units: tuple[tuple[str, float], ...], example: str) -> float | None:
    """A number with unit, several added up (``1h30m``); a bare whole number counts the base unit."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 < value < 1 << 53:
            return value
        return spot.bad(f'"{spot.label}" must be above 0')
    if not isinstance(value, str):
        return spot.wrong(f"a string such as {example}", value)
    total, rest = 0.0, value.strip()
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:].lstrip(" ")
        name = rest[: len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))]
        rest = rest[len(name) :].lstrip(" ")
        factor = dict(units).get(name)
        if factor is None or not number[:1].isdigit() or number.count(".") > 1 or len(number) > 15:
            return spot.bad(f'"{spot.label}" is {shown(value)}; write it like {example}')
        total += float(number) * factor
    if not 0 < total < 1 << 53:
        return spot.bad(f'"{spot.label}" must be above 0')
    return total


def duration(spot: Spot, value: object) -> float | None:
    """Seconds, from ``"2h"``, ``"1h30m"``, ``"90s"`` or a whole number of seconds."""
    total = _units(spot, value, TIME_UNITS, '"90s", "10m" or "2h"')
    return None if total is None else float(total)


def size(spot: Spot, value: object) -> int | None:
    """Bytes, from ``"512M"``, ``"2GiB"`` (1024) or ``"2GB"`` (1000) or a whole number of bytes."""
    total = _units(spot, value, SIZE_UNITS, '"512M" or "2GiB"')
    return None if total is None else max(1, int(total))


def glob(spot: Spot, value: object, *, home: bool = False) -> str | None:
    """A gitignore pattern as profiles take it: no ``!``, no ``..``, ``~`` only where ``home``."""
    pattern = text(spot, value)
    if pattern is None:
        return None
    if pattern.startswith("!"):
        return spot.bad(f'{shown(pattern)}: "!" is not taken in globs; list the exception in "except"')
    if pattern.startswith("#"):
        return spot.bad(f'{shown(pattern)} would be a comment; write "\\\\#…" for a name that begins with "#"')
    if pattern.startswith("~"):
        if not home:
            return spot.bad(f'{shown(pattern)}: "~" is taken in [scope] and [[data]] only')
        if not pattern.startswith("~/") or not pattern[2:].strip("/*"):
            return spot.bad(f'{shown(pattern)}: write "~/folder/**"; other users\' homes and all of "~" are not taken')
    if "\n" in pattern:
        return spot.bad(f"{shown(pattern)}: a glob holds no line end")
    if any(part in ("..", ".") for part in pattern.split("/")):
        return spot.bad(f'{shown(pattern)}: "." and ".." never match; paths are resolved before they are compared')
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        return spot.bad(f"{shown(pattern)} ends in a backslash, so it never matches")
    return pattern


def home_glob(spot: Spot, value: object) -> str | None:
    return glob(spot, value, home=True)


def state_glob(spot: Spot, value: object) -> str | None:
    """A glob of an agent pack: it begins in the home folder."""
    pattern = home_glob(spot, value)
    if pattern is not None and not pattern.startswith("~/"):
        return spot.bad(f'{shown(pattern)}: write "~/folder/**" or "~/file"')
    return pattern


def scope_glob(spot: Spot, value: object) -> str | None:
    """A glob of ``[scope]``. Warns where somebody probably means a path of the machine."""
    pattern = glob(spot, value, home=True)
    machine = ("etc", "usr", "var", "tmp", "home", "opt", "root", "proc", "dev", "sys", "run", "mnt", "srv")
    if pattern and pattern.startswith("/") and pattern.split("/")[1] in machine:
        spot.warn(f"{shown(pattern)} is anchored at the root of the tree, not of the machine")
    return pattern


def command(spot: Spot, value: object) -> str | None:
    """An executable's name, path or glob: no arguments."""
    name = text(spot, value)
    if name is not None and "/" not in name and any(c.isspace() for c in name):
        return spot.bad(f"{shown(name)}: scope.commands names executables; use [[command]] for arguments")
    return name


def refs(spot: Spot, value: object) -> str | None:
    """A pattern of branches, or in full (``refs/…``) of any ref."""
    pattern = text(spot, value)
    if pattern is None:
        return None
    if (
        any(sign.isspace() or sign in "~^:\\" for sign in pattern)
        or ".." in pattern
        or pattern.startswith(("/", "-", "!"))
    ):
        return spot.bad(f'{shown(pattern)} is no pattern of refs; write "agent/*" or "refs/tags/v*"')
    return pattern


def pushed(spot: Spot, value: object) -> str | None:
    """``[REMOTE ][+]PATTERN``: refs, for one remote or any."""
    said = text(spot, value)
    if said is None:
        return None
    words = said.split()
    if len(words) > 2 or words[-1] == "+":
        return spot.bad(
            f'{shown(said)}: write "agent/*", or "origin agent/*" for one remote, "+" before what may be forced'
        )
    if len(words) == 2 and words[0].startswith("+"):
        return spot.bad(f'{shown(said)}: "+" goes before the refs: "{words[0][1:]} +{words[1]}"')
    return said if refs(spot, words[-1].removeprefix("+")) is not None else None


def trailer(spot: Spot, value: object) -> str | None:
    """``KEY`` or ``KEY: PATTERN`` of a commit's last paragraph."""
    said = text(spot, value)
    key = (said or "").partition(":")[0].strip()
    if said is not None and not (key.replace("-", "a").isalnum() and key.isascii()):
        return spot.bad(f'{shown(said)} is no trailer; write "Signed-off-by" or "Assisted-by: *"')
    return said


def variable(spot: Spot, value: object) -> str | None:
    """An environment variable's name; a final ``*`` stands for any rest."""
    name = text(spot, value)
    if name is None:
        return None
    body = name.removesuffix("*")
    if not body.replace("_", "a").isalnum() or not body.isascii() or body[0].isdigit():
        return spot.bad(f"{shown(name)} is not a variable's name")
    return name


def variables(spot: Spot, value: object) -> dict[str, str] | None:
    """``env.set``: name to text."""
    if not isinstance(value, dict):
        return spot.wrong("a table", value)
    out = {}
    for key, item in value.items():
        name = variable(spot.to(key), key)
        if not isinstance(item, str):
            spot.to(key).wrong("a string", item)
        elif "\0" in item:
            spot.to(key).bad(f'"{spot.to(key).label}" contains a NUL character')
        elif name is not None and name.endswith("*"):
            spot.to(key).bad(f"{shown(name)}: a variable that is set needs its full name")
        elif name is not None:
            out[name] = item
    return out


def identifier(spot: Spot, value: object) -> str | None:
    """An invariant's id."""
    name = text(spot, value)
    if name is None:
        return None
    plain = name.isascii() and all(c.isalnum() or c in "-_." for c in name)
    if not plain or not name[0].isalnum() or len(name) > 64:
        return spot.bad(f"{shown(name)} is not an id: letters, digits, - _ and . only, at most 64")
    if name.startswith("scope."):
        return spot.bad(f'{shown(name)}: ids that begin with "scope." belong to the rules of [scope]')
    return name


def expression(spot: Spot, value: object) -> str | None:
    """A Python regular expression."""
    import re

    pattern = text(spot, value)
    if pattern is None:
        return None
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return spot.bad(f"{shown(pattern)} is not a regular expression: {error}")
    return pattern
