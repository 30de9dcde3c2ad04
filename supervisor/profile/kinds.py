"""The kinds of ``[[rule]]`` tables: which keys each takes, what a key means, and what must be there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from supervisor.profile.hosts import host_port
from supervisor.profile.problems import Spot, nearest, shown
from supervisor.profile.rulevalues import (
    demand,
    deployment,
    edge,
    effect,
    package,
    period,
    service,
    terminal,
)
from supervisor.profile.values import (
    Check,
    count,
    duration,
    expression,
    flag,
    glob,
    home_glob,
    identifier,
    list_of,
    one_of,
    table_of,
    text,
    whole,
)

THENS: Final = ("observe", "warn", "ask", "deny", "revert", "pause", "kill")
LEVELS: Final = ("enforced", "supervised", "observed")

_texts = list_of(text)
_globs = list_of(glob)


class Kind(NamedTuple):
    """``needs``: of each inner tuple at least one key. ``lacks``: common keys without a meaning here."""

    name: str
    group: str  # before (judged before the act), content, guardrail, contract
    keys: tuple[tuple[str, Check], ...]
    needs: tuple[tuple[str, ...], ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def usual_then(self) -> str:
        return {"content": "revert", "guardrail": "pause"}.get(self.group, "deny")


def _revision(spot: Spot, value: object) -> str | None:
    name = text(spot, value)
    if name is not None and (name.startswith("-") or any(c.isspace() for c in name)):
        return spot.bad(f'"baseline" is {shown(name)}; it takes "freeze", "none" or a revision')
    return name


def _until(spot: Spot, value: object) -> str | None:
    """An ISO date; whether it has passed is the loader's question."""
    import datetime as dt

    if isinstance(value, dt.datetime):
        return spot.bad('"until" is a date without a time, such as 2027-01-31')
    if isinstance(value, dt.date):
        return value.isoformat()
    if not isinstance(value, str):
        return spot.wrong("a date such as 2027-01-31", value)
    try:
        return dt.date.fromisoformat(value).isoformat()
    except ValueError:
        return spot.bad(f'"until" is {shown(value)}; write a date such as 2027-01-31')


