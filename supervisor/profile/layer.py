"""One document (profile, pack or the ``enforces`` list of a decision record) to one ``Layer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from supervisor.profile.model import NOTHING, Adr, Contract, Entry, Rule, Words
from supervisor.profile.problems import Source, Spot, nearest, plain
from supervisor.profile.scope import SCOPE_THENS, LayerScope, entries, read_scope
from supervisor.profile.values import Check, duration, flag, list_of, one_of, table_of, text

KIND_NAMES: Final = (
    *("dependency", "deploy", "secrets", "command", "boundary", "infra", "data", "remediation", "guardrail"),
    *("contract", "rule"),
)
HEAD: Final[tuple[tuple[str, Check], ...]] = (
    ("extends", list_of(text)),
    ("adr_dir", text),
    ("default", table_of(then=one_of(*SCOPE_THENS), ask=one_of("auto", "wait", "deny"), ask_timeout=duration)),
    ("require", one_of("enforced", "supervised", "observed")),
    ("require_committed", flag),
    ("relax", list_of(text)),
)
EMPTY_SCOPE: Final = LayerScope(NOTHING, NOTHING, Words())

Resolve = Callable[[Spot, str], Adr | None]


class Layer(NamedTuple):
    """What one file says. ``extends`` is None when the key is absent."""

    name: str
    extends: tuple[Entry, ...] | None = None
    adr_dir: Entry | None = None
    default_then: str | None = None
    ask: str | None = None
    ask_timeout: float | None = None
    require: str | None = None
    require_committed: bool = False
    relax: tuple[Entry, ...] = ()
    scope: LayerScope = EMPTY_SCOPE
    rules: tuple[Rule, ...] = ()


def read_head(source: Source, document: Mapping[str, Any], *, pack: bool) -> Layer:
    """The top level without scope and rules: unknown keys, and those a pack must not have, are reported."""
    spot = Spot(source)
    heads, out = dict(HEAD), dict[str, Any]()
    for key, value in document.items():
        here = spot.to(key)
        if key == "version":
            if isinstance(value, bool) or value != 1:
                here.bad('"version" must be 1')
        elif pack and key in ("adr_dir", "relax", "require_committed"):
            here.bad(f'"{key}" belongs to govrun.toml, not to a pack')
        elif key in heads:
            out[key] = heads[key](here, value)
        elif key not in KIND_NAMES and key != "scope":
            valid = (*heads, "version", "scope", *KIND_NAMES)
            if isinstance(value, list) and value and isinstance(value[0], dict):
                here.bad(f"unknown kind [[{plain(key[:80])}]]{nearest(key, valid)}")
            else:
                here.unknown(key, "the top level", valid)
    default = out.get("default") or {}
    extends, relax = out.get("extends"), out.get("relax")
    adr_dir = out.get("adr_dir")
    return Layer(
        source.name,
        None if extends is None else entries(spot.to("extends"), extends),
        None if adr_dir is None else Entry(adr_dir, spot.to("adr_dir").where),
        default.get("then"),
        default.get("ask"),
        default.get("ask_timeout"),
        out.get("require"),
        bool(out.get("require_committed")),
        () if relax is None else entries(spot.to("relax"), relax),
    )


def read_body(head: Layer, source: Source, document: Mapping[str, Any], resolve: Resolve) -> Layer:
    """``head`` with its scope and rules."""
    spot = Spot(source)
    usual = head.default_then or "deny"
    scope = EMPTY_SCOPE
    table = document.get("scope")
    if isinstance(table, dict):
        adr = table.get("adr")
        found = resolve(spot.to("scope").to("adr"), adr) if isinstance(adr, str) else None
        scope = read_scope(spot.to("scope"), table, usual, found)
    elif isinstance(table, list):
        spot.to("scope").bad("there is one scope: write [scope], not [[scope]]")
    elif table is not None:
        spot.to("scope").wrong("a table", table)
    rules: list[Rule] = []
    for kind in KIND_NAMES:
        tables = document.get(kind)
        if tables is None:
            continue
        at = spot.to(kind)
        if isinstance(tables, dict):  # [kind] where [[kind]] was meant
            rules += read_rule(Spot(source, (kind,)), kind, tables, head, resolve)
        elif isinstance(tables, list):
            for number, item in enumerate(tables):
                rules += read_rule(Spot(source, (kind, number)), kind, item, head, resolve)
        else:
            at.wrong(f"written as [[{kind}]]", tables)
    rules.sort(key=lambda rule: _line(rule.source))  # the order of the file, across kinds
    return head._replace(scope=scope, rules=tuple(rules))


def _line(source: str) -> int:
    digits = source.rpartition(":")[2]
    return int(digits) if digits.isdigit() else 0


def read_rule(
    spot: Spot, name: str, table: object, head: Layer, resolve: Resolve, own: Adr | None = None
) -> list[Rule]:
    """One ``[[name]]`` table: a list of the rule, empty when it has no usable id. ``own`` is the ADR it stands in."""
    from supervisor.profile.kinds import check_together, group_of, kind_checks, kind_named, meaningless

    kind = kind_named(name)
    if kind is None:
        spot.bad(f"unknown kind {name!r}")
        return []
    if not isinstance(table, dict):
        spot.called(name).wrong("a table", table)
        return []
    table = {key if isinstance(key, str) else str(type(key).__name__): value for key, value in table.items()}
    if own is not None:
        if "adr" in table:
            spot.to("adr").bad('"adr" has no meaning here: the decision is the file it stands in')
        table["adr"] = own.ref
    checks = kind_checks(kind)
    clean: dict[str, Any] = {}
    for key, value in table.items():
        if key in checks:
            clean[key] = checks[key](spot.to(key), value)
        else:
            meaningless(kind, key, spot.to(key), checks)
    check_together(kind, spot, table)
    if "id" not in table:
        spot.bad(f'[[{name}]] needs an "id"')
    _check_date(spot, clean.get("until"))
    reference = clean.get("adr")
    adr = own if own is not None else resolve(spot.to("adr"), reference) if reference else None
    if clean.get("then") is None and kind.group != "contract":
        before = group_of(kind, table) == "before"
        clean["then"] = (head.default_then if before else None) or ("deny" if before else kind.usual_then)
    if clean.get("examples"):
        from supervisor.profile.examples import check_examples

        check_examples(spot.to("examples"), clean["examples"], sql=name == "data")
    if clean.get("id") is None:
        return []
    own_keys = dict(kind.keys)
    fields = {key: value for key, value in clean.items() if key in own_keys and value is not None}
    return [_built(name, clean, fields, adr, spot.where, head.name)]


def _built(
    name: str, clean: Mapping[str, Any], fields: dict[str, Any], adr: Adr | None, source: str, layer: str
) -> Rule:
    examples = clean.get("examples") or {}
    make = Contract if name == "contract" else Rule
    return make(
        kind=name,
        id=clean["id"],
        then=clean.get("then"),
        why=clean.get("why") or "",
        use=clean.get("use") or "",
        adr=adr,
        paths=clean.get("paths") or (),
        exempt=clean.get("except") or (),
        baseline=clean.get("baseline") or "freeze",
        denied=examples.get("denied") or (),
        allowed=examples.get("allowed") or (),
        until=clean.get("until"),
        require=clean.get("require"),
        fields=MappingProxyType(fields),
        source=source,
        layer=layer,
    )


def _check_date(spot: Spot, until: str | None) -> None:
    if until is None:
        return
    import datetime as dt

    if dt.date.fromisoformat(until) < dt.datetime.now().astimezone().date():
        spot.to("until").bad(f"expired on {until}; renew the date or remove the rule")
