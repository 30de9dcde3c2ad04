"""``[[guardrail]]``: how much may happen in a span of time, what may not be emptied, undone by nobody, or repeated.

Pure: what has been used and what an act would add come as frozen values from the trackers in ``run``. A ceiling refuses
the act that would cross it. What shows only afterwards (lines, bytes, failures, rows) is judged afterwards, and once it
is above its ceiling, acts that could add to it are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from supervisor.invariants.emptying import Remaining, emptied, folder_of, none_left
from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, LifecycleEvent, NetEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

COUNTERS: Final = (
    *("files", "deletes", "deleted_lines", "bytes", "execs", "fails", "connects", "queries", "rows", "commits"),
)
FILES, DELETES, DELETED_LINES, BYTES, EXECS, FAILS, CONNECTS, QUERIES, ROWS, COMMITS = range(len(COUNTERS))
LATE: Final = (DELETED_LINES, BYTES, FAILS, ROWS)  # known only when the act is over
MANY: Final = 1 << 53  # above every ceiling that a profile can name
_NOTHING: Final = (0,) * len(COUNTERS)
_IRREVERSIBLE: Final = "irreversible"
_EMPTIES: Final = "never_empty"
SORTS: Final = frozenset((*COUNTERS, _IRREVERSIBLE, _EMPTIES))  # of acts, as cooldowns tell them apart
_WRITES: Final = frozenset(("write", "modify", "delete", "schema", "privilege", "opaque"))
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_WORDS: Final = (
    "files changed",
    "files deleted",
    "lines deleted",
    "bytes written",
    "programs started",
    "commands failed",
    "connections",
    "database statements",
    "rows",
    "commits",
)


class GuardRule(NamedTuple):
    """One compiled table. ``span``: ``action``, ``run``, ``day`` or ``time``; that is ``seconds`` long and written as
    ``per``. ``ceilings``: (index into ``COUNTERS``, the most that is allowed). ``depth``: the most programs above one
    another, 0 for no limit. ``irreversible``: what to do with such an act, ``ALLOW`` where the table does not say.
    ``cooldown`` is in seconds; ``narrow``: not every path is counted."""

    invariant: Invariant
    effect: Effect
    span: str = ""
    seconds: float = 0.0
    per: str = ""
    ceilings: tuple[tuple[int, int], ...] = ()
    depth: int = 0
    paths: Globs = Globs(())
    exempt: Globs = Globs(())
    never_empty: Globs = Globs(())
    cooldown: float = 0.0
    irreversible: Effect = Effect.ALLOW
    same_failing: int = 0
    alternating: int = 0
    narrow: bool = False

    def covers(self, relative: bytes) -> bool:
        """Whether the path is counted."""
        if not self.narrow:
            return True
        if self.paths and self.paths.match(relative) is None:
            return False
        return not self.exempt or self.exempt.match(relative) is None

    def when(self) -> str:
        """The span in words."""
        return {"action": "in one action", "run": "in this run", "day": "today (UTC)"}.get(
            self.span, f"within {self.per}"
        )

    def afterwards(self, *, landed: bool) -> Effect:
        """Content that has landed can be taken back; of a program that has ended only the next start can be refused."""
        if Effect.ASK <= self.effect <= Effect.REVERT:
            return Effect.REVERT if landed else Effect.WARN
        return self.effect


class GuardRules(NamedTuple):
    """Every table, in profile order. ``counting``: at least one has ceilings. ``loops``: at least one speaks of
    repetition."""

    rules: tuple[GuardRule, ...] = ()
    counting: bool = False
    loops: bool = False

    def __bool__(self) -> bool:
        return bool(self.rules)


class Usage(NamedTuple):
    """What has happened in the span of one rule. ``counts``: by ``COUNTERS``. ``cooling``: the sorts of act (words of
    ``COUNTERS``, ``irreversible``, ``never_empty``) that are refused because the rule has spoken a short time ago."""

    counts: tuple[int, ...] = _NOTHING
    cooling: frozenset[str] = frozenset()


class Increment(NamedTuple):
    """What one act adds.

    ``adds``: rule id -> by ``COUNTERS``; it may be negative for files, when what the span made is gone again. A rule
    that is missing gets ``counts``, which are the same for all. ``feeds``: bits of the counters that the act could add
    to once it is done. ``after``: it has happened already. ``lost``: the path in the tree of what would
    be taken away and cannot be kept. ``depth``: programs above the one that would start. The other fields are the
    tracker's: paths are relative to the tree; ``moved`` holds (old name, new name, nothing was there), ``spoiled``
    names that hold something else from then on. ``by_git``: process id and start of the git whose own switch, merge,
    rebase, stash or reset it is.
    """

    adds: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    counts: tuple[int, ...] = _NOTHING
    feeds: int = 0
    after: bool = False
    lost: bytes = b""
    depth: int = 0
    action: int = 0
    touched: tuple[bytes, ...] = ()
    made: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    moved: tuple[tuple[bytes, bytes, bool], ...] = ()
    spoiled: tuple[bytes, ...] = ()
    by_git: tuple[int, int] | None = None


class LoopState(NamedTuple):
    """What is known of repetition when a command is about to start, or has ended. ``failing``: how often in a row it
    has ended with ``status`` over the same tree. ``returns``: how often in a row the tree has gone back to an earlier
    state; before a start, only for a command that has put it back."""

    failing: int = 0
    returns: int = 0
    status: int = 0


# ------------------------------------------------------------------------------------------------- compilation


def compile_guardrails(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> GuardRules:
    """The compiled rules, in profile order."""
    made = tuple(_compiled(rule, invariants[rule.id]) for rule in rules)
    return GuardRules(
        made,
        any(rule.ceilings or rule.cooldown for rule in made),
        any(rule.same_failing or rule.alternating for rule in made),
    )


def _compiled(rule: Rule, invariant: Invariant) -> GuardRule:
    most, loop = _table(rule, "max"), _table(rule, "loop")
    per = str(rule.fields.get("per", ""))
    cooldown = rule.fields.get("cooldown", 0.0)
    globs = rule.fields.get("never_empty", ())

    def compiled(values: object, *, folders: bool = False) -> Globs:
        found = (str(value) for value in values) if isinstance(values, tuple | list) else ()
        return Globs(Entry(folder_of(value) if folders else value, rule.source) for value in found)

    return GuardRule(
        invariant,
        Effect[(rule.then or "pause").upper()],
        per if per in ("action", "run", "day") else "time" if per else "",
        float(per[:-1]) * _UNITS[per[-1]] if per[:-1].isdigit() else 0.0,
        per,
        tuple((at, most[name]) for at, name in enumerate(COUNTERS) if name in most),
        most.get("depth", 0),
        compiled(rule.paths),
        compiled(rule.exempt),
        compiled(globs, folders=True),
        float(cooldown) if isinstance(cooldown, int | float) else 0.0,
        Effect[str(rule.fields.get("irreversible", "allow")).upper()],
        loop.get("same_failing", 0),
        loop.get("alternating", 0),
        bool(rule.paths or rule.exempt),
    )


def _table(rule: Rule, key: str) -> dict[str, int]:
    found = rule.fields.get(key)
    return {str(k): v for k, v in found.items() if isinstance(v, int)} if isinstance(found, Mapping) else {}


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the rule holds, and with what note."""
    most = set(_table(rule, "max"))
    refuses = (Effect[(rule.then or "pause").upper()]) >= Effect.ASK
    early = sorted(most - {COUNTERS[at] for at in LATE})
    late = sorted(most & {COUNTERS[at] for at in LATE} - {"rows"})
    told = [f"before the act: {', '.join(early)}"] if early else []
    if late:
        told.append(f"after it, then taken back or stopped: {', '.join(late)}")
    if "queries" in most:
        told.append("queries: those on command lines, others need the database gateway")
    if "rows" in most:
        told.append("rows are not judged: they need the database gateway")
    if _table(rule, "loop"):
        told.append("repetition: when a command has ended; deny refuses it the next time")
    if "never_empty" in rule.fields:
        told.append("never_empty: folders in the tree, before the act")
    firm = rule.fields.get("irreversible") in ("ask", "deny")
    if firm:
        told.append("irreversible: by name of the command; files taken away that cannot be kept")
    if rule.fields.get("per") == "day":
        told.append("a day is a UTC day")
    note = "; ".join(told)
    judged = bool(early or late or firm or _table(rule, "loop") or "never_empty" in rule.fields)
    if not judged:
        return Coverage.UNENFORCEABLE, note or "the table names nothing that can be judged"
    before = bool(early or firm or "never_empty" in rule.fields)
    return (Coverage.SUPERVISED if before and (refuses or firm) else Coverage.OBSERVED), note


