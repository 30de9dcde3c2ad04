"""What has been used of each guardrail: counts over one action, the run, a day, or a sliding span of time.

Spans of time slide over the monotonic clock in 64 steps, so that an act counts for up to 1/64 longer than the
span, never shorter; a clock that goes backwards is taken to stand still. Days are UTC days of the wall clock and only
ever move on. Counts err upwards: what cannot be remembered any more counts again when it is touched again.

A file that was made within the span and is gone again is neither a changed nor a deleted one, and a file that is moved
is one changed file: counted is what a person would have to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from supervisor.git.commandline import command_of
from supervisor.invariants.guardrail import (
    BYTES,
    COMMITS,
    CONNECTS,
    COUNTERS,
    DELETED_LINES,
    DELETES,
    EXECS,
    FAILS,
    FILES,
    MANY,
    QUERIES,
    ROWS,
    GuardRules,
    Increment,
    Usage,
    fired,
)
from supervisor.run import windowfile
from supervisor.run.window import NONE, Facts, Window
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind, NetEvent, Target
from supervisor.vocabulary.verdicts import Match

_DAY = 86_400.0
_MOST_ACTIONS = 64
_MOST_GITS = 256
_UNLISTED = 1 << 16  # what a folder with more than can be listed counts as, once it has been moved all the same
_ZERO = (0,) * len(COUNTERS)
_CHANGES = 1 << FILES | 1 << BYTES | 1 << DELETED_LINES
_MOVING = frozenset((b"switch", b"merge", b"rebase", b"stash", b"reset", b"pull"))


def counts_of(**counts: int) -> tuple[int, ...]:
    """Numbers by name, in the order of ``COUNTERS``."""
    return tuple(counts.get(name, 0) for name in COUNTERS)


_EXEC, _CONNECT, _COMMIT = counts_of(execs=1), counts_of(connects=1), counts_of(commits=1)


def moves(argv: tuple[bytes, ...]) -> bool:
    """Whether a git command goes from one commit to another, so that what it changes counts once. ``checkout`` does
    with one name and no paths; ``restore``, ``clean``, ``rm``, ``apply`` change files like any other program."""
    command = command_of(argv)
    if command != b"checkout":
        return command in _MOVING
    words = argv[argv.index(command) + 1 :] if command in argv else argv[1:]
    return b"--" not in words and sum(not word.startswith(b"-") for word in words) <= 1 + (b"-b" in words)


class Windows:
    """The trackers of all rules. ``governed``: the path in the tree of what is counted, None for what is not (outside,
    ignored, below ``.git``). ``now`` is always the monotonic clock, ``wall`` the time of day; both in seconds."""

    def __init__(
        self, rules: GuardRules, governed: Callable[[Target], bytes | None], now: float = 0.0, wall: float = 0.0
    ) -> None:
        self.rules = rules
        self._governed = governed
        self._now = now
        self._day = int(wall // _DAY)
        counting = [rule for rule in rules.rules if rule.ceilings or rule.cooldown]
        self._lasting = {rule.invariant.id: Window(rule) for rule in counting if rule.span != "action"}
        self._single = tuple(rule for rule in counting if rule.span == "action")
        self._actions: dict[int, dict[str, Window]] = {}
        self._gits: dict[tuple[int, int], None] = {}
        self._base: dict[str, dict[str, Any]] = {}
        self._asked, self._found = 0, list[Window]()

    # -- an act -------------------------------------------------------------------------------------------------

    def before(
        self,
        event: FsEvent | ExecEvent | NetEvent,
        now: float,
        *,
        moving: bool = False,
        branch: bool = False,
        lost: bytes = b"",
        depth: int = 0,
    ) -> Increment:
        """What the act would add. ``moving``: a git that goes between commits does it (``moves``); ``branch``: git sets
        a branch, so that this is the commit; ``lost``: what it takes away and is not kept; ``depth``: programs between
        the agent and the new one."""
        action = event.actor.action
        if moving and not branch and (not isinstance(event, FsEvent) or self._facts(event) is NONE):
            moving = False  # git's own files, and programs that it starts
        if moving or branch:
            git = (event.actor.pid, event.actor.start)
            return Increment(
                counts=_ZERO if git in self._gits else _COMMIT, feeds=1 << COMMITS, action=action, by_git=git
            )
        match event:
            case ExecEvent():
                counts = counts_of(execs=1, queries=len(event.statements)) if event.statements else _EXEC
                feeds = 1 << EXECS | 1 << FAILS | (1 << QUERIES | 1 << ROWS if event.statements else 0)
                return Increment(counts=counts, feeds=feeds, action=action, depth=depth)
            case NetEvent():
                counted = event.op in ("connect", "send") and event.host != "" and not event.own
                if not counted:
                    return Increment(action=action)
                return Increment(counts=_CONNECT, feeds=1 << CONNECTS, action=action)
            case _:
                return self._file(event, now, lost)

    def _file(self, event: FsEvent, now: float, lost: bytes) -> Increment:
        facts = self._facts(event)
        if facts is NONE:
            return Increment(action=event.actor.action)
        adds = {}
        for window in self._of(event.actor.action, now):
            if window.listing:
                files, deletes = window.adds(facts)
                adds[window.rule.invariant.id] = (files, deletes, *_ZERO[2:])
        feeds = (1 << DELETES if facts.gone else 0) | _CHANGES
        return Increment(adds, _ZERO, feeds, False, lost, 0, event.actor.action, *facts[:5])

    def content(self, event: ContentEvent, size: int, deleted_lines: int) -> Increment:
        """What a version adds: ``size`` bytes were written and ``deleted_lines`` lines of the version before it are
        gone. What other people committed is not the agent's."""
        if event.theirs or event.commit:
            return Increment(after=not event.landing, action=event.actor.action)
        counts = counts_of(bytes=size, deleted_lines=deleted_lines)
        return Increment(
            counts=counts, feeds=_CHANGES & ~(1 << FILES), after=not event.landing, action=event.actor.action
        )

    def ended(self, event: ExecEvent, *, failed: bool) -> Increment:
        """A command has ended."""
        counts = counts_of(fails=1) if failed else _ZERO
        return Increment(counts=counts, feeds=1 << FAILS, after=True, action=event.actor.action)

    def commit(self, increment: Increment, now: float) -> None:
        """The act has happened."""
        facts = Facts(increment.touched, increment.made, increment.gone, increment.moved, increment.spoiled)
        some = increment.touched or increment.gone or increment.moved
        if increment.by_git is not None:
            if len(self._gits) >= _MOST_GITS:
                del self._gits[next(iter(self._gits))]
            self._gits[increment.by_git] = None
        if not some and not any(increment.counts):
            return
        for window in self._of(increment.action, now):
            if not some:
                if window.counted & increment.feeds:
                    window.count(increment.counts, self._now)
            elif window.listing:
                files, deletes, *_ = increment.adds.get(window.rule.invariant.id, _ZERO)
                unlisted = _UNLISTED if files >= MANY else 0
                window.commit((unlisted, unlisted or deletes, *increment.counts[2:]), facts, self._now)

    def refused(self, matches: Iterable[Match], increment: Increment, now: float) -> None:
        """Rules have spoken against an act: those with a cooldown begin it."""
        windows = {window.rule.invariant.id: window for window in self._of(increment.action, now)}
        usage = {ident: window.usage() for ident, window in windows.items()}
        for ident, sort in fired(self.rules, usage, matches, increment):
            windows[ident].cooling[sort] = self._now + windows[ident].rule.cooldown
            windows[ident].changed()

    def snapshot(self, now: float, action: int) -> Mapping[str, Usage]:
        """Rule id -> what has been used, for an act of ``action``."""
        return {window.rule.invariant.id: window.usage() for window in self._of(action, now)}

    def action_began(self, action: int, wall: float) -> None:
        """Another action begins, maybe on another day."""
        self._found = []
        if int(wall // _DAY) > self._day:
            self._day = int(wall // _DAY)
            self._base.clear()
            self._lasting |= {
                ident: Window(window.rule) for ident, window in self._lasting.items() if window.rule.span == "day"
            }
        if self._single:
            self._action(action)

    def forgive(self, ident: str) -> None:
        """A person has said that it may go on: the rule begins anew."""
        self._found = []
        for windows in (self._lasting, *self._actions.values()):
            if ident in windows:
                windows[ident] = Window(windows[ident].rule)

    def _of(self, action: int, now: float) -> list[Window]:
        """The windows of an act, without what lies before them. It is asked for the same moment several times."""
        if now <= self._now and action == self._asked and self._found:
            return self._found
        self._now, self._asked = max(now, self._now), action
        self._found = list(self._lasting.values())
        if self._single:
            self._found += self._action(action).values()
        for window in self._found:
            if window.span or window.cooling:
                window.expire(self._now)
        return self._found

    def _action(self, action: int) -> dict[str, Window]:
        known = self._actions.get(action)
        if known is None:
            if len(self._actions) >= _MOST_ACTIONS:
                del self._actions[next(iter(self._actions))]
            known = self._actions[action] = {rule.invariant.id: Window(rule) for rule in self._single}
        return known

    # -- what a file event changes ------------------------------------------------------------------------------

    def _facts(self, event: FsEvent) -> Facts:
        target = event.target
        if event.op is FsOp.RENAME and event.other is not None:
            return self._renamed(event, event.other)
        named = event.other if event.op is FsOp.LINK and event.other is not None else target
        path = self._governed(named)
        folder = event.makes is Kind.DIR if event.op is FsOp.CREATE else target.kind is Kind.DIR
        if path is None or folder or event.op is FsOp.READ:
            return NONE
        match event.op:
            case FsOp.UNLINK:
                return Facts(gone=(path,))
            case FsOp.META:
                return NONE if "utime" in event.call else Facts((path,))
            case _:
                new = event.op is FsOp.LINK or named.kind is Kind.ABSENT
                return Facts((path,), (path,)) if new else Facts((path,))

    def _renamed(self, event: FsEvent, other: Target) -> Facts:
        old, new = self._governed(event.target), self._governed(other)
        if old is None and new is None:
            return NONE
        if event.beneath is None or event.beneath_other is None:
            return Facts(tuple(path for path in (old, new) if path is not None), many=True)
        names = [b"/" + name for name in event.beneath] if event.target.kind is Kind.DIR else [b""]
        names = [name for name in names if b"/.git/" not in name + b"/"]
        if event.exchange:
            there = [b"/" + name for name in event.beneath_other] if other.kind is Kind.DIR else [b""]
            every = dict.fromkeys((*names, *there))
            both = tuple(base + name for base in (old, new) if base is not None for name in every)
            return Facts(both, spoiled=both)
        fresh = other.kind in (Kind.ABSENT, Kind.DIR)  # a folder is replaced only where it is empty
        if old is None:
            came = tuple((new or b"") + name for name in names)
            return Facts(came, came if fresh else ())
        if new is None:
            return Facts(gone=tuple(old + name for name in names))
        return Facts(moved=tuple((old + name, new + name, fresh) for name in names))

    # -- across runs --------------------------------------------------------------------------------------------

    def save(self, folder: Path, tree: str, agent: str, now: float, wall: float, patience: float = 0.0) -> bool:
        """Keep the counts for runs to come. Counts of the day are added up with those that other runs of the tree have
        written meanwhile. False: another run is writing just now, and goes on for ``patience`` seconds. Errors:
        ``StopRun``."""
        self._now = max(now, self._now)
        mine = {ident: window.dump(self._now) for ident, window in self._lasting.items()}
        told = windowfile.Kept(agent, wall, self._day, mine)
        daily = windowfile.keep(folder, tree, told, self._base, patience)
        for ident, found in daily.items() if daily is not None else ():
            self._lasting[ident].resume(found, self._now, 0.0)
            self._base[ident] = found
        return daily is not None

    def load(self, folder: Path, tree: str, agent: str, now: float, wall: float) -> None:
        """Take over today's counts, and all others from a run of the same agent that ended less than ten minutes ago.
        Errors: ``HostError`` when the file is there and cannot be read: the counts would be unknown, so nothing
        starts."""
        kept = windowfile.read(folder, tree)
        if kept is None:
            return
        self._now = max(now, self._now)
        passed = max(0.0, wall - kept.saved)  # a clock that went backwards makes nothing older
        goes_on = kept.agent == agent and passed <= windowfile.CONTINUES
        self._day, self._found = max(self._day, kept.day), []
        for ident, found in kept.windows.items():
            window = self._lasting.get(ident)
            if window is None or found.get("per") != window.rule.per:
                continue
            today = window.rule.span == "day" and kept.day == self._day
            if today or (window.rule.span != "day" and goes_on):
                window.resume(found, self._now, passed)
                if today:
                    self._base[ident] = found
