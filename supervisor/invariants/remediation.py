"""``[[remediation]]``: what a fix may do while something that was refused waits to be put right.

Pure: the open episodes come as a frozen value from the tracker in ``run``. An act belongs to an attempt when its action
has touched what was refused, or runs a command that is known to fix things.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from supervisor.invariants import content
from supervisor.invariants.globs import Globs
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

RISE, NAMED = "violations-do-not-rise", "only-named-files"
_MOST_WORDS: Final = 4096  # of a command line, in which a fixer is looked for


class RemediationRule(NamedTuple):
    """One compiled table. ``fixers``: command lines in words; ``starts``: the one that govrun itself starts.
    ``attempts``: the most that an episode may take, 0 for no limit. ``paths``: files that every attempt may touch."""

    invariant: Invariant
    effect: Effect
    fixers: tuple[tuple[str, ...], ...] = ()
    starts: tuple[str, ...] = ()
    attempts: int = 0
    rise: bool = False
    named: bool = False
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    never_edit: Globs = Globs(())

    def keeps(self, path: bytes) -> bool:
        """Whether no fix may change what lies at the path, relative to the tree."""
        return self.never_edit.match(path) is not None or self.never_edit.match(path, directory=True) is not None

    def before_the_act(self) -> Effect:
        """Nothing has happened yet that could be taken back, and nobody can be asked yet."""
        return Effect.DENY if self.effect in (Effect.ASK, Effect.REVERT) else self.effect

    def after_the_act(self) -> Effect:
        return Effect.REVERT if self.effect in (Effect.ASK, Effect.DENY) else self.effect


class RemediationRules(NamedTuple):
    """Every table, in profile order."""

    rules: tuple[RemediationRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def keep(self, path: bytes) -> bool:
        """Whether some rule lets no fix change the path."""
        return any(rule.keeps(path) for rule in self.rules)

    def counts(self) -> bool:
        """Whether the violations that stand have to be counted."""
        return any(rule.rise for rule in self.rules)

    def attempts(self) -> int:
        """The fewest that any rule allows, 0 for no limit."""
        return min((rule.attempts for rule in self.rules if rule.attempts), default=0)

    def ids(self) -> frozenset[str]:
        return frozenset(rule.invariant.id for rule in self.rules)


class Subject(NamedTuple):
    """What was refused: ``sort`` is ``path`` (in the tree), ``package`` (``pypi:requests``), ``command`` (in normal
    form), ``host`` or ``ref``."""

    sort: str
    name: bytes


class EpisodeState(NamedTuple):
    """One episode that is open, or that has used its attempts up (``spent``). ``invariant`` is an id.

    ``actions``: those that are attempts, the newest only where there are many; ``begun``: the action that was refused
    first. ``fixable``: content was refused, which other content can put right; what a program or a connection was
    refused for bounds no edits. ``named``: files that the finding names. ``opening``, ``latest``: how many violations
    more there were than at the start when it was opened and after the last attempt, None where nobody has counted."""

    id: str
    invariant: str
    subject: Subject
    attempts: int = 0
    actions: frozenset[int] = frozenset()
    begun: int = 0
    spent: bool = False
    parent: str = ""
    named: tuple[bytes, ...] = ()
    opening: int | None = None
    latest: int | None = None
    fixable: bool = False


class EpisodeStates(NamedTuple):
    """All of them, and where they are found: ``by_path`` by subject, ``by_action`` those that an action is an attempt
    of, or was, since it is bounded to its end; ``fixable``: those among the open ones."""

    open: tuple[EpisodeState, ...] = ()
    spent: tuple[EpisodeState, ...] = ()
    by_path: Mapping[bytes, tuple[EpisodeState, ...]] = MappingProxyType({})
    by_command: Mapping[bytes, tuple[EpisodeState, ...]] = MappingProxyType({})
    by_action: Mapping[int, tuple[EpisodeState, ...]] = MappingProxyType({})
    fixable: tuple[EpisodeState, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.open or self.spent or self.by_action)


def states_of(
    episodes: Iterable[EpisodeState], bound: Mapping[int, Sequence[EpisodeState]] = MappingProxyType({})
) -> EpisodeStates:
    """The episodes with their indexes. ``bound``: those that are over, by the actions that were attempts of them."""
    found = tuple(episodes)
    by_path: dict[bytes, tuple[EpisodeState, ...]] = {}
    by_command: dict[bytes, tuple[EpisodeState, ...]] = {}
    by_action = {action: tuple(each) for action, each in bound.items()}
    for each in found:
        if each.subject.sort == "path":
            by_path[each.subject.name] = (*by_path.get(each.subject.name, ()), each)
        elif each.subject.sort == "command":
            by_command[each.subject.name] = (*by_command.get(each.subject.name, ()), each)
        for action in each.actions if each.fixable and not each.spent else ():
            by_action[action] = (*by_action.get(action, ()), each)
    running = tuple(each for each in found if not each.spent)
    spent, fixable = tuple(each for each in found if each.spent), tuple(each for each in running if each.fixable)
    return EpisodeStates(running, spent, by_path, by_command, by_action, fixable)


# ------------------------------------------------------------------------------------------------- compilation


def compile_remediation(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> RemediationRules:
    """The compiled rules, in profile order."""
    return RemediationRules(tuple(_compiled(rule, invariants[rule.id]) for rule in rules))


def _compiled(rule: Rule, invariant: Invariant) -> RemediationRule:
    def texts(key: str) -> tuple[str, ...]:
        found = rule.fields.get(key)
        return tuple(str(each) for each in found) if isinstance(found, tuple | list) else ()

    def globs(values: Iterable[str]) -> Globs:
        return Globs(Entry(value, rule.source) for value in values)

    starts, must = texts("fixer"), texts("must")
    attempts = rule.fields.get("attempts")
    fixers = (*(tuple(line.split()) for line in texts("fixers")), starts)
    return RemediationRule(
        invariant,
        Effect[(rule.then or "deny").upper()],
        tuple(words for words in fixers if words),
        starts,
        attempts if isinstance(attempts, int) else 0,
        RISE in must,
        NAMED in must,
        globs(rule.paths),
        globs(rule.exempt),
        globs(texts("never_edit")),
    )


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the rule holds, and with what note."""
    must = rule.fields.get("must")
    wanted = must if isinstance(must, tuple | list) else ()
    early = [key for key in ("attempts", "never_edit") if key in rule.fields]
    early += [NAMED] if NAMED in wanted else []
    told = [f"before the act, while something refused is not put right: {', '.join(early)}"] if early else []
    if "never_edit" in rule.fields:
        told.append("never_edit: what a file that was open before is written to is taken back")
    if NAMED in wanted:
        told.append(f"{NAMED}: from when an action is known to be an attempt to its end, where it is about a file")
    if RISE in wanted:
        told.append(f"{RISE}: of the rules about content but cycles, refused as it lands or taken back")
    if "fixers" in rule.fields:
        told.append("fixers: by name and words of the command")
    if "fixer" in rule.fields:
        told.append("fixer: started by govrun when content is refused, inside the run")
    if not early and RISE not in wanted:
        return Coverage.OBSERVED, "; ".join((*told, "attempts are recorded, nothing is refused"))
    refuses = Effect[(rule.then or "deny").upper()] >= Effect.ASK
    return (Coverage.SUPERVISED if early and refuses else Coverage.OBSERVED), "; ".join(told)


