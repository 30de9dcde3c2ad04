"""``[[rule]]``: a CEL expression over an act, for what no other kind can say (the optional extra ``cel``).

The language is the Common Expression Language, in Google's own implementation: typed, so that a misspelt name is an
error when the profile is loaded; without loops of its own, input, output or state; and with a budget for what it may
iterate. An expression that comes to no answer matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.invariants.addresses import number
from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, NetEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

if TYPE_CHECKING:
    from cel_expr_python import cel

_TEXTS = ("kind", "op", "path", "to", "actor", "host")
_LISTS = ("argv", "tools", "verbs", "classes", "targets")
_LONGEST = 160
_MOST_BENEATH = 4096
_ELSEWHERE = re.compile(r"""\A(?!.*(?:\|\||\?|!)).*\bevent\.kind == ["'](?:exec|net)["']""", re.DOTALL)
_NOTE = "programs that start, mutations of names, connects, binds and addressed sends, before the act"


class Expression(NamedTuple):
    """``program`` is the compiled expression; ``paths`` and ``exempt`` are matched against paths in the tree, for a
    program that starts against what would lie in its working directory. ``elsewhere``: it cannot hold for files."""

    invariant: Invariant
    effect: Effect
    text: str
    program: cel.Expression
    paths: Globs
    exempt: Globs
    elsewhere: bool


Act = ExecEvent | FsEvent | NetEvent
ExpressionRules = tuple[Expression, ...]


def compile_expressions(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> ExpressionRules:
    """Errors: ``ProfileError`` for every expression that is none, or when the extra is not installed."""
    try:
        from cel_expr_python import cel
    except ImportError as error:
        why = "\n".join(f"{rule.source}: {rule.id}" for rule in rules)
        fix = "pipx inject govrun cel-expr-python (in a checkout: .venv/bin/python -m pip install cel-expr-python)"
        raise ProfileError("[[rule]] needs the extra cel, which is not installed", why, fix) from error
    kinds = cel.Type
    names = {f"event.{name}": kinds.STRING for name in _TEXTS}
    names |= {f"event.{name}": kinds.List(kinds.STRING) for name in _LISTS}
    names |= {"event.inside": kinds.BOOL, "event.irreversible": kinds.BOOL, "event.port": kinds.INT}
    environment = cel.NewEnv(variables={**names, "now": kinds.TIMESTAMP})
    found, problems = [], []
    for rule in rules:
        text = str(rule.fields["match"])
        try:
            program = environment.compile(text)
            if program.return_type() != kinds.BOOL:
                raise RuntimeError(f"it is {program.return_type().name()}, not true or false")
        except (RuntimeError, ValueError) as error:
            problems.append(f"{rule.source}: {rule.id}: {_readable(str(error))}")
            continue
        effect = Effect[(rule.then or "deny").upper()]
        paths, exempt = _globs(rule, rule.paths), _globs(rule, rule.exempt)
        found.append(
            Expression(invariants[rule.id], effect, text, program, paths, exempt, _ELSEWHERE.search(text) is not None)
        )
    if problems:
        every = ", ".join(sorted([*names, "now"]))
        raise ProfileError("a match of [[rule]] cannot be used", "\n".join(problems), f"it may speak of {every}")
    return tuple(found)


def _readable(error: str) -> str:
    """The compiler's own words, without its frame."""
    text = re.sub(r"^\w+: (?:ERROR: )?|\s*\[\w+\]$", "", error.strip())
    return re.sub(r"\s*\n\s*\|\s?", " | ", re.sub(r"<input>:\d+:(\d+)", r"character \1", text))


def _globs(rule: Rule, values: Iterable[str]) -> Globs:
    return Globs(Entry(value, rule.source) for value in values)


def judge(rules: ExpressionRules, event: Act, tree: bytes, home: bytes, now: float) -> Iterator[Match]:
    """The rules whose expression holds for the act. ``now``: seconds since the epoch."""
    acts, whole = _acts(event)
    for rule in rules:
        told = next((message for act in acts if (message := _broken(rule, act, tree, home, now))), "")
        if not told and not whole and not rule.elsewhere:
            told = "more names move along with the folder than can be asked about"
        if told:
            yield Match(rule.invariant, rule.effect, told[:400])


def _acts(event: Act) -> tuple[list[Act], bool]:
    """The act, and as acts of their own what moves along with a folder, and the new name of each file that moves or
    gets a further name; False: that is more than can be asked about."""
    if not isinstance(event, FsEvent) or event.other is None:
        return [event], True
    moved = [(event.target, event.other, event.beneath)]
    if event.exchange:
        moved.append((event.other, event.target, event.beneath_other))
    found: list[Act] = []
    for old, new, names in moved:
        for name in (b"", *(b"/" + each for each in (names or ())[:_MOST_BENEATH])):
            arrives = new._replace(path=new.path + name)
            found += (
                event._replace(target=each, other=arrives) for each in (old._replace(path=old.path + name), arrives)
            )
    return found, all(names is not None and len(names) <= _MOST_BENEATH for _, _, names in moved)


def _broken(rule: Expression, event: Act, tree: bytes, home: bytes, now: float) -> str:
    """In words, what the rule says of the act; empty if nothing."""
    places = tuple(_places(event, tree))
    if rule.paths and not any(rule.paths.match(place) is not None for place in places):
        return ""
    if places and all(rule.exempt.match(place) is not None for place in places):
        return ""
    facts = _facts(event, tree, home, now)
    told = _holds(rule, facts)
    return f"{facts['event.kind']} {_shown(facts)}: {told}" if told else ""


def _shown(facts: Mapping[str, Any]) -> str:
    """What an act is about: a path, or an address with its port."""
    host = facts["event.host"]
    if host:
        return f"[{host}]:{facts['event.port']}" if ":" in host else f"{host}:{facts['event.port']}"
    return str(facts["event.path"]).replace("\0", "@") or str(facts["event.op"])


def _holds(rule: Expression, facts: dict[str, Any]) -> str:
    """Why the rule speaks; empty: its expression is false."""
    try:
        answer = rule.program.eval(data=facts).value()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from an answer: the budget, an index, a division
        return f"{rule.text[:_LONGEST]} comes to no answer: {_readable(str(error))}"
    if answer is False:
        return ""
    return rule.text[:_LONGEST] if answer is True else f"{rule.text[:_LONGEST]} comes to no answer: {answer}"


def _places(event: Act, tree: bytes) -> Iterator[bytes]:
    if isinstance(event, FsEvent):
        found = [each.path for each in (event.target, event.other) if each is not None]
    else:
        found = [event.cwd + b"/\0"] if isinstance(event, ExecEvent) else []
    for path in found:
        if path.startswith(tree + b"/"):
            yield path[len(tree) + 1 :]


def _facts(event: Act, tree: bytes, home: bytes, now: float) -> dict[str, Any]:
    def shown(path: bytes) -> str:
        if path.startswith(tree + b"/"):
            return _text(path[len(tree) + 1 :])
        return "~" + _text(path[len(home) :]) if path.startswith(home + b"/") else _text(path)

    facts: dict[str, Any] = {f"event.{name}": "" for name in _TEXTS}
    facts |= {f"event.{name}": [] for name in _LISTS}
    facts |= {"event.inside": False, "event.irreversible": False, "event.port": 0}
    facts["event.actor"] = shown(event.actor.exe)
    facts["now"] = datetime.fromtimestamp(now, UTC)
    if isinstance(event, NetEvent):
        where = {"kind": "net", "op": event.op, "path": _text(event.unix), "host": _host(event), "port": event.port}
        return facts | {f"event.{name}": value for name, value in where.items()}
    facts["event.path"] = shown(event.target.path)
    facts["event.inside"] = event.target.path.startswith(tree + b"/")
    if isinstance(event, FsEvent):
        other = shown(event.other.path) if event.other is not None else ""
        return facts | {"event.kind": "file", "event.op": str(event.op), "event.to": other}
    commands = event.commands
    return facts | {
        "event.kind": "exec",
        "event.op": "exec",
        "event.argv": [_text(word) for word in event.argv],
        "event.tools": [each.tool for each in commands],
        "event.verbs": [each.verb for each in commands],
        "event.classes": sorted({name for each in commands for name in each.classes}),
        "event.targets": sorted({name for each in commands for name in each.targets}),
        "event.irreversible": any(each.irreversible for each in commands),
    }


def _host(event: NetEvent) -> str:
    """The address in its one spelling: v4-mapped as IPv4, and the unspecified address as the loopback that Linux
    connects to in its place (ip(7), ipv6(7)). For a bind that one means every address, and stays."""
    from ipaddress import IPv4Address, IPv6Address

    found = number(event.host)
    if found is None:
        return event.host
    width, value = found
    if value == 0 and event.op in ("connect", "send"):
        return "127.0.0.1" if width == 32 else "::1"
    return str(IPv4Address(value) if width == 32 else IPv6Address(value))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the table holds."""
    acts = Effect[(rule.then or "deny").upper()] >= Effect.ASK
    return Coverage.SUPERVISED if acts else Coverage.OBSERVED, _NOTE


def asks_the_clock(rule: Rule) -> bool:
    """Whether what the rule says depends on when it is asked."""
    return re.search(r"\bnow\b", str(rule.fields.get("match", ""))) is not None


def is_judged(event: FsEvent | ExecEvent | NetEvent) -> bool:
    """Reads are not acts of this kind; what cannot be judged at all is refused before."""
    if isinstance(event, FsEvent):
        return event.op is not FsOp.READ
    return not event.refusal and not (isinstance(event, ExecEvent) and event.anonymous)
