"""``[[boundary]]``: which files may reference which, by import, use or require.

Content is judged against what the file said before: a violation is a (rule, way of breaking it, path that is led to)
that was not there. A rule is about single references, except ``acyclic``, which needs those of the whole tree: the
caller keeps a ``Graph`` for each rule that has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from supervisor.invariants.edges import Graph, Step
from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import Findings, Reference
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 50
_MOST_STEPS = 6  # of a cycle that are told
_INSIDE = "/\x01"  # a name in a folder, which only a glob for everything in it matches
_SOURCE = re.compile(
    r"\.(?:py|pyi|pyw|pyx|js|mjs|cjs|jsx|ts|mts|cts|tsx|vue|svelte|json|css|scss|node|go|rs|java|kt)\Z", re.IGNORECASE
)
_CLASS = re.compile(r"\[[!^]?\]?[^\]/]*\]")


class Glob(NamedTuple):
    """One glob and, where it has one, the text that its first ``*`` takes (``star``, in group 1)."""

    text: str
    globs: Globs
    star: re.Pattern[str] | None = None

    def matches(self, path: str) -> bool:
        """A path that may be that of a folder matches what matches everything in it: ``src/db`` ``src/db/**``."""
        if self.globs.match(_bytes(path)) is not None:
            return True
        if not path or _SOURCE.search(path) is not None:
            return False
        return self.globs.match(_bytes(path.rstrip("/") + _INSIDE)) is not None

    def taken(self, path: str) -> str | None:
        found = self.star.match(path) if self.star is not None else None
        return found[1] if found is not None else None


class Edge(NamedTuple):
    source: Glob
    target: Glob
    text: str

    def denies(self, path: str, to: str) -> bool:
        """Whether a reference from ``path`` to ``to`` is one that this speaks of.

        Where both ends have a ``*`` that is no part of ``**``, it is not denied if the first of each takes the same
        text: ``packages/* -> packages/*/src/internal/**`` lets ``packages/ui`` reference what is internal to itself.
        ``**`` takes no part in this, or else ``a/** -> b/**`` would let ``a/x.ts`` reference ``b/x.ts``.
        """
        if not (self.source.matches(path) and self.target.matches(to)):
            return False
        taken = self.source.taken(path)
        return taken is None or taken != self.target.taken(to)


class BoundaryRule(NamedTuple):
    """One compiled table. ``effect`` is that on content that has landed. ``layers``: the highest first."""

    invariant: Invariant
    effect: Effect
    layers: tuple[Glob, ...] = ()
    deny: tuple[Edge, ...] = ()
    isolate: tuple[Glob, ...] = ()
    acyclic: Globs = Globs(())
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    only_via: Globs = Globs(())
    frozen: bool = True
    revision: str = ""
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def before_the_act(self) -> Effect:
        """Nothing has happened yet that could be taken back, and nobody can be asked yet."""
        return Effect.DENY if self.effect in (Effect.ASK, Effect.REVERT) else self.effect

    def after_the_act(self) -> Effect:
        return Effect.REVERT if self.effect in (Effect.ASK, Effect.DENY) else self.effect

    def covers(self, path: str) -> bool:
        """Whether the rule speaks of what a file at ``path`` references."""
        name = _bytes(path)
        if self.paths and self.paths.match(name) is None:
            return False
        return self.exempt.match(name) is None and self.only_via.match(name) is None


class BoundaryRules(NamedTuple):
    rules: tuple[BoundaryRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def graphs(self) -> dict[str, Graph]:
        """An empty graph for the id of each rule that forbids cycles. The caller puts the files of the tree into it:
        ``Graph.replace`` when it starts and whenever a file was accepted, ``Graph.remove`` when one is gone."""
        return {rule.invariant.id: Graph(rule.acyclic) for rule in self.rules if rule.acyclic}

    def speaks_of(self, relative: bytes) -> bool:
        """Whether anything could be said of what the file at ``relative`` references."""
        path = _text(relative)
        return any(rule.covers(path) and _may_break(rule, path) for rule in self.rules)


class _Said(NamedTuple):
    """A violation: what it is known by in its file, and in words."""

    key: tuple[str, str]
    message: str
    line: int = 0


# ------------------------------------------------------------------------------------------------- compilation


def compile_boundaries(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> BoundaryRules:
    """Every ``[[boundary]]`` among ``rules``, in profile order. ``KeyError`` for one without an invariant."""
    return BoundaryRules(tuple(_compiled(rule, invariants[rule.id]) for rule in rules if rule.kind == "boundary"))


def _words(rule: Rule, key: str) -> tuple[str, ...]:
    found = rule.fields.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else ()


def _compiled(rule: Rule, invariant: Invariant) -> BoundaryRule:
    def globs(values: Iterable[str]) -> Globs:
        return Globs(Entry(value, rule.source) for value in values)

    def glob(value: str) -> Glob:
        return Glob(value, globs((value,)), _star(value))

    def edge(text: str) -> Edge:
        source, _, target = text.partition("->")
        return Edge(glob(source.strip()), glob(target.strip()), text)

    return BoundaryRule(
        invariant,
        Effect[(rule.then or "revert").upper()],
        tuple(glob(value) for value in _words(rule, "layers")),
        tuple(edge(value) for value in _words(rule, "deny")),
        tuple(glob(value) for value in _words(rule, "isolate")),
        globs(_words(rule, "acyclic")),
        globs(rule.paths),
        globs(rule.exempt),
        globs(_words(rule, "only_via")),
        frozen=rule.baseline != "none",
        revision=rule.revision,
        denied=rule.denied,
        allowed=rule.allowed,
    )


def _star(glob: str) -> re.Pattern[str] | None:
    """A pattern for the beginning of a path, whose group 1 is what the first ``*`` of ``glob`` takes: the first that is
    no part of ``**``. None without such a star."""
    parts = glob.strip("/").split("/")
    found = (re.compile(_segment(part, capture=True)).groups for part in parts)
    stars = (number for number, has in enumerate(found) if has and parts[number] != "**")
    at = next(stars, -1)  # an escaped one is none
    if at < 0:
        return None
    anywhere = "(?:[^/]+/)*?"
    # As in gitignore: without a slash before its end a glob holds at any depth.
    head = anywhere if len(parts) == 1 and not glob.startswith("/") else ""
    for part in parts[:at]:
        head += anywhere if part == "**" else _segment(part, capture=False) + "/"
    return re.compile(head + _segment(parts[at], capture=True) + r"(?=/|\Z)", re.DOTALL)


def _segment(part: str, *, capture: bool) -> str:
    found, at = "", 0
    while at < len(part):
        sign = part[at]
        bracket = _CLASS.match(part, at) if sign == "[" else None
        if bracket is not None:
            body = bracket[0][1:-1].replace("\\", "\\\\").replace("[", "\\[")
            found += f"[^/{body[1:]}]" if body[:1] in ("!", "^") else f"[{body}]"
            at = bracket.end()
            continue
        if sign == "\\" and at + 1 < len(part):
            at += 1
            found += re.escape(part[at])
        elif sign == "*":
            found += "([^/]*?)" if capture else "[^/]*?"
            capture = False
        else:
            found += "[^/]" if sign == "?" else re.escape(sign)
        at += 1
    return found


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly a ``[[boundary]]`` holds, and what is not judged."""
    acts = Effect[(rule.then or "revert").upper()] >= Effect.ASK
    note = (
        "references in Python, JavaScript/TypeScript, Go, Rust and Java sources, as they resolve in the tree; before"
        " the act where it can be seen, else taken back; not judged: references for types alone, names that are put"
        " together while the program runs"
    )
    if _words(rule, "isolate"):
        note += "; isolate speaks of packages of third parties, not of the language's own library"
    if _words(rule, "acyclic"):
        note += "; a cycle is told of the file whose new reference closes it"
    return (Coverage.SUPERVISED if acts else Coverage.OBSERVED), note


# ----------------------------------------------------------------------------------------------------- content


def judge_content(
    rules: BoundaryRules, event: ContentEvent, relative: bytes, graphs: Mapping[str, Graph]
) -> Iterator[Match]:
    """What is new in this version of the file and breaks a rule. ``relative``: its path in the tree. ``graphs``: by
    rule id, as ``BoundaryRules.graphs`` makes them; they are read only. A file that moved is judged with what it
    references from its new place: ``event.now`` has to be inspected under that path."""
    path = _text(relative)
    for rule in rules.rules:
        effect = rule.before_the_act() if event.landing else rule.after_the_act()
        told: dict[tuple[str, str], _Said] = {}
        lines: set[tuple[str, int]] = set()
        for said in _new(rule, event, path, graphs.get(rule.invariant.id)):
            # A name that leads nowhere yet is told as each of the paths that it may get.
            if said.key not in told and (said.message, said.line) not in lines:
                told[said.key] = said
                lines.add((said.message, said.line))
        for said in islice(told.values(), _MOST_TOLD):
            yield Match(rule.invariant, effect, said.message, said.line)


def count_content(rules: BoundaryRules, event: ContentEvent, relative: bytes) -> int:
    """How many violations the version holds, told or not. Cycles are no violation of a single file."""
    path = _text(relative)
    plain = [rule._replace(acyclic=Globs(())) for rule in rules.rules]
    return sum(len({said.key for said in _new(rule, event, path, None)}) for rule in plain)


def _new(rule: BoundaryRule, event: ContentEvent, path: str, graph: Graph | None) -> Iterator[_Said]:
    if not rule.covers(path):
        return
    event = event.against(rule.revision)
    if event.now.refusal:
        # The same bytes were there before, or are other people's. What nobody can read excuses no other version of it.
        known = event.now.digest and event.now.digest in (event.before.digest, event.prior.digest)
        if not known and _is_source(path) and _may_break(rule, path):
            yield _Said(("", ""), f"{_plain(path)} cannot be inspected: {_plain(event.now.refusal)}")
        return
    if not event.now.references:
        return
    old = {key for found in (event.before, event.prior) for key in _keys(rule, found, path)} if rule.frozen else set()
    for reference in event.now.references:
        for said in _broken(rule, path, reference):
            if said.key not in old:
                yield said
    if rule.acyclic:
        yield from _cycles(rule, event, path, graph)


def _keys(rule: BoundaryRule, found: Findings, path: str) -> Iterator[tuple[str, str]]:
    return (said.key for reference in found.references for said in _broken(rule, path, reference))


def _broken(rule: BoundaryRule, path: str, reference: Reference) -> Iterator[_Said]:
    if reference.external:
        for zone in rule.isolate:
            if zone.matches(path):
                told = f"{_at(path, reference)} references {_plain(reference.name)}, a package of a third party"
                yield _Said(("isolate", reference.name), f"{told}; {_plain(zone.text)} is isolated", reference.line)
                break
        return
    to = reference.to
    if not to:
        return
    for edge in rule.deny:
        if edge.denies(path, to):
            told = f"{_at(path, reference)} references {_named(reference)} ({_plain(edge.text)})"
            yield _Said(("deny " + edge.text, to), told, reference.line)
    if rule.layers:
        yield from _upwards(rule, path, reference)


def _upwards(rule: BoundaryRule, path: str, reference: Reference) -> Iterator[_Said]:
    own = _layer(rule, path)
    if not own:  # in no layer, or in the highest
        return
    other = _layer(rule, reference.to)
    if other is not None and other < own:
        lower, upper = rule.layers[own].text, rule.layers[other].text
        told = f"{_at(path, reference)} references {_named(reference)}"
        told += f" in the layer {_plain(upper)}, which is above its own, {_plain(lower)}"
        yield _Said(("layers", reference.to), told, reference.line)


def _layer(rule: BoundaryRule, path: str) -> int | None:
    return next((number for number, layer in enumerate(rule.layers) if layer.matches(path)), None)


def _cycles(rule: BoundaryRule, event: ContentEvent, path: str, graph: Graph | None) -> Iterator[_Said]:
    """New references that close a cycle. The way back cannot lead over the file's own, which all begin in its group."""
    told_by = graph if graph is not None else Graph(rule.acyclic)
    own = told_by.group(path)
    before = (event.before, event.prior) if rule.frozen else ()
    old = {target for found in before for target in told_by.leads(path, found.references)}
    for target, reference in told_by.leads(path, event.now.references).items():
        if target in old:
            continue
        if graph is None:
            told = f"{_at(path, reference)} references {_named(reference)}: whether that closes a cycle is not known"
            yield _Said(("acyclic", target), told, reference.line)
            continue
        back = graph.way(target, own)
        if back is not None:
            told = f"{_at(path, reference)} references {_named(reference)} and closes a cycle: "
            yield _Said(("acyclic", target), told + _round(own, target, back), reference.line)


def _round(own: str, target: str, back: tuple[Step, ...]) -> str:
    shown = [_plain(own), _plain(target)]
    shown += [f"{_plain(step.target)} (by {_plain(step.file)}:{step.line})" for step in back[:_MOST_STEPS]]
    if len(back) > _MOST_STEPS:
        shown.append("…")
    return " -> ".join(shown)


def _may_break(rule: BoundaryRule, path: str) -> bool:
    """Whether what a file at ``path`` references could break the rule."""
    if any(zone.matches(path) for zone in rule.isolate) or any(edge.source.matches(path) for edge in rule.deny):
        return True
    if (_layer(rule, path) or 0) > 0:
        return True
    return bool(rule.acyclic) and Graph(rule.acyclic).group(path) != ""


def _is_source(path: str) -> bool:
    return _SOURCE.search(path) is not None or "." not in path.rpartition("/")[2]


def _at(path: str, reference: Reference) -> str:
    return f"{_plain(path)}:{reference.line}" if reference.line else _plain(path)


def _named(reference: Reference) -> str:
    return f"{_plain(reference.to)} ({_plain(reference.name)})"


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _plain(text: str) -> str:
    """Paths and names may hold anything; a message is one line and can be written."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    if shown.isprintable():
        return shown[:500]
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown)[:500]
