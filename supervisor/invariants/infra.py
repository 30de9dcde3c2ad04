"""``[[infra]]`` over documents: what must, and what must never, stand in Terraform, Kubernetes and other files.

Each place where ``at`` leads is judged by itself, and a path that leads nowhere says nothing.

- ``never``: every member of the table holds in the same place, each by any of its values. What the text does not tell
  (a variable, a function) is no violation: nobody could say what to change. What it tells of it in part counts.
- ``must``: every member holds. One value: all that stands there is it; a list: anything in common. What is missing, and
  what the text does not tell, is a violation: a rule that demands a value is not met by one that nobody can see.

Of a file that does not parse whole nothing counts as missing. Violations that were there before, at the same place
(list positions aside) by the same value, are tolerated as often as they were there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from supervisor.invariants.demands import Demand, demands, is_cut, is_hit, is_met, shown
from supervisor.invariants.globs import Globs
from supervisor.invariants.selector import selector
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import Findings, Scalar, Selection, Value
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 50
_POSITION = re.compile(r"\[\d+\]")
_Key = tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...]]


class InfraRule(NamedTuple):
    """One compiled table. ``effect`` is that on content that has landed. ``frozen``: what was there before is
    tolerated."""

    invariant: Invariant
    effect: Effect
    selection: Selection
    must: tuple[Demand, ...] = ()
    never: tuple[Demand, ...] = ()
    files: Globs = Globs(())
    exempt: Globs = Globs(())
    frozen: bool = True
    revision: str = ""
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def before_the_act(self) -> Effect:
        """Nothing has happened yet that could be taken back, and nobody can be asked yet."""
        return Effect.DENY if self.effect in (Effect.ASK, Effect.REVERT) else self.effect

    def after_the_act(self) -> Effect:
        return Effect.REVERT if self.effect in (Effect.ASK, Effect.DENY) else self.effect

    def looks_at(self, relative: bytes) -> bool:
        return self.files.match(relative) is not None and self.exempt.match(relative) is None


class InfraRules(NamedTuple):
    """``anywhere``: the globs of every rule together, which answer most paths."""

    rules: tuple[InfraRule, ...] = ()
    anywhere: Globs = Globs(())

    def __bool__(self) -> bool:
        return bool(self.rules)


class Said(NamedTuple):
    """A violation: what it is known by, and in words."""

    key: _Key
    message: str
    line: int = 0


# ------------------------------------------------------------------------------------------------- compilation


def _words(rule: Rule, key: str) -> tuple[str, ...]:
    found = rule.fields.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else ()


def _problem(rule: Rule) -> str:
    """Why the table cannot be judged; empty when it can."""
    if "api" in rule.fields:
        return "calls to an infrastructure API: there is no gateway yet"
    named = [each.name for key in ("must", "never") for each in demands(rule.fields.get(key))]
    try:
        selector(str(rule.fields.get("at", "")))
        for name in named:
            if "." in name or "[" in name or "*" in name:
                selector(name)
    except ValueError as error:
        return f'"at" is no path: {error}'
    return "" if named else 'it has neither "must" nor "never"'


def is_judged(rule: Rule) -> bool:
    return not _problem(rule)


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly it holds, and with what note."""
    problem = _problem(rule)
    if problem:
        return Coverage.UNENFORCEABLE, problem
    unseen = "in what modules, charts and generators make of them" if "must" in rule.fields else (
        "in what modules, charts and generators make of them, nor where a variable or a function gives the value"
    )  # fmt: skip
    acts = Effect[(rule.then or "revert").upper()] >= Effect.ASK
    return (
        Coverage.SUPERVISED if acts else Coverage.OBSERVED
    ), f"judged in the files of the tree when they change, and in what commands apply; not {unseen}"


