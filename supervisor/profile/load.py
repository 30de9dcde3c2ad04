"""Reads all that binds a run and merges it: ``govrun.toml``, the packs it extends, the decision records in force."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from supervisor.profile.agents import load_agent
from supervisor.profile.layer import KIND_NAMES, Layer, read_body, read_head, read_rule
from supervisor.profile.merge import check_proofs, error_at, merge_rules, merge_scope, relax
from supervisor.profile.model import Adr, Contract, Entry, Profile, Rule, SourceFile
from supervisor.profile.packs import Document, packs_dir, read_document, read_pack
from supervisor.profile.problems import Problems, Spot, nearest, shown

if TYPE_CHECKING:
    from pathlib import Path

    from supervisor.profile.adr import Decisions

__all__ = ["load", "load_agent", "packs_dir"]

NAME = "govrun.toml"
ASKS = ("wait", "auto", "deny")  # laxest first
LEVELS = ("observed", "supervised", "enforced")


def load(tree: Path, *, profile: Path | None = None, extra_packs: Sequence[str] = ()) -> Profile:
    """The profile in force for ``tree``: ``profile`` or the tree's ``govrun.toml``; without one the default pack alone.

    ``extra_packs`` are names with or without ``pack:`` and can only tighten. Raises ``ProfileError`` with every problem
    found, each with its file and line.
    """
    problems = Problems()
    root = os.path.abspath(tree)
    path = os.path.join(root, NAME) if profile is None else os.path.abspath(profile)
    name = NAME if profile is None else _shown_name(path, root)
    document = read_document(path, name, problems)
    if document is None:
        if profile is not None and not problems.errors:
            problems.error(name, 0, "does not exist")
        problems.raise_if_any()
    head = Layer(name) if document is None else read_head(document.source, document.table, pack=False)
    decisions = _decisions(root, head, problems) if document is not None else None
    packs = _Packs(problems)
    packs.add_all(head.extends if head.extends is not None else (Entry("pack:default", f"{name}:1"),), ())
    packs.add_all(tuple(Entry(f"pack:{pack.removeprefix('pack:')}", "--pack:0") for pack in extra_packs), ())
    own: list[Layer] = []
    if document is not None and decisions is not None:
        own.append(read_body(head, document.source, document.table, decisions.resolve))
        own += _from_records(decisions)
    layers, relaxed = relax([*own, *packs.layers], head.relax, problems)
    scope = merge_scope(layers, problems)
    rules = merge_rules(layers, problems)
    check_proofs(rules, scope, layers, problems)
    problems.raise_if_any()
    return _assemble(root, path, layers, rules, decisions, _sources(document, packs, decisions))._replace(
        scope=scope, relaxed=relaxed, warnings=tuple(problems.warnings)
    )


def _assemble(
    root: str,
    path: str,
    layers: Sequence[Layer],
    rules: Sequence[Rule],
    decisions: Decisions | None,
    sources: tuple[SourceFile, ...],
) -> Profile:
    import hashlib

    digest = hashlib.sha256("".join(f"{s.name}\0{s.sha256}\n" for s in sources).encode("utf-8", "surrogateescape"))
    bound = dict.fromkeys([os.path.join(root, NAME), path])
    adrs: list[Adr] = []
    for adr, record in decisions.in_force.values() if decisions is not None else ():
        adrs.append(adr)
        bound.update(dict.fromkeys([os.path.join(root, adr.path), record.real]))
    asks = [layer.ask for layer in layers if layer.ask]
    waits = [layer.ask_timeout for layer in layers if layer.ask_timeout]
    levels = [layer.require for layer in layers if layer.require]
    return Profile(
        rules=tuple(rule for rule in rules if not isinstance(rule, Contract)),
        contracts=tuple(rule for rule in rules if isinstance(rule, Contract)),
        default_then=layers[0].default_then if layers and not layers[0].name.startswith("pack:") else None,
        ask=max(asks, key=ASKS.index, default="auto"),
        ask_timeout=min(waits, default=60.0),
        require=max(levels, key=LEVELS.index, default=None),
        require_committed=any(layer.require_committed for layer in layers),
        sources=sources,
        digest=digest.hexdigest(),
        adrs=tuple(adrs),
        protected_files=tuple(file for file in bound if file.startswith(root.rstrip("/") + "/")),
    )


def _shown_name(path: str, root: str) -> str:
    inside = path.startswith(root.rstrip("/") + "/")
    return os.path.relpath(path, root) if inside else path


def _decisions(root: str, head: Layer, problems: Problems) -> Decisions:
    from supervisor.profile.adr import Decisions

    return Decisions(root, head.adr_dir, problems)


class _Packs:
    """Packs in the order of ``extends``, each once, what a pack extends after it."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.layers: list[Layer] = []
        self.documents: list[Document] = []

    def add_all(self, references: Sequence[Entry], chain: tuple[str, ...]) -> None:
        for entry in references:
            if entry.value in chain:
                circle = " -> ".join((*chain[chain.index(entry.value) :], entry.value))
                error_at(self.problems, entry.source, f"extends in a circle: {circle}")
            elif entry.value not in [layer.name for layer in self.layers]:
                self._add(entry, (*chain, entry.value))

    def _add(self, entry: Entry, chain: tuple[str, ...]) -> None:
        name, _, line = entry.source.rpartition(":")
        document = read_pack(entry.value, (name, int(line)), self.problems)
        if document is None:
            return
        head = read_head(document.source, document.table, pack=True)
        self.layers.append(read_body(head, document.source, document.table, _no_records))
        self.documents.append(document)
        self.add_all(head.extends or (), chain)


def _no_records(spot: Spot, ref: str) -> None:
    spot.bad(f'a pack cannot rest on the decision record {shown(ref)} of some tree; give "why"')


def _from_records(decisions: Decisions) -> list[Layer]:
    """One layer per accepted record that enforces something."""
    layers = []
    for adr, source, items in decisions.enforcing():
        head = Layer(adr.path)
        rules: list[Rule] = []
        for number, item in enumerate(items):
            spot = Spot(source, ("enforces", number), "enforces")
            if not isinstance(item, dict) or len(item) != 1:
                spot.bad('an element of "enforces" is one kind with its fields: "- dependency: { id: …, deny: […] }"')
                continue
            kind, table = next(iter(item.items()))
            if kind not in KIND_NAMES:
                told = kind if isinstance(kind, str) else "?"
                spot.bad(f"unknown kind {shown(told)}{nearest(told, KIND_NAMES)}")
                continue
            at = Spot(source, ("enforces", number, kind))
            rules += read_rule(at, kind, table, head, decisions.resolve, own=adr)
        layers.append(head._replace(rules=tuple(rules)))
    return layers


def _sources(document: Document | None, packs: _Packs, decisions: Decisions | None) -> tuple[SourceFile, ...]:
    import hashlib

    files: list[tuple[str, str, Any]] = []
    if document is not None:
        files.append((document.source.name, document.path, document.data))
    files += [(pack.source.name, pack.path, pack.data) for pack in packs.documents]
    if decisions is not None:
        files += [(adr.path, record.real, record.data) for adr, record in decisions.in_force.values()]
    return tuple(SourceFile(name, path, hashlib.sha256(data).hexdigest()) for name, path, data in files)