# -------------------------------------------------------------------------------------------------- judgement

Judgeable = FsEvent | ExecEvent | NetEvent | ContentEvent | LifecycleEvent


def judge(
    rules: GuardRules,
    usage: Mapping[str, Usage],
    event: Judgeable,
    relative: bytes | None,
    increment: Increment,
    *,
    other: bytes | None = None,
    remaining: Remaining = none_left,
) -> Iterator[Match]:
    """What the rules say of an act and of what it adds.

    ``relative``, ``other``: the path and the new name of a file event in the tree; None where they are not governed.
    ``remaining``: how many entries a folder of the tree would keep. A rule that counts and whose ``usage`` is missing
    refuses: it is not known how much is left.
    """
    for rule in rules.rules:
        if rule.ceilings or rule.cooldown:
            known = usage.get(rule.invariant.id)
            if known is not None and not known.cooling and _fits(rule, known, increment):
                found = ""
            else:
                found = _over(rule, known, increment)
            if found:
                yield Match(rule.invariant, _effect(rule, event, increment), _told(event, relative, found))
        if rule.depth and isinstance(event, ExecEvent) and increment.depth > rule.depth and not increment.after:
            depth = _many(increment.depth)
            told = f"{_name(event)} would be {depth} programs below the agent, at most {rule.depth} may be"
            yield Match(rule.invariant, rule.effect, told)
        if rule.never_empty and isinstance(event, FsEvent) and increment.by_git is None:
            folder = emptied(rule.never_empty, event, relative, other, remaining)
            if folder is not None:
                path, where = _show(relative or other or b""), _show(folder) or "the tree"
                told = f"{path} is the last of {where}, which may not become empty"
                yield Match(rule.invariant, rule.effect, told)
        if rule.irreversible is not Effect.ALLOW and not increment.after:
            told = _irreversible(rule, event, increment)
            if told:
                yield Match(rule.invariant, rule.irreversible, told)


