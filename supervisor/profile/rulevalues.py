"""Checks of the small languages inside rules: package and edge patterns, command classes, database effects, demands."""

from __future__ import annotations

from supervisor.profile.hosts import REGISTRIES, address
from supervisor.profile.problems import Spot, nearest, shown, type_word
from supervisor.profile.values import duration, expression, glob, one_of, text

ECOSYSTEMS = (*REGISTRIES, "*")
DEPLOY_CLASSES = ("deploy", "publish", "infra-mutate", "infra-destroy")
COMMAND_CLASSES = (
    *DEPLOY_CLASSES,
    *("vcs-remote", "vcs-destroy", "db-admin", "secrets", "remote-exec", "egress", "package-install", "pipe-to-shell"),
    "self-governance",
)
EFFECTS = ("read", "write", "modify", "delete", "schema", "privilege", "export", "opaque")
DATABASES = ("postgres", "postgresql", "mysql", "mariadb", "sqlserver", "mongodb", "redis", "clickhouse")


def package(spot: Spot, value: object) -> str | None:
    """``ECOSYSTEM:NAME`` with an optional version range after a space."""
    entry = text(spot, value)
    if entry is None:
        return None
    ecosystem, colon, rest = entry.partition(":")
    name, _, versions = rest.partition(" ")
    if not colon:
        return spot.bad(f'{shown(entry)} names no ecosystem; write "pypi:{entry}" or "*:{entry}"')
    if ecosystem not in ECOSYSTEMS:
        listed = ", ".join(ECOSYSTEMS)
        return spot.bad(f"unknown ecosystem {shown(ecosystem)}{nearest(ecosystem, ECOSYSTEMS)}; known: {listed}")
    if not name or any(c.isspace() for c in name) or any(c in "<>=!~^," for c in name):
        return spot.bad(f'{shown(entry)}: put a space between name and version range ("pypi:name <2")')
    ranges = [part.strip() for part in versions.replace("||", ",").split(",")] if versions.strip() else []
    if any(part[:1] not in "<>=!~^*0123456789" or not part for part in ranges):
        return spot.bad(f"{shown(entry)}: {shown(versions)} is not a version range")
    return entry


def edge(spot: Spot, value: object) -> str | None:
    """``"a/** -> b/**"``."""
    entry = text(spot, value)
    if entry is None:
        return None
    ends = [end.strip() for end in entry.split("->")]
    if len(ends) != 2 or not all(ends):
        return spot.bad(f'{shown(entry)}: write "from/** -> to/**"')
    return entry if all(glob(spot, end) is not None for end in ends) else None


def _act(spot: Spot, value: object, classes: tuple[str, ...], prefixes: bool) -> object:
    if isinstance(value, str):
        if value in classes or (prefixes and " " in value.strip()):
            return value
        return spot.bad(
            f"unknown class {shown(value)}{nearest(value, classes)}; classes: {', '.join(classes)}"
            '; a program is { exec = "…" }'
        )
    if not isinstance(value, dict):
        return spot.wrong("a class or a table", value)
    for key in value:
        if key not in ("class", "target", "exec"):
            return spot.to(str(key)).unknown(key, f'"{spot.label}"', ("class", "target", "exec"))
    if ("exec" in value) == ("class" in value):
        return spot.bad(f'"{spot.label}": a table holds "class" (and "target"), or "exec"')
    if "exec" in value:
        if "target" in value:
            return spot.bad(f'"{spot.label}": "target" goes with "class", not with "exec"')
        return {"exec": line} if (line := text(spot.to("exec"), value["exec"])) is not None else None
    name = one_of(*classes, "*")(spot.to("class"), value["class"])
    target = text(spot.to("target"), value["target"]) if "target" in value else "*"
    return None if name is None or target is None else {"class": name, "target": target}


def deployment(spot: Spot, value: object) -> object:
    return _act(spot, value, DEPLOY_CLASSES, prefixes=False)


def terminal(spot: Spot, value: object) -> object:
    """A class, an argv prefix of two words or more, or a table."""
    return _act(spot, value, COMMAND_CLASSES, prefixes=True)


def effect(spot: Spot, value: object) -> str | None:
    """``EFFECT[|EFFECT] [schema.table[.column]] [without where]``."""
    entry = text(spot, value)
    if entry is None:
        return None
    words = entry.split()
    for name in words[0].split("|"):
        if name != "*" and name not in EFFECTS:
            return spot.bad(f"unknown effect {shown(name)}{nearest(name, EFFECTS)}; effects: {', '.join(EFFECTS)}")
    rest = words[1:]
    if rest[-2:] == ["without", "where"]:
        rest = rest[:-2]
    if len(rest) > 1 or (rest and rest[0].count(".") not in (1, 2)) or any(not p for w in rest for p in w.split(".")):
        return spot.bad(f'{shown(entry)}: write "EFFECT[|EFFECT] [schema.table[.column]] [without where]"')
    return entry


def service(spot: Spot, value: object) -> str | None:
    """``scheme://host:port`` of a database server."""
    url = text(spot, value)
    if url is None:
        return None
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in DATABASES:
        listed = ", ".join(DATABASES)
        return spot.bad(f"{shown(url)}: write scheme://host:port{nearest(scheme, DATABASES)}; schemes: {listed}")
    if "@" in rest:
        return spot.bad(f'"{spot.label}" must not carry a user or a password')
    authority, slash, path = rest.partition("/")
    if slash and path:
        return spot.bad(f"{shown(url)}: the service is host:port, without a path")
    return url if address(spot, authority) is not None else None


def demand(spot: Spot, value: object) -> object:
    """``must`` and ``never`` of ``[[infra]]``: a scalar, a list of scalars, or a table of them."""
    if isinstance(value, dict):
        parts = {str(key): demand(spot.to(str(key)), item) for key, item in value.items() if not isinstance(item, dict)}
        if len(parts) < len(value):
            return spot.bad(f'"{spot.label}" is one table deep')
        return spot.bad(f'"{spot.label}" must not be empty') if not parts else None if None in parts.values() else parts
    if isinstance(value, list):
        items = [_scalar(spot.to(number), item) for number, item in enumerate(value)]
        return spot.bad(f'"{spot.label}" must not be empty') if not items else None if None in items else tuple(items)
    return _scalar(spot, value)


def _scalar(spot: Spot, value: object) -> object:
    if isinstance(value, str):
        if value.startswith("regex:"):
            return value if expression(spot, value[6:]) is not None else None
        if value.startswith("range:"):
            low, dots, high = value[6:].partition("..")
            try:
                if not dots or (low and high and float(low) > float(high)) or not (low or high):
                    raise ValueError
                float(low or 0), float(high or 0)
            except ValueError:
                return spot.bad(f"{shown(value)}: write range:LOW..HIGH")
        return value
    if isinstance(value, bool | int | float):
        return value
    return spot.wrong("a string, a number or true/false", value)


def period(spot: Spot, value: object) -> str | None:
    """``per`` of ``[[guardrail]]``."""
    if value in ("action", "run", "day"):
        return str(value)
    if not isinstance(value, str) or value[-1:] not in ("s", "m", "h") or not value[:-1].isdigit():
        told = shown(value) if isinstance(value, str) else type_word(value)
        return spot.bad(f'"{spot.label}" is {told}; it takes "action", "run", "day" or a time such as "10m"')
    return value if duration(spot, value) is not None else None