def compile_infra(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> InfraRules:
    """The judged rules among ``rules``, in profile order."""
    made = tuple(_compiled(rule, invariants[rule.id]) for rule in rules if is_judged(rule))
    return InfraRules(made, Globs(entry for rule in made for entry in rule.files.entries))


def _compiled(rule: Rule, invariant: Invariant) -> InfraRule:
    must, never = demands(rule.fields.get("must")), demands(rule.fields.get("never"))
    names = tuple(dict.fromkeys(each.name for each in (*must, *never)))
    files = _words(rule, "files")
    return InfraRule(
        invariant,
        Effect[(rule.then or "revert").upper()],
        Selection(rule.id, files, rule.exempt, str(rule.fields.get("at", "")), () if names == ("",) else names),
        must,
        never,
        Globs(Entry(value, rule.source) for value in files),
        Globs(Entry(value, rule.source) for value in rule.exempt),
        rule.baseline != "none",
        rule.revision,
        rule.denied,
        rule.allowed,
    )


def selections(rules: InfraRules) -> tuple[Selection, ...]:
    """Where the rules look, for whoever reads documents."""
    return tuple(rule.selection for rule in rules.rules)


def covers(rules: InfraRules, relative: bytes) -> bool:
    """Whether any rule looks at the file."""
    if rules.anywhere.match(relative) is None:
        return False
    return any(rule.looks_at(relative) for rule in rules.rules)


# ----------------------------------------------------------------------------------------------------- content


def judge_content(rules: InfraRules, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """What is new in this version of the file and breaks a rule. ``relative``: its path in the tree."""
    if rules.anywhere.match(relative) is None:
        return
    for rule in rules.rules:
        if rule.looks_at(relative):
            effect = rule.before_the_act() if event.landing else rule.after_the_act()
            for said in islice(_new(rule, event, relative.decode("utf-8", "backslashreplace")), _MOST_TOLD):
                yield Match(rule.invariant, effect, said.message, said.line)


def count_content(rules: InfraRules, event: ContentEvent, relative: bytes) -> int:
    """How many violations the version holds, told or not."""
    if rules.anywhere.match(relative) is None:
        return 0
    show = relative.decode("utf-8", "backslashreplace")
    return sum(1 for rule in rules.rules if rule.looks_at(relative) for _ in _new(rule, event, show))


def _new(rule: InfraRule, event: ContentEvent, show: str) -> Iterator[Said]:
    event = event.against(rule.revision)
    now = event.now
    if now.refusal:
        # The same bytes were there before, or are other people's. What nobody can read excuses no other version of it.
        if not (now.digest and now.digest in (event.before.digest, event.prior.digest)):
            yield Said(("", "", ()), f"{show} cannot be inspected: {now.refusal}")
        return
    tolerated: Counter[_Key] = Counter()
    if rule.frozen:
        for findings in (event.before, event.prior):
            # A violation of either is tolerated once, not twice for being in both.
            tolerated |= Counter(said.key for said in violations(rule, findings, show))
    for said in violations(rule, now, show):
        if tolerated[said.key] > 0:
            tolerated[said.key] -= 1
        else:
            yield said


def violations(rule: InfraRule, findings: Findings, show: str, *, whole: bool = True) -> Iterator[Said]:
    """What the findings break, tolerated or not. Not ``whole``: nothing counts as missing. ``show``: the file."""
    for value in findings.values:
        if value.selection == rule.selection.id:
            yield from _judged(rule, value, show, whole=whole and not findings.pending)


def _judged(rule: InfraRule, value: Value, show: str, *, whole: bool) -> Iterator[Said]:
    fields = dict(value.fields)
    where = f"{show}:{value.line}: {value.at or 'the document'}"
    place = _POSITION.sub("[*]", value.at)
    hits = [_hits(each, fields.get(each.name, ())) for each in rule.never]
    if hits and all(hits):
        told = tuple((each.name, found) for each, found in zip(rule.never, hits, strict=True))
        said = " and ".join(_is(name, found) for name, found in told)
        yield Said(("never", place, told), _line(f"{where}: {said}, which must never be"), value.line)
    for each in rule.must:
        sure = value.known or each.name not in value.unsure
        found = fields.get(each.name, ())
        if not sure and not any(is_cut(one) for one in found):
            # What is told of it may already be wrong, whatever the rest is: every value has to be the one.
            if not whole and (each.listed or all(_met(each, (one,)) for one in found)):
                continue
        elif _met(each, found) or (not found and not whole):
            continue
        wrong = tuple(shown(one) for one in found if each.listed or not _met(each, (one,)))
        problem = _is(each.name, wrong) if sure and wrong else _lacks(each.name, sure=sure)
        said = f"{where}: {problem}; it must be {_wanted(each)}"
        yield Said(("must", place, ((each.name, wrong),)), _line(said), value.line)


def _hits(demand: Demand, found: tuple[Scalar, ...]) -> tuple[str, ...]:
    return tuple(shown(one) for one in found if any(is_hit(wanted, one) for wanted in demand.wants))


def _met(demand: Demand, found: tuple[Scalar, ...]) -> bool:
    if demand.listed:
        return any(is_met(wanted, one) for wanted in demand.wants for one in found)
    return bool(found) and all(is_met(demand.wants[0], one) for one in found)


def _is(name: str, found: tuple[str, ...]) -> str:
    listed = ", ".join(one[:80] or "empty" for one in found[:4]) + (" …" if len(found) > 4 else "")
    return f"{name} is {listed}" if name else f"is {listed}"


def _lacks(name: str, *, sure: bool) -> str:
    if not sure:
        return f"this file does not tell {name or 'the value'}"
    return f"has no {name}" if name else "is empty"


def _wanted(demand: Demand) -> str:
    return " or ".join(each.text[:80] for each in demand.wants[:6]) + (" …" if len(demand.wants) > 6 else "")


def _line(text: str) -> str:
    """Documents may hold anything; a message must be one line that can be written."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in plain)[:600]