def _reference(spot: Spot, value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return spot.bad(f'"adr" is a number; write it in quotes: "{value:04d}"')
    return text(spot, value)


COMMON: Final[tuple[tuple[str, Check], ...]] = (
    ("id", identifier),
    ("adr", _reference),
    ("why", text),
    ("use", text),
    ("paths", _globs),
    ("except", _globs),
    ("then", one_of(*THENS)),
    ("baseline", _revision),
    ("examples", table_of(denied=_texts, allowed=_texts)),
    ("until", _until),
    ("require", one_of(*LEVELS)),
)

_packages = list_of(package)

KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        "dependency",
        "content",
        (
            ("deny", _packages),
            ("allow_only", _packages),
            ("only_via", _globs),
            ("install", one_of("lock-only")),
            ("sources", _texts),
            ("transitive", flag),
        ),
        (("deny", "allow_only", "install", "sources"),),
    ),
    Kind(
        "deploy",
        "before",
        (("deny", list_of(deployment)), ("allow", list_of(deployment))),
        (("deny", "allow"),),
        ("baseline",),
    ),
    Kind("secrets", "content", (("patterns", list_of(expression)), ("allow", _texts))),
    Kind(
        "command",
        "before",
        (("deny", list_of(terminal)), ("allow", list_of(terminal))),
        (("deny", "allow"),),
        ("baseline",),
    ),
    Kind(
        "boundary",
        "content",
        (
            ("layers", _globs),
            ("deny", list_of(edge)),
            ("only_via", _globs),
            ("isolate", _globs),
            ("acyclic", _globs),
        ),
        (("layers", "deny", "isolate", "acyclic"),),
    ),
    Kind(
        "infra",
        "content",
        (
            ("files", list_of(glob, empty=False)),
            ("at", text),
            ("must", demand),
            ("never", demand),
            ("api", list_of(table_of(host=text, methods=_texts, paths=_texts, actions=_texts), empty=False)),
        ),
        (("files", "api"),),
        ("paths",),
    ),
    Kind(
        "data",
        "before",
        (
            ("access", one_of("hide", "read")),
            ("service", service),
            ("allow", list_of(effect)),
            ("deny", list_of(effect)),
            ("max_rows", whole),
        ),
        (("paths", "service"),),
        ("baseline",),
    ),
    Kind(
        "remediation",
        "before",
        (
            ("fixers", _texts),
            ("fixer", list_of(text, empty=False)),
            ("attempts", whole),
            ("must", list_of(one_of("violations-do-not-rise", "only-named-files"))),
            ("never_edit", _globs),
        ),
        (("fixers", "fixer", "attempts", "must", "never_edit"),),
        ("baseline",),
    ),
    Kind(
        "guardrail",
        "guardrail",
        (
            ("per", period),
            (
                "max",
                table_of(
                    **dict.fromkeys(("files", "deletes", "deleted_lines", "bytes", "execs"), count),
                    **dict.fromkeys(("fails", "connects", "queries", "rows", "commits"), count),
                    depth=whole,
                ),
            ),
            ("loop", table_of(same_failing=whole, alternating=whole)),
            ("never_empty", _globs),
            ("cooldown", duration),
            ("irreversible", one_of("ask", "deny", "allow")),
        ),
        (("max", "loop", "never_empty", "cooldown", "irreversible"),),
        ("baseline",),
    ),
    Kind(
        "contract",
        "contract",
        (
            ("proves", list_of(text, empty=False)),
            ("when", one_of("start", "checkpoint", "commit", "stop")),
            ("run", list_of(text, empty=False)),
            ("try", table_of(exec=text, write=text, connect=text, query=text)),
            ("expect", one_of("refused", "ask", "deny", "allow")),
            ("canary", text),
        ),
        (("when",), ("proves",), ("run", "try", "canary")),
        ("then", "baseline", "examples", "require"),
    ),
    Kind("rule", "before", (("match", text),), (("match",),), ("baseline",)),
)


def kind_named(name: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.name == name), None)


def kind_checks(kind: Kind) -> dict[str, Check]:
    """Every key this kind takes."""
    checks = {key: check for key, check in COMMON if key not in kind.lacks}
    if kind.name == "data":
        checks["paths"] = checks["except"] = list_of(home_glob)
    checks.update(kind.keys)
    return checks


def check_together(kind: Kind, spot: Spot, table: dict[str, Any]) -> None:
    """What keys of one table ask of each other. ``table`` is as it was read, unknown keys included."""
    for group in kind.needs:
        if not any(key in table for key in group):
            wanted = f'"{group[0]}"' if len(group) == 1 else "one of " + ", ".join(f'"{key}"' for key in group)
            spot.bad(f"[[{kind.name}]] needs {wanted}; without it the table does nothing")
    if kind.group != "contract" and "why" not in table and "adr" not in table:
        spot.bad(f'[[{kind.name}]] needs "why" or "adr": a denial tells its reason')
    if table.get("then") == "revert" and group_of(kind, table) == "before":
        spot.to("then").bad(f'"revert" has no meaning here: [[{kind.name}]] is judged before the act; use "deny"')
    together = {"infra": _infra, "data": _data, "guardrail": _guardrail, "contract": _contract, "boundary": _boundary}
    special = together.get(kind.name)
    if special is not None:
        special(spot, table)
    if kind.name == "dependency" and "only_via" in table and "deny" not in table and "allow_only" not in table:
        spot.to("only_via").bad('"only_via" needs "deny" or "allow_only"')


def group_of(kind: Kind, table: dict[str, Any]) -> str:
    """The kind's group; calls to an infrastructure API are judged before the act, documents after."""
    return "before" if kind.name == "infra" and "api" in table else kind.group


