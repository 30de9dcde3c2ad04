"""The ``[scope]`` table of one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supervisor.profile.hosts import host, host_port
from supervisor.profile.model import Adr, Entry, Words
from supervisor.profile.problems import Spot
from supervisor.profile.values import (
    Check,
    command,
    duration,
    flag,
    home_glob,
    list_of,
    one_of,
    pushed,
    refs,
    scope_glob,
    size,
    table_of,
    text,
    trailer,
    variable,
    variables,
    whole,
)

# Before-act: what a revert would undo has not happened.
SCOPE_THENS: Final = ("observe", "warn", "ask", "deny", "pause", "kill")
LISTS: Final[tuple[tuple[str, Check], ...]] = (
    ("write", scope_glob),
    ("read", scope_glob),
    ("hide", scope_glob),
    ("protect", scope_glob),
    ("commands", command),
    ("hosts", host),
    ("tls", host_port),
    ("branches", refs),
    ("push", pushed),
    ("state", home_glob),
)
PLAIN: Final[tuple[tuple[str, Check], ...]] = (
    ("debug", flag),
    ("timeout", duration),
    ("cpu", duration),
    ("memory", size),
    ("disk", size),
    ("processes", whole),
    ("files", whole),
)
TABLES: Final[tuple[tuple[str, Check], ...]] = (
    ("pull_requests", table_of(base=list_of(text, single=True), draft=flag)),
    ("commits", table_of(author=text, trailers=list_of(trailer))),
    ("tools", table_of(executables=list_of(scope_glob), mcp=list_of(text))),
)
ENV: Final[tuple[tuple[str, Check], ...]] = (
    ("pass", list_of(variable)),
    ("drop", list_of(variable)),
    ("set", variables),
)
WORDS: Final[tuple[tuple[str, Check], ...]] = (
    ("then", one_of(*SCOPE_THENS)),
    ("why", text),
    ("use", text),
    ("adr", text),
    ("require", one_of("enforced", "supervised", "observed")),
    ("examples", table_of(denied=list_of(text), allowed=list_of(text))),
)


class LayerScope:
    """One file's scope: ``values`` by key, lists as tuples of Entry, ``env`` flat as ``env_pass`` and so on."""

    __slots__ = ("sources", "values", "words")

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, str], words: Words) -> None:
        self.values, self.sources, self.words = values, sources, words


def entries(spot: Spot, values: tuple[str, ...]) -> tuple[Entry, ...]:
    return tuple(Entry(value, spot.to(number).where) for number, value in enumerate(values))


def read_scope(spot: Spot, table: Mapping[str, Any], usual_then: str, adr: Adr | None) -> LayerScope:
    """Check one ``[scope]``. ``adr`` is the resolved record when the table names one."""
    out: dict[str, Any] = {}
    sources: dict[str, str] = {}
    words: dict[str, Any] = {}
    lists, plain, tables, told = dict(LISTS), dict(PLAIN), dict(TABLES), dict(WORDS)
    for key, value in table.items():
        here = spot.to(key).called(key)
        if key in lists:
            clean = list_of(lists[key])(here, value)
            clean = None if clean is None else entries(here, clean)
        elif key in plain:
            clean = plain[key](here, value)
        elif key in tables:
            clean = tables[key](here, value)
        elif key == "env":
            _read_env(here, value, out, sources)
            continue
        elif key in told:
            words[key] = told[key](here, value)
            continue
        else:
            here.unknown(key, "[scope]", (*lists, *plain, *tables, *told, "env"))
            continue
        if clean is not None:
            out[key], sources[key] = clean, here.where
    examples = words.get("examples") or {}
    return LayerScope(
        out,
        sources,
        Words(
            words.get("then") or usual_then,
            words.get("why") or "",
            words.get("use") or "",
            adr,
            words.get("require"),
            examples.get("denied") or (),
            examples.get("allowed") or (),
        ),
    )


def _read_env(spot: Spot, value: object, out: dict[str, Any], sources: dict[str, str]) -> None:
    if not isinstance(value, dict):
        return spot.wrong("a table with pass, drop and set", value)
    checks = dict(ENV)
    for key, item in value.items():
        here = spot.to(key)
        check = checks.get(key)
        if check is None:
            here.unknown(key, '"env"', checks)
            continue
        clean = check(here, item)
        if clean is None:
            continue
        name = f"env_{key}"
        sources[name] = here.where
        if key == "set":
            out[name] = {variable: Entry(text, here.to(variable).where) for variable, text in clean.items()}
        else:
            out[name] = entries(here, clean)
    return None
