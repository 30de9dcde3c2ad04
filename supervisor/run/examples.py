"""Do the examples of the profile hold? Each is asked of the one decision function, as the act would be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.enforce.explain import safe
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Profile, Rule
from supervisor.vocabulary.errors import GovrunError, ProfileError
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect

if TYPE_CHECKING:
    from supervisor.run.attempts import Attempts

Files = Callable[[], Iterable[bytes]]
# What rules of other kinds say depends on what a run has done before.
_ASKED = frozenset({"dependency", "boundary", "infra", "secrets", "deploy", "command", "data"})


class Example(NamedTuple):
    """``denied``: what it is given as; else as allowed. ``rule``: an id; of a scope ``scope``, all of it."""

    rule: str
    source: str
    text: str
    denied: bool
    form: str
    asked: bool = True

    def told(self) -> str:
        return f"{self.source}: {self.rule}: {self.text!r}"


class Asked(NamedTuple):
    """What came of an example; ``detail`` says why it does not hold."""

    example: Example
    holds: bool
    detail: str = ""


def examples(policy: CompiledPolicy, profile: Profile) -> Iterator[Example]:
    """Those of all layers, in their order."""
    for layer, words in profile.scope.layers.items():
        for texts, denied in ((words.denied, True), (words.allowed, False)):
            yield from (Example("scope", layer, text, denied, _form(text, "exec")) for text in texts)
    for rule in profile.rules:
        judged = (rule.kind in _ASKED or _is_timeless(rule)) and policy.invariants[
            rule.id
        ].coverage is not Coverage.UNENFORCEABLE
        other = "query" if rule.kind == "data" else "exec"
        for texts, denied in ((rule.denied, True), (rule.allowed, False)):
            yield from (Example(rule.id, rule.source, text, denied, _form(text, other), judged) for text in texts)


def _is_timeless(rule: Rule) -> bool:
    if rule.kind != "rule":
        return False
    from supervisor.invariants.expression import asks_the_clock

    return not asks_the_clock(rule)


def ask(policy: CompiledPolicy, found: Iterable[Example], files: Files | None = None) -> list[Asked]:
    """Ask each; ``files``: as ``Attempts`` has it. What cannot be asked does not hold."""
    from supervisor.run.attempts import Attempts  # which loads the catalogue of commands

    attempts = Attempts(policy, files)
    try:
        return [_ask(attempts, each) for each in found]
    finally:
        attempts.close()


def check_examples(policy: CompiledPolicy, profile: Profile, files: Files | None = None) -> list[str]:
    """What does not hold, one line each: ``SOURCE: ID: …``. See ``unchecked`` for what is not asked."""
    asked = [each for each in examples(policy, profile) if each.asked]
    if not asked:
        return []
    return [f"{each.example.told()} {each.detail}" for each in ask(policy, asked, files) if not each.holds]


def require_examples(policy: CompiledPolicy, profile: Profile, files: Files | None = None) -> None:
    """Errors: ``ProfileError`` with every example that does not hold."""
    problems = check_examples(policy, profile, files)
    if problems:
        count = f"{len(problems)} example{'s' if len(problems) > 1 else ''}"
        fix = "correct the rule or the example; nothing was started"
        why = "\n".join(safe(each) for each in problems)
        raise ProfileError(f"{count} of the profile: what is said there does not hold", why, fix)


def unchecked(policy: CompiledPolicy, profile: Profile) -> list[str]:
    """Examples that nothing asks, as ``SOURCE: ID: EXAMPLE``."""
    return [each.told() for each in examples(policy, profile) if not each.asked]


def _form(text: str, other: str) -> str:
    return text.partition(" ")[0] if text.startswith(("write ", "connect ")) else other


def _ask(attempts: Attempts, example: Example) -> Asked:
    """Whether this very rule objects to the act."""
    form = example.form
    text = example.text.removeprefix(form + " ") if form in ("write", "connect") else example.text
    try:
        verdicts = attempts.verdicts(form, text)
    except GovrunError as error:
        return Asked(example, False, f"cannot be asked: {error.what}: {error.why}")
    matches = [match for verdict in verdicts for match in verdict.matches]
    refused = any(match.effect > Effect.WARN and _is_of(match.invariant.id, example) for match in matches)
    if refused is example.denied:
        return Asked(example, True)
    others = sorted({match.invariant.id for match in matches if match.effect > Effect.WARN})
    told = "is given as allowed, and is refused"
    if example.denied:
        told = "is given as denied, and this rule lets it pass"
        told += f"; it is refused by {', '.join(others)}" if others else ""
    return Asked(example, False, told)


def _is_of(ident: str, example: Example) -> bool:
    return ident == example.rule or (example.rule == "scope" and ident.startswith("scope."))