# ---------------------------------------------------------------------------------------------------- commands


def is_fixer(rules: RemediationRules, words: Sequence[str]) -> bool:
    """Whether a command line in normal form is one that fixes things: it begins with the program that a fixer names
    and holds its other words, in their order, with others between them (``eslint --fix`` in ``eslint src --fix``)."""
    return any(_holds(words, fixer) for rule in rules.rules for fixer in rule.fixers)


def _holds(words: Sequence[str], fixer: tuple[str, ...]) -> bool:
    if not words or words[0].rpartition("/")[2] != fixer[0].rpartition("/")[2]:
        return False
    rest = iter(words[1:_MOST_WORDS])
    return all(any(word == wanted for word in rest) for wanted in fixer[1:])


def command_lines(event: ExecEvent) -> Iterator[tuple[str, ...]]:
    """What a program would do, each in words: the normal forms, else its arguments as given."""
    if event.commands:
        yield from (command.words for command in event.commands)
        return
    yield tuple(word.decode("utf-8", "surrogateescape") for word in event.argv)


def subject_of(words: Sequence[str]) -> Subject:
    """The subject that a command line is."""
    return Subject("command", " ".join(words).encode("utf-8", "surrogateescape"))


def judge_exec(rules: RemediationRules, episodes: EpisodeStates, event: ExecEvent) -> Iterator[Match]:
    """Another attempt where there are none left. A fixer may run as long as one episode may still be fixed."""
    if not rules or not episodes:
        return
    lines = tuple(command_lines(event))
    found = [each for words in lines for each in episodes.by_command.get(subject_of(words).name, ())]
    found += [*episodes.spent, *episodes.open] if any(is_fixer(rules, words) for words in lines) else []
    action = event.actor.action
    for rule in rules.rules:
        used = [each for each in found if _is_used_up(rule, each, action)]
        if used and len(used) == len(found):
            yield Match(rule.invariant, rule.effect, _no_more(used[0]))


def _is_used_up(rule: RemediationRule, episode: EpisodeState, action: int) -> bool:
    """Whether an act of ``action`` would be one attempt too many. The action that was refused, and the attempts that
    are under way, may go on."""
    if not rule.attempts or episode.attempts < rule.attempts:
        return False
    return episode.spent or (action not in episode.actions and action != episode.begun)


def _no_more(episode: EpisodeState) -> str:
    subject = _show(episode.subject.name)
    return (
        f"{episode.attempts} attempts have not put {subject} right, which {episode.invariant} refused: "
        "leave it as it is, go on with something else, and say so in the end"
    )