def fired(
    rules: GuardRules,
    usage: Mapping[str, Usage],
    matches: Iterable[Match],
    increment: Increment,
) -> Iterator[tuple[str, str]]:
    """(rule id, sort of act) of what has to cool down after ``matches`` were spoken; not while it is cooling."""
    spoken = {match.invariant.id for match in matches}
    for rule in rules.rules:
        ident = rule.invariant.id
        if not rule.cooldown or ident not in spoken:
            continue
        known = usage.get(ident, Usage())
        if any(_feeds(increment, sort) for sort in known.cooling):
            continue
        crossed = [COUNTERS[at] for at, _, _ in _crossings(rule, known, increment)]
        others = [_EMPTIES] if rule.never_empty else []
        others += [_IRREVERSIBLE] if rule.irreversible is not Effect.ALLOW else []
        for sort in crossed or others:
            yield ident, sort


def _fits(rule: GuardRule, known: Usage, increment: Increment) -> bool:
    """The usual answer, and the cheap half of the question."""
    adds, counts = increment.adds.get(rule.invariant.id, increment.counts), known.counts
    for at, most in rule.ceilings:  # noqa: SIM110 - asked of every act; a generator takes twice as long
        if counts[at] + adds[at] > most:
            return False
    return True


def _crossings(rule: GuardRule, known: Usage, increment: Increment) -> Iterator[tuple[int, int, int]]:
    """(counter, what it would be, ceiling)."""
    adds = increment.adds.get(rule.invariant.id, increment.counts)
    for at, most in rule.ceilings:
        add, used = adds[at], known.counts[at]
        spent = used > most and at in LATE and increment.feeds >> at & 1 and not increment.after
        if (add > 0 and used + add > most) or spent:
            yield at, used + max(add, 0), most


