"""Layers to one policy text: lists of denials add up, lists of permissions intersect, limits take the smallest.

No layer can widen what another one set, except by ``relax``, which removes a pack's rule by name and is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from supervisor.profile.layer import EMPTY_SCOPE, Layer
from supervisor.profile.model import Entry, Rule, Scope, Words
from supervisor.profile.problems import Problems, nearest, shown
from supervisor.profile.scope import LayerScope

INTERSECTED: Final = ("write", "read", "hosts", "commands")
ADDED: Final = ("protect", "hide", "tls", "state", "env_pass", "env_drop")
COMMON: Final = ("branches", "push")  # flat: a value counts when every layer that sets the key names it
SMALLEST: Final = ("timeout", "cpu", "memory", "disk", "processes", "files")
NAMED: Final = ("env_set", "pull_requests", "commits", "tools")
ORDER: Final = ("observe", "warn", "ask", "deny", "revert", "pause", "kill")
DENIALS: Final = ("deny", "revert", "pause", "kill")


def error_at(problems: Problems, where: str, text: str) -> None:
    """Report at ``name:line`` as sources write it."""
    name, _, line = where.rpartition(":")
    problems.error(name or where, int(line) if line.isdigit() else 0, text)


def relax(layers: Sequence[Layer], asked: Iterable[Entry], problems: Problems) -> tuple[list[Layer], tuple[str, ...]]:
    """The layers without the pack rules that ``asked`` names (``pack:NAME/ID``), and the names that took effect."""
    out = {layer.name: layer for layer in layers}
    done: list[str] = []
    for entry in asked:
        pack, slash, name = entry.value.partition("/")
        layer = out.get(pack)
        if not slash or not pack.startswith("pack:"):
            error_at(problems, entry.source, f'{shown(entry.value)}: write "pack:NAME/ID"')
            continue
        if layer is None:
            packs = [known for known in out if known.startswith("pack:")]
            error_at(problems, entry.source, f"{shown(pack)} is not in use{nearest(pack, packs)}")
            continue
        thinner = _without(layer, name)
        if thinner is None:
            can = [r.id for r in layer.rules if r.then in DENIALS] + [f"scope.{k}" for k in layer.scope.values]
            error_at(problems, entry.source, f"{shown(name)} is not a deny of {pack}{nearest(name, can)}")
            continue
        out[pack] = thinner
        done.append(entry.value)
    return list(out.values()), tuple(done)


def _without(layer: Layer, name: str) -> Layer | None:
    key = name.removeprefix("scope.").replace(".", "_")
    if name.startswith("scope.") and key in layer.scope.values:
        values = {k: v for k, v in layer.scope.values.items() if k != key}
        return layer._replace(scope=LayerScope(values, layer.scope.sources, layer.scope.words))
    rest = tuple(rule for rule in layer.rules if rule.id != name or rule.then not in DENIALS)
    return layer._replace(rules=rest) if len(rest) < len(layer.rules) else None


def merge_scope(layers: Sequence[Layer], problems: Problems) -> Scope:
    """One scope. Layers come in the order that names a rule first."""
    setting = [layer for layer in layers if layer.scope is not EMPTY_SCOPE]  # a table that says only `then` counts
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def given(key: str) -> list[tuple[Any, str]]:
        found = [(x.scope.values[key], x.scope.sources[key]) for x in setting if key in x.scope.values]
        if found:
            sources[key] = found[0][1]
        return found

    for key in INTERSECTED:
        values[key] = tuple(value for value, _ in given(key))
    words = {layer.name: layer.scope.words for layer in setting}
    for key in ADDED:
        values[key] = _unique([entry for value, _ in given(key) for entry in value], words)
    for key in COMMON:
        values[key] = _in_all([value for value, _ in given(key)])
    for key in SMALLEST:
        found = given(key)
        if found:
            values[key], sources[key] = min(found, key=lambda item: item[0])
    for key in NAMED:
        values[key] = MappingProxyType(_one_each(key, given(key), problems))
    debug = given("debug")
    values["debug"] = bool(debug) and all(value for value, _ in debug)
    then = max((word.then for word in words.values()), key=ORDER.index, default="deny")
    return Scope(then, **values, sources=MappingProxyType(sources), layers=MappingProxyType(words))


def _unique(items: Iterable[Entry], words: Mapping[str, Words]) -> tuple[Entry, ...]:
    """Each value once: as the layer with the strictest word said it; of equals a profile's own, the first."""
    out: dict[str, Entry] = {}
    for item in items:
        held = out.setdefault(item.value, item)
        if _rank(item, words) > _rank(held, words):
            out[item.value] = item
    return tuple(out.values())


def _rank(item: Entry, words: Mapping[str, Words]) -> tuple[int, bool]:
    return _strictness(item, words), not item.source.startswith("pack:")


def _strictness(item: Entry, words: Mapping[str, Words]) -> int:
    return ORDER.index(words[item.source.rpartition(":")[0]].then)


def _in_all(lists: list[tuple[Entry, ...]]) -> tuple[Entry, ...]:
    if not lists:
        return ()
    shared = set.intersection(*({entry.value for entry in entries} for entries in lists))
    return tuple(entry for entry in lists[0] if entry.value in shared)


def _one_each(key: str, found: list[tuple[Any, str]], problems: Problems) -> dict[str, Any]:
    """Sub-keys of all layers; two different values for one are a contradiction that nobody can resolve silently."""
    out: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for value, where in found:
        for name, item in value.items():
            plain = item.value if isinstance(item, Entry) else item
            other = out.get(name)
            if name not in out:
                out[name], set_by[name] = item, where
            elif (other.value if isinstance(other, Entry) else other) != plain:
                told = f"{key.replace('_', '.', 1) if key == 'env_set' else key}.{name}"
                error_at(problems, set_by[name], f"{shown(told)} is set differently at {where}")
    return out


def merge_rules(layers: Sequence[Layer], problems: Problems) -> list[Rule]:
    """All rules; an id that two share is an error at the second."""
    out: list[Rule] = []
    seen: dict[str, Rule] = {}
    for layer in layers:
        for rule in layer.rules:
            first = seen.setdefault(rule.id, rule)
            if first is not rule:
                error_at(problems, rule.source, f"duplicate id {shown(rule.id)}, already used at {first.source}")
            out.append(rule)
    return out


def check_proofs(rules: Sequence[Rule], scope: Scope, layers: Sequence[Layer], problems: Problems) -> None:
    """What contracts say they prove must exist; a pack may gain the rule later, so that is a warning."""
    local = {rule.id for rule in rules if rule.kind != "contract"}
    qualified = {f"{rule.layer}/{rule.id}" for rule in rules if rule.layer.startswith("pack:")}
    qualified |= {f"{layer.name}/scope.{key}" for layer in layers for key in layer.scope.values}
    known = local | {f"scope.{key}" for key in scope.sources} | qualified
    for rule in rules:
        proves = rule.fields.get("proves")
        for name in proves if rule.kind == "contract" and isinstance(proves, tuple) else ():
            if name in known:
                continue
            if name.startswith("pack:") and name.partition("/")[0] in {layer.name for layer in layers}:
                problems.warn(rule.source, f"contract {shown(rule.id)} proves {shown(name)}, which no pack has yet")
            else:
                where = f"contract {shown(rule.id)} proves {shown(name)}, which is no invariant"
                error_at(problems, rule.source, f"{where}{nearest(name, known)}")