# ------------------------------------------------------------------------------------------------------- files


def judge_fs(
    rules: RemediationRules,
    episodes: EpisodeStates,
    event: FsEvent,
    relative: bytes | None,
    other: bytes | None = None,
    also: tuple[bytes, ...] = (),
    *,
    moving: bool = False,
) -> Iterator[Match]:
    """What a change of a file breaks while episodes are open. ``relative``, ``other``: the path and the new name in the
    tree, None outside; ``also``: further names of the file. ``moving``: git goes from one commit to another, and what
    it brings is no fix; but what no fix may change comes by no route."""
    if not rules or not episodes or event.op is FsOp.READ or "utime" in event.call:
        return
    paths = (*_changed(event, relative, other), *also)
    action = event.actor.action
    for rule in rules.rules:
        message = _untouchable(rule, episodes, event, paths)
        if not message and not moving:
            message = _spent(rule, episodes, paths, action) or _unnamed(rule, episodes, paths, action)
        if message:
            yield Match(rule.invariant, rule.effect, message)


def _changed(event: FsEvent, relative: bytes | None, other: bytes | None) -> tuple[bytes, ...]:
    """The names that say something else afterwards, or lead to something that could be written by another name."""
    found = []
    for path, there, kind, beneath in (
        (relative, other, event.target.kind, event.beneath),
        (other, relative, event.other.kind if event.other is not None else Kind.ABSENT, event.beneath_other),
    ):
        if path is None:
            continue
        found.append(path)
        if kind is Kind.DIR:
            found += [path + b"/" + name for name in beneath or ()]
            # What is moved comes to lie under the other name.
            found += [there + b"/" + name for name in beneath or ()] if there is not None else []
    return tuple(dict.fromkeys(found))


def _spent(rule: RemediationRule, episodes: EpisodeStates, paths: tuple[bytes, ...], action: int) -> str:
    for path in paths:
        for episode in episodes.by_path.get(path, ()):
            if _is_used_up(rule, episode, action):
                return _no_more(episode)
    return ""


def _untouchable(rule: RemediationRule, episodes: EpisodeStates, event: FsEvent, paths: tuple[bytes, ...]) -> str:
    """A file that no fix may change, unless it is itself what was refused, and all that was."""
    if not rule.never_edit or not episodes.fixable or not paths:
        return ""
    if event.beneath is None or event.beneath_other is None:
        return f"{_show(paths[0])} holds too much to tell whether a fix may change it"
    return next(filter(None, (_may_not_change(rule, episodes, path) for path in paths)), "")


def _may_not_change(rule: RemediationRule, episodes: EpisodeStates, path: bytes) -> str:
    if not rule.keeps(path):
        return ""
    for episode in episodes.fixable:
        if episode.subject != Subject("path", path):
            subject = _show(episode.subject.name)
            return f"{_show(path)} may not be changed while {subject}, which {episode.invariant} refused, is open"
    return ""


def _unnamed(rule: RemediationRule, episodes: EpisodeStates, paths: tuple[bytes, ...], action: int) -> str:
    """A file that no finding names, changed by an attempt. Where none names a file there is nothing to hold to."""
    mine = episodes.by_action.get(action, ()) if rule.named else ()
    allowed = {name for each in mine for name in each.named}
    allowed |= {each.subject.name for each in mine if each.subject.sort == "path"}
    if not mine or not (allowed or rule.paths):
        return ""
    for path in paths:
        if path in allowed or (rule.paths.match(path) is not None and rule.exempt.match(path) is None):
            continue
        return f"{_show(path)} is no part of the fix of {_show(mine[0].subject.name)} ({mine[0].invariant})"
    return ""


# ----------------------------------------------------------------------------------------------------- content


def judge_content(policy: CompiledPolicy, state: RunState, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """What a version of a file breaks while something waits to be fixed. ``relative``: its path in the tree."""
    for rule in policy.remediation.rules:
        effect = rule.before_the_act() if event.landing else rule.after_the_act()
        message = _may_not_change(rule, state.episodes, relative) if state.changed and not event.commit else ""
        if not message and rule.rise and not event.commit:
            message = _risen(policy, state, event, relative)
        if message:
            yield Match(rule.invariant, effect, message)


def _risen(policy: CompiledPolicy, state: RunState, event: ContentEvent, relative: bytes) -> str:
    waiting = [each for each in state.episodes.fixable if each.opening is not None]
    if not waiting:
        return ""
    least = min(waiting, key=lambda each: each.opening or 0)
    more = state.standing + content.standing(policy, event, relative) - (least.opening or 0)
    if more <= 0:
        return ""
    subject, many = _show(least.subject.name), f"{more} violation" + ("s" if more > 1 else "")
    return f"{_show(relative)} would leave {many} more than there were when {least.invariant} refused {subject}"


def _show(path: bytes) -> str:
    return path[:200].decode("utf-8", "backslashreplace")