def _over(rule: GuardRule, known: Usage | None, increment: Increment) -> str:
    """Why the act is too much, empty when it is not."""
    if known is None:
        if rule.ceilings and (increment.feeds or any(increment.counts)):
            return f"it is not known how much of the {_WORDS[rule.ceilings[0][0]]} is used {rule.when()}"
        return ""
    for at, total, most in _crossings(rule, known, increment):
        return f"{_WORDS[at]} {rule.when()}: {_many(total)}, at most {most} may be"
    for sort in known.cooling:
        if _feeds(increment, sort) and not increment.after:
            return f"this rule has spoken a short time ago: no more {sort} for {rule.cooldown:g} s after that"
    return ""


def _feeds(increment: Increment, sort: str) -> bool:
    """Whether an act is of this sort."""
    if sort == _EMPTIES:
        return bool(increment.feeds >> DELETES & 1)
    if sort == _IRREVERSIBLE:
        return bool(increment.lost)
    return bool(increment.feeds >> COUNTERS.index(sort) & 1)


def _effect(rule: GuardRule, event: Judgeable, increment: Increment) -> Effect:
    if not increment.after:
        return rule.effect
    landed = isinstance(event, ContentEvent) or (isinstance(event, LifecycleEvent) and event.op == "written")
    return rule.afterwards(landed=landed)


def _told(event: Judgeable, relative: bytes | None, found: str) -> str:
    return f"{_show(relative) if relative is not None else _name(event)}: {found}"


def _many(number: int) -> str:
    return "too many to count" if number >= MANY else str(number)


def _name(event: Judgeable) -> str:
    match event:
        case ExecEvent():
            return _show(event.target.path.rpartition(b"/")[2])
        case NetEvent():
            return f"{event.op} {event.host}:{event.port}" if event.host else event.op
        case LifecycleEvent():
            return _plain(event.detail)
        case _:
            return _show(event.target.path)


def _irreversible(rule: GuardRule, event: Judgeable, increment: Increment) -> str:
    if isinstance(event, ExecEvent):
        for command in event.commands:
            if command.irreversible:
                target = f" ({', '.join(command.targets[:3])})" if command.targets else ""
                return f"{_plain(f'{command.tool} {command.verb}'.strip() + target)} cannot be undone from here"
        for statement in event.statements:
            if not _WRITES.isdisjoint(statement.effects):
                return f"{_plain(statement.shape or statement.effects[0])} changes a database and cannot be undone"
    if increment.lost and rule.covers(increment.lost):
        return f"{_show(increment.lost)} cannot be kept, so that what takes it away cannot be undone"
    return ""


# ------------------------------------------------------------------------------------------------------- loops


def judge_loop(rules: GuardRules, state: LoopState, command: str, *, ended: bool) -> Iterator[Match]:
    """What the rules say of repetition, when ``command`` has ended, or is about to start again. ``command``: as it is
    told, empty for a change that no command made."""
    for rule in rules.rules:
        effect = rule.afterwards(landed=False) if ended else rule.effect
        if not ended and effect < Effect.ASK:
            continue  # it was said when the command ended
        shown = _plain(command) or "the agent"
        if rule.same_failing and state.failing >= rule.same_failing:
            how = f"{shown} has failed {state.failing} times with status {state.status} and nothing was changed since"
            yield Match(rule.invariant, effect, f"{how}: change something before it runs again")
        if rule.alternating and state.returns >= rule.alternating:
            how = f"{shown} has put the tree back to an earlier state, {state.returns} times in a row"
            yield Match(rule.invariant, effect, f"{how}: do something that has not been tried")


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _plain(text: str) -> str:
    return text[:200].encode("utf-8", "backslashreplace").decode()
