"""``[[deploy]]`` and ``[[command]]``: what may be done by commands, by class and target or by their first words.

A command is denied by a class it has, or by a class together with a target, or by how it begins; ``allow`` of the same
rule exempts from that. Every target has to be allowed; where a target cannot be told, or is read from a file that the
run changed, no ``allow`` with a target holds, and every ``deny`` with one does. A rule that only allows denies the
rest: the classes that its entries name, and of a program that it names by its first words whatever has a class. A
target is matched as a whole or by its beginning up to a ``/``: ``prod-eu`` speaks of ``prod-eu/payments`` too. A git
remote may be called by its name or by its address.

What a pack asks about is answered by an ``allow`` of the repository's own rules that names the class, or the class and
the target; their ``paths`` and ``except`` hold for that too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Rule
from supervisor.profile.rulevalues import COMMAND_CLASSES, DEPLOY_CLASSES
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 50
_MOST_TARGETS = 4
_LONGEST = 160
_VERBS: Mapping[str, str] = {
    "deploy": "deploys to",
    "publish": "publishes to",
    "infra-mutate": "changes",
    "infra-destroy": "destroys in",
}
_NOTE = (
    "the exec, before it runs; programs are known by name and content and targets by arguments, variables and small "
    "files, so what speaks to a service by itself is seen by its connections only"
)


class Act(NamedTuple):
    """One element of ``deny`` or ``allow``: classes with a pattern for targets (``*`` for any), or first words."""

    names: frozenset[str] = frozenset()
    target: str = "*"
    words: tuple[str, ...] = ()


class Answer(NamedTuple):
    """An ``allow`` of another rule, and the working directories it holds in."""

    act: Act
    paths: Globs
    exempt: Globs


class ActionRule(NamedTuple):
    """One compiled table. ``rest``: programs of which everything that has one of ``governed`` is denied."""

    invariant: Invariant
    effect: Effect
    deny: tuple[Act, ...] = ()
    allow: tuple[Act, ...] = ()
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    rest: frozenset[str] = frozenset()
    governed: frozenset[str] = frozenset()
    answers: tuple[Answer, ...] = ()
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


class ActionRules(NamedTuple):
    rules: tuple[ActionRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)


# ------------------------------------------------------------------------------------------------- compilation


def compile_actions(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> ActionRules:
    """The rules of both kinds, in profile order."""
    listed = tuple(rules)
    answers = tuple(
        Answer(act, _globs(rule, rule.paths), _globs(rule, rule.exempt))
        for rule in listed
        if not rule.layer.startswith("pack:")
        for act in _acts(rule, "allow")
        if act.names
    )
    return ActionRules(tuple(_compiled(rule, invariants[rule.id], answers) for rule in listed))


def _compiled(rule: Rule, invariant: Invariant, answers: tuple[Answer, ...]) -> ActionRule:
    deny, allow = _acts(rule, "deny"), _acts(rule, "allow")
    effect = Effect[(rule.then or "deny").upper()]
    rest: frozenset[str] = frozenset()
    if "deny" not in rule.fields:
        deny = tuple(Act(act.names) for act in allow if act.names)
        rest = frozenset(act.words[0] for act in allow if act.words)
    asked = effect is Effect.ASK and rule.layer.startswith("pack:")
    return ActionRule(
        invariant,
        effect,
        deny,
        allow,
        _globs(rule, rule.paths),
        _globs(rule, rule.exempt),
        rest,
        _classes(rule),
        answers if asked else (),
        rule.denied,
        rule.allowed,
    )


def _classes(rule: Rule) -> frozenset[str]:
    return frozenset(DEPLOY_CLASSES if rule.kind == "deploy" else COMMAND_CLASSES)


def _globs(rule: Rule, values: Iterable[str]) -> Globs:
    return Globs(Entry(value, rule.source) for value in values)


def _acts(rule: Rule, key: str) -> tuple[Act, ...]:
    found = rule.fields.get(key)
    return tuple(_act(each, _classes(rule)) for each in found) if isinstance(found, tuple | list) else ()


def _act(element: object, classes: frozenset[str]) -> Act:
    if isinstance(element, Mapping):
        if "exec" in element:
            return Act(words=_first_words(str(element["exec"])))
        name = str(element["class"])
        return Act(classes if name == "*" else frozenset((name,)), str(element.get("target", "*")))
    text = str(element)
    return Act(frozenset((text,))) if text in classes else Act(words=_first_words(text))


def _first_words(text: str) -> tuple[str, ...]:
    """The words of a command line; a path stands for its last name, as programs are known by that."""
    words = text.split()
    return (words[0].rpartition("/")[2] or words[0], *words[1:]) if words else ("",)


# --------------------------------------------------------------------------------------------------- judgement


def judge_exec(
    rules: ActionRules, event: ExecEvent, relative_cwd: bytes | None, changed: frozenset[str] = frozenset()
) -> Iterator[Match]:
    """What the commands of an exec break. ``relative_cwd``: the working directory in the tree, empty for its root,
    None outside of it, where no rule with ``paths`` holds. ``changed``: absolute paths that the run changed."""
    if not event.commands:
        return
    for rule in rules.rules:
        if not _holds(rule.paths, rule.exempt, relative_cwd):
            continue
        told = (message for each in event.commands for message in _broken(rule, each, relative_cwd, changed))
        for message in islice(dict.fromkeys(told), _MOST_TOLD):
            yield Match(rule.invariant, rule.effect, message)


def _holds(paths: Globs, exempt: Globs, cwd: bytes | None) -> bool:
    """Whether a rule speaks of what is started in this folder: patterns match what would lie in it."""
    if cwd is None:
        return not paths
    inside = cwd + b"/\0" if cwd else b"\0"
    return (not paths or paths.match(inside) is not None) and exempt.match(inside) is None


def _broken(rule: ActionRule, command: Command, cwd: bytes | None, changed: frozenset[str]) -> Iterator[str]:
    """In words, each way in which the command breaks the rule."""
    known = command.resolved and not (command.source and command.source in changed)
    allow = [*rule.allow, *(each.act for each in rule.answers if _holds(each.paths, each.exempt, cwd))]
    if any(act.words and _is_begun(act.words, command) for act in allow):
        return
    told: set[str] = set()
    for name in command.classes:
        denied = any(_speaks_of(act, name, command, known=known) for act in rule.deny)
        denied |= command.tool in rule.rest and name in rule.governed
        if denied and name not in told and not _is_allowed(allow, name, command, known=known):
            told.add(name)
            yield _message(command, name, known=known)
    if told:
        return
    for act in rule.deny:
        if act.words and _begins(act.words, command):
            classes = command.classes
            if not classes or not all(_is_allowed(allow, name, command, known=known) for name in classes):
                yield f'{_shown(" ".join(command.words))} is denied as "{" ".join(act.words)}"'


def _speaks_of(act: Act, name: str, command: Command, *, known: bool) -> bool:
    """Whether a deny means this class of the command. What may be its target is."""
    if name not in act.names:
        return False
    if act.target == "*" or not known:
        return True
    return any(_fits(act.target, target, command) for target in command.targets)


def _is_allowed(allow: Sequence[Act], name: str, command: Command, *, known: bool) -> bool:
    """Whether the class is allowed at every target."""
    patterns = [act.target for act in allow if name in act.names]
    if "*" in patterns:
        return True
    if not known or not command.targets:
        return False
    return all(any(_fits(pattern, target, command, every=True) for pattern in patterns) for target in command.targets)


def _fits(pattern: str, target: str, command: Command, *, every: bool = False) -> bool:
    """Whether the pattern speaks of the target, or of what the target is another name of: of all of it, if ``every``
    address has to be meant."""
    if _spells(pattern, target):
        return True
    meant = [each for name, each in command.stands_for if name == target]
    found = (_spells(pattern, each) for each in meant)
    return bool(meant) and (all(found) if every else any(found))


def _spells(pattern: str, target: str) -> bool:
    if fnmatchcase(target, pattern):
        return True
    at = target.find("/")
    while at > 0:
        if fnmatchcase(target[:at], pattern):
            return True
        at = target.find("/", at + 1)
    return False


def _is_word(wanted: str, word: str) -> bool:
    return word == wanted or ("*" in wanted and fnmatchcase(word, wanted))


def _is_begun(words: tuple[str, ...], command: Command) -> bool:
    """Whether these are exactly the first words."""
    if len(words) > len(command.words):
        return False
    return all(_is_word(wanted, word) for wanted, word in zip(words, command.words, strict=False))


def _begins(words: tuple[str, ...], command: Command) -> bool:
    """Whether the command begins like this with other options among the words, or options in another order."""
    given = [word for word in command.words[1:] if len(word) > 1 and word.startswith("-")]
    for word in words[1:]:
        if len(word) > 1 and word.startswith("-") and not _has_option(word, given):
            return False
    operands = [word for word in words if not (len(word) > 1 and word.startswith("-"))]
    at, after_option = 0, False
    for word in command.words:
        if at == len(operands):
            break
        if _is_word(operands[at], word):
            at, after_option = at + 1, False
        elif len(word) > 1 and word.startswith("-"):
            after_option = "=" not in word
        elif after_option and at:
            after_option = False  # it may be the value of that option
        else:
            return False
    return at == len(operands)


def _has_option(option: str, given: Sequence[str]) -> bool:
    """Whether an option is among those given: alone, with a value, or bundled with others."""
    if any(word == option or word.startswith(option + "=") for word in given):
        return True
    if option.startswith("--"):
        return False
    letters = set("".join(word[1:] for word in given if not word.startswith("--")))
    return letters.issuperset(option[1:])


# ---------------------------------------------------------------------------------------------------- in words


def _message(command: Command, name: str, *, known: bool) -> str:
    what = _shown(f"{command.tool} {command.verb}".strip())
    addresses: dict[str, str] = {}
    for target, address in command.stands_for:
        addresses.setdefault(target, address)
    places = [
        _shown(f"{target} ({addresses[target]})" if target in addresses else target)
        for target in command.targets[:_MOST_TARGETS]
    ]
    if len(command.targets) > _MOST_TARGETS:
        places.append(f"and {len(command.targets) - _MOST_TARGETS} more")
    where = " ".join(places)
    verb = _VERBS.get(name)
    if verb is not None:
        told = f"{what} {verb} {where or 'a place that cannot be told'} (class {name})"
    else:
        told = f"{what} to {where} ({name})" if where and name != "vcs-destroy" else f"{what} ({name})"
    if command.unread:
        told += f"; what it would apply cannot be told: {_shown(command.unread)}"
        return told
    if command.resolved and not known:
        return f"{told}; the target is read from {_shown(command.source)}, which the run changed"
    return told if command.resolved else f"{told}; where else it acts cannot be told" if where else told


def _shown(text: str) -> str:
    """One line that can be written, whatever the words hold."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the rule holds, and how."""
    effect = Effect[(rule.then or "deny").upper()]
    if effect < Effect.ASK:
        return Coverage.OBSERVED, _NOTE
    note = _NOTE
    if rule.paths or rule.exempt:
        note += "; paths are the working directory, not what a command is told to work on"
    return Coverage.SUPERVISED, note