def _infra(spot: Spot, table: dict[str, Any]) -> None:
    documents = [key for key in ("files", "at", "must", "never") if key in table]
    if "api" in table and documents:
        spot.to(documents[0]).bad(f'"{documents[0]}" and "api" exclude each other; write two [[infra]] tables')
    elif "api" in table and "baseline" in table:
        spot.to("baseline").bad('"baseline" has no meaning with "api"')
    elif "files" in table and "must" not in table and "never" not in table:
        spot.bad('[[infra]] with "files" needs "must" or "never"')
    api = table.get("api")
    for number, item in enumerate(api if isinstance(api, list) else ()):
        if isinstance(item, dict) and "host" not in item:
            spot.to("api").to(number).bad('an element of "api" needs "host"')


def _data(spot: Spot, table: dict[str, Any]) -> None:
    if "paths" in table and "service" in table:
        spot.to("service").bad('"paths" and "service" exclude each other; write two [[data]] tables')
    effects = "allow" in table or "deny" in table
    if "service" in table and not effects:
        spot.to("service").bad('"service" needs "allow" or "deny"; what "allow" does not name is denied')
    if "access" in table and "paths" not in table:
        spot.to("access").bad('"access" goes with "paths"')
    if "paths" in table and "service" not in table and "access" not in table and not effects:
        spot.bad('[[data]] with "paths" needs "access" ("hide" or "read")')
    if "max_rows" in table and "service" not in table:
        spot.to("max_rows").bad('"max_rows" goes with "service"')


def _guardrail(spot: Spot, table: dict[str, Any]) -> None:
    most = table.get("max")
    spans = not isinstance(most, dict) or set(most) != {"depth"}  # that one is at a moment
    if "max" in table and "per" not in table and spans:
        spot.to("max").bad('"max" needs "per", such as "action", "run" or "10m"')
    if "per" in table and "max" not in table:
        spot.to("per").bad('"per" goes with "max"')


def _boundary(spot: Spot, table: dict[str, Any]) -> None:
    layers = table.get("layers")
    if isinstance(layers, list) and len(layers) < 2:
        spot.to("layers").bad('"layers" needs two globs or more')


def _contract(spot: Spot, table: dict[str, Any]) -> None:
    ways = [key for key in ("run", "try", "canary") if key in table]
    if len(ways) > 1:
        spot.to(ways[1]).bad(f'"{ways[0]}" and "{ways[1]}" exclude each other; write two contracts')
    attempt = table.get("try")
    if attempt is not None and "expect" not in table:
        spot.to("try").bad('"try" needs "expect"')
    if "expect" in table and attempt is None:
        spot.to("expect").bad('"expect" goes with "try"')
    if isinstance(attempt, dict) and len(attempt) != 1:
        spot.to("try").bad('"try" holds exactly one of "exec", "write", "connect", "query"')
    if isinstance(attempt, dict) and isinstance(attempt.get("connect"), str):
        host_port(spot.to("try").to("connect"), attempt["connect"])
    patch = table.get("canary")
    if isinstance(patch, str) and any(part in ("", ".", "..") for part in patch.split("/")):
        spot.to("canary").bad('"canary" is the path of a patch in the tree, such as "checks/requests.patch"')


def meaningless(kind: Kind, key: str, spot: Spot, valid: dict[str, Check]) -> None:
    """Report a key this kind does not take: known to other kinds, or misspelt."""
    if key in dict(COMMON):
        hint = '; use "files"' if (kind.name, key) == ("infra", "paths") else ""
        spot.bad(f'"{key}" has no meaning in [[{kind.name}]]{hint}')
        return
    owners = [other.name for other in KINDS if key in dict(other.keys)]
    close = nearest(key, valid)
    elsewhere = f" (a key of {', '.join(f'[[{name}]]' for name in owners)})" if owners and not close else ""
    spot.bad(f"unknown key {shown(key)} in [[{kind.name}]]{close}{elsewhere}")
