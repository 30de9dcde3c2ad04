"""``[[secrets]]``: credentials that a file says and did not say before.

``patterns`` are regular expressions in addition to the built-in list of token formats, and see one line at a time.
``allow`` names what is no secret here: a built-in pattern (``jwt``), the digest that a denial prints, or the exact text
that a pattern matches, whole. A credential is known by its pattern and digest: one that moves within its file is not
new, one that comes to stand in another file is. What is said of one never holds its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import Findings, Secret
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

BUILT_IN: Final = ("built-in", "")  # a pair that asks for the built-in list and nothing else
_MOST_TOLD = 20
_DIGEST = re.compile(r"[0-9a-f]{16}")


class SecretRule(NamedTuple):
    """One compiled table. ``effect`` is that on content that has landed. ``patterns``: names and expressions of its
    own. ``named``: allowed patterns; ``digests``: allowed texts. ``frozen``: what was there before is tolerated."""

    invariant: Invariant
    effect: Effect
    patterns: tuple[tuple[str, str], ...] = ()
    named: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    frozen: bool = True
    revision: str = ""
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def before_the_act(self) -> Effect:
        return Effect.DENY if self.effect in (Effect.ASK, Effect.REVERT) else self.effect

    def after_the_act(self) -> Effect:
        return Effect.REVERT if self.effect in (Effect.ASK, Effect.DENY) else self.effect


class SecretRules(NamedTuple):
    rules: tuple[SecretRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)


def compile_secrets(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> SecretRules:
    """The tables, in profile order."""
    return SecretRules(tuple(_compiled(rule, invariants[rule.id]) for rule in rules))


def _compiled(rule: Rule, invariant: Invariant) -> SecretRule:
    allow = _words(rule, "allow")
    return SecretRule(
        invariant,
        Effect[(rule.then or "revert").upper()],
        tuple((f"{rule.id}#{number}", text) for number, text in enumerate(_words(rule, "patterns"), 1)),
        frozenset(allow),
        frozenset(digest for text in allow for digest in _digests(text)),
        Globs(Entry(value, rule.source) for value in rule.paths),
        Globs(Entry(value, rule.source) for value in rule.exempt),
        frozen=rule.baseline != "none",
        revision=rule.revision,
        denied=rule.denied,
        allowed=rule.allowed,
    )


def _words(rule: Rule, key: str) -> tuple[str, ...]:
    found = rule.fields.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else ()


def _digests(text: str) -> tuple[str, ...]:
    """By what a text of ``allow`` is known: itself where it is a digest, and its own digest in any case."""
    import hashlib

    own = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return (text, own) if _DIGEST.fullmatch(text) else (own,)


def patterns(rules: SecretRules) -> tuple[tuple[str, str], ...]:
    """What has to be looked for; empty without a rule. The built-in list is part of every rule: ``BUILT_IN`` stands
    for it, so that the answer is not empty."""
    if not rules:
        return ()
    return (BUILT_IN, *dict.fromkeys(pair for rule in rules.rules for pair in rule.patterns))


def has_own(rules: SecretRules) -> bool:
    """Whether some rule has patterns of its own, which only the inspector can look for."""
    return any(rule.patterns for rule in rules.rules)


def judge_content(rules: SecretRules, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """What is new in this version of the file. ``relative``: its path in the tree."""
    for rule in rules.rules:
        if not _covers(rule, relative):
            continue
        effect = rule.before_the_act() if event.landing else rule.after_the_act()
        show = relative.decode("utf-8", "backslashreplace")
        refused = _refused(event.against(rule.revision))
        if refused:
            yield Match(rule.invariant, effect, f"{show} cannot be searched for secrets: {refused}")
        new = list(_new(rule, event))
        for found in islice(new, _MOST_TOLD):
            yield Match(rule.invariant, effect, _told(rule, found, show), found.line)
        if len(new) > _MOST_TOLD:
            yield Match(rule.invariant, effect, f"{show} holds {len(new) - _MOST_TOLD} more secrets")


def count_content(rules: SecretRules, event: ContentEvent, relative: bytes) -> int:
    """How many violations the version holds, told or not."""
    covering = [rule for rule in rules.rules if _covers(rule, relative)]
    return sum(len(list(_new(rule, event))) + bool(_refused(event.against(rule.revision))) for rule in covering)


def _covers(rule: SecretRule, relative: bytes) -> bool:
    if rule.paths and rule.paths.match(relative) is None:
        return False
    return rule.exempt.match(relative) is None


def _refused(event: ContentEvent) -> str:
    """Why nothing can be told, empty where these bytes were there before or are other people's."""
    now = event.now
    known = now.digest and now.digest in (event.before.digest, event.prior.digest)
    return "" if known else now.refusal


def _new(rule: SecretRule, event: ContentEvent) -> Iterator[Secret]:
    event = event.against(rule.revision)
    old = {each[:2] for each in _judged(rule, event.before, event.prior)} if rule.frozen else set()
    for found in _judged(rule, event.now):
        if found[:2] not in old:
            old.add(found[:2])
            yield found


def _judged(rule: SecretRule, *versions: Findings) -> Iterator[Secret]:
    own = {name for name, _ in rule.patterns}
    for found in (each for findings in versions for each in findings.secrets):
        of_others = "#" in found.pattern and found.pattern not in own
        if not of_others and found.pattern not in rule.named and found.digest not in rule.digests:
            yield found


def _told(rule: SecretRule, found: Secret, show: str) -> str:
    where = f" at line {found.line}" if found.line else ""
    number = found.pattern.removeprefix(f"{rule.invariant.id}#")
    what = f"pattern {number} of this rule" if number != found.pattern else found.pattern
    return f"{show} holds a secret{where}: {what} (digest {found.digest})"


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the table holds, and what is not judged."""
    acts = Effect[(rule.then or "revert").upper()] >= Effect.ASK
    own = _words(rule, "patterns")
    note = "token formats of known services" + (f" and {len(own)} own" if own else "")
    note += ", in what files of the tree newly say; not what is encoded, joined from parts or sent elsewhere"
    return Coverage.SUPERVISED if acts else Coverage.OBSERVED, note
