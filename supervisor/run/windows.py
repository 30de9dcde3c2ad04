"""What has been used of each guardrail: counts over one action, the run, a day, or a sliding span of time.

Spans of time slide over the monotonic clock in ``_PARTS`` steps, so that an act counts for up to 1/64 longer than the
span, never shorter; a clock that goes backwards is taken to stand still. Days are UTC days of the wall clock and only
ever move on. Counts err upwards: what cannot be remembered any more counts again when it is touched again.

A file that was made within the span and is gone again is neither a changed nor a deleted one, and a file that is moved
is one changed file: counted is what a person would have to look at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
    SORTS,
    GuardRule,
    GuardRules,
    Increment,
    Usage,
    fired,
)
from supervisor.run import windowfile
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind, NetEvent, Target
from supervisor.vocabulary.verdicts import Match

_PARTS = 64
_DAY = 86_400.0
_MOST_PATHS = 1 << 17
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


class _Facts(NamedTuple):
    touched: tuple[bytes, ...] = ()
    made: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    moved: tuple[tuple[bytes, bytes, bool], ...] = ()
    spoiled: tuple[bytes, ...] = ()
    many: bool = False


_NONE = _Facts()


class Window:
    """The span of one rule. ``files``, ``made``: path -> when it was touched last, or made; oldest first."""

    __slots__ = ("_parts", "_usage", "cap", "cooling", "counts", "files", "made", "rule", "span", "step", "wants")

    def __init__(self, rule: GuardRule) -> None:
        self.rule = rule
        self.span = rule.seconds if rule.span == "time" else 0.0
        self.step = self.span / _PARTS
        most = dict(rule.ceilings)
        self.wants = FILES in most, DELETES in most
        self.cap = min(most.get(FILES, 0) + 1, _MOST_PATHS)
        self.counts = list(_ZERO)
        self.files: dict[bytes, float] = {}
        self.made: dict[bytes, float] = {}
        self.cooling: dict[str, float] = {}
        self._parts: deque[tuple[float, list[int]]] = deque()
        self._usage: Usage | None = None

    def expire(self, now: float) -> None:
        """Forget what lies before the span."""
        if self.cooling and min(self.cooling.values()) <= now:
            self.cooling = {sort: until for sort, until in self.cooling.items() if until > now}
            self._usage = None
        if not self.span:
            return
        parts = self._parts
        while parts and parts[0][0] + self.step + self.span <= now:
            for at, number in enumerate(parts.popleft()[1]):
                self.counts[at] -= number
            self._usage = None
        for paths in (self.files, self.made):
            while paths:
                first = next(iter(paths))
                if paths[first] + self.span > now:
                    break
                del paths[first]
                self._usage = None

    def usage(self) -> Usage:
        if self._usage is None:
            counts = (self.counts[FILES] + len(self.files), *self.counts[1:])
            self._usage = Usage(counts, frozenset(self.cooling))
        return self._usage

    def adds(self, facts: _Facts) -> tuple[int, int]:
        """Files and deletions that an act would add."""
        rule, files, made = self.rule, self.files, self.made
        added = deleted = 0
        for path in facts.touched:
            added += path not in files and rule.covers(path)
        for old, new, fresh in facts.moved:
            if old in made:
                added += (new not in files and rule.covers(new)) - (old in files)
            elif rule.covers(old):
                added += (old not in files) + (not fresh and new not in files and rule.covers(new))
            else:
                added += new not in files and rule.covers(new)
        for path in facts.gone:
            if path in made:
                added -= path in files
            elif rule.covers(path):
                added += path not in files
                deleted += 1
        return (MANY, MANY) if facts.many else (added, deleted)

    def commit(self, counts: tuple[int, ...], facts: _Facts, now: float) -> None:
        """The act has happened. ``counts`` without files."""
        self._usage = None
        for path in facts.spoiled:
            self.made.pop(path, None)
        for path in facts.made:
            if self.rule.covers(path):
                self._make(path, now)
        for path in facts.touched:
            self._touch(path, now)
        for old, new, fresh in facts.moved:
            if self.made.pop(old, None) is not None:
                self.files.pop(old, None)
                if fresh:
                    self._make(new, now)
                self._touch(new, now)
            else:
                self._touch(old, now)
                self.made.pop(new, None)
                if not fresh or not self.rule.covers(old):
                    self._touch(new, now)
        for path in facts.gone:
            if self.made.pop(path, None) is not None:
                self.files.pop(path, None)
            else:
                self._touch(path, now)
        self.count(counts, now)

    def _make(self, path: bytes, now: float) -> None:
        if any(self.wants) and len(self.made) < max(self.cap, 1 << 12):
            self.made[path] = now

    def _touch(self, path: bytes, now: float) -> None:
        if not self.wants[0] or not self.rule.covers(path):
            return
        if self.files.pop(path, None) is None and len(self.files) >= self.cap:
            self.count((1, *_ZERO[1:]), now)
            return
        self.files[path] = now

    def count(self, counts: tuple[int, ...], now: float) -> None:
        """Add numbers that are no paths."""
        if not any(counts):
            return
        self._usage = None
        for at, number in enumerate(counts):
            self.counts[at] += number
        if not self.span:
            return
        if not self._parts or now - self._parts[-1][0] >= self.step:
            self._parts.append((now, list(counts)))
        else:
            last = self._parts[-1][1]
            for at, number in enumerate(counts):
                last[at] += number

    def dump(self, now: float) -> dict[str, Any]:
        """As JSON takes it; times are seconds before ``now``."""

        def texts(paths: Mapping[bytes, float]) -> list[list[object]]:
            return [[path.decode("utf-8", "surrogateescape"), now - at] for path, at in paths.items()]

        parts = [[now - at, counts] for at, counts in self._parts]
        cooling = {sort: until - now for sort, until in self.cooling.items()}
        told = {"per": self.rule.per, "counts": list(self.counts), "parts": parts, "cooling": cooling}
        return told | {"files": texts(self.files), "made": texts(self.made)}

    def resume(self, told: Mapping[str, Any], now: float, passed: float) -> None:
        """Take over what ``dump`` said ``passed`` seconds ago."""
        begun = now - passed
        self._usage = None
        self.counts = list(told["counts"])
        self.files, self.made = (
            {path.encode("utf-8", "surrogateescape"): begun - age for path, age in told[name]}
            for name in ("files", "made")
        )
        self._parts = deque((begun - age, list(counts)) for age, counts in told["parts"])
        self.cooling = {sort: begun + left for sort, left in told["cooling"].items() if sort in SORTS}


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

    # -- an act -------------------------------------------------------------------------------------------------

    def before(
        self,
        event: FsEvent | ExecEvent | NetEvent,
        now: float,
        *,
        moving: bool = False,
        preserved: bool = True,
        depth: int = 0,
    ) -> Increment:
        """What the act would add. ``moving``: a git that goes between commits does it (``moves``), or it sets a branch;
        ``preserved``: what it deletes is kept; ``depth``: programs between the agent and the new one."""
        action = event.actor.action
        if moving:
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
                return self._file(event, now, preserved=preserved)

    def _file(self, event: FsEvent, now: float, *, preserved: bool) -> Increment:
        facts = self._facts(event)
        if facts is _NONE:
            return Increment(action=event.actor.action)
        adds = {}
        for window in self._of(event.actor.action, now):
            if window.wants != (False, False):
                files, deletes = window.adds(facts)
                adds[window.rule.invariant.id] = (files, deletes, *_ZERO[2:])
        feeds = (1 << DELETES if facts.gone else 0) | _CHANGES
        lost = not preserved and bool(facts.gone)
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
        facts = _Facts(increment.touched, increment.made, increment.gone, increment.moved, increment.spoiled)
        some = increment.touched or increment.gone or increment.moved
        if increment.by_git is not None:
            if len(self._gits) >= _MOST_GITS:
                del self._gits[next(iter(self._gits))]
            self._gits[increment.by_git] = None
        if not some and not any(increment.counts):
            return
        for window in self._of(increment.action, now):
            if not some:
                window.count(increment.counts, self._now)
            elif window.wants != (False, False):
                files, deletes, *_ = increment.adds.get(window.rule.invariant.id, _ZERO)
                unlisted = _UNLISTED if files >= MANY else 0
                window.commit((unlisted, unlisted or deletes, *increment.counts[2:]), facts, self._now)

    def refused(self, matches: Iterable[Match], increment: Increment, now: float) -> None:
        """Rules have spoken against an act: those with a cooldown begin it."""
        windows = {window.rule.invariant.id: window for window in self._of(increment.action, now)}
        usage = {ident: window.usage() for ident, window in windows.items()}
        for ident, sort in fired(self.rules, usage, matches, increment):
            windows[ident].cooling[sort] = self._now + windows[ident].rule.cooldown
            windows[ident]._usage = None

    def snapshot(self, now: float, action: int) -> Mapping[str, Usage]:
        """Rule id -> what has been used, for an act of ``action``."""
        return {window.rule.invariant.id: window.usage() for window in self._of(action, now)}

    def action_began(self, action: int, wall: float) -> None:
        """Another action begins, maybe on another day."""
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
        for windows in (self._lasting, *self._actions.values()):
            if ident in windows:
                windows[ident] = Window(windows[ident].rule)

    def _of(self, action: int, now: float) -> Iterator[Window]:
        self._now = now = max(now, self._now)
        for window in self._lasting.values():
            if window.span or window.cooling:
                window.expire(now)
            yield window
        if self._single:
            for window in self._action(action).values():
                if window.cooling:
                    window.expire(now)
                yield window

    def _action(self, action: int) -> dict[str, Window]:
        known = self._actions.get(action)
        if known is None:
            if len(self._actions) >= _MOST_ACTIONS:
                del self._actions[next(iter(self._actions))]
            known = self._actions[action] = {rule.invariant.id: Window(rule) for rule in self._single}
        return known

    # -- what a file event changes ------------------------------------------------------------------------------

    def _facts(self, event: FsEvent) -> _Facts:
        target = event.target
        if event.op is FsOp.RENAME and event.other is not None:
            return self._renamed(event, event.other)
        named = event.other if event.op is FsOp.LINK and event.other is not None else target
        path = self._governed(named)
        folder = event.makes is Kind.DIR if event.op is FsOp.CREATE else target.kind is Kind.DIR
        if path is None or folder or event.op is FsOp.READ:
            return _NONE
        match event.op:
            case FsOp.UNLINK:
                return _Facts(gone=(path,))
            case FsOp.META:
                return _NONE if "utime" in event.call else _Facts((path,))
            case _:
                new = event.op is FsOp.LINK or named.kind is Kind.ABSENT
                return _Facts((path,), (path,)) if new else _Facts((path,))

    def _renamed(self, event: FsEvent, other: Target) -> _Facts:
        old, new = self._governed(event.target), self._governed(other)
        if old is None and new is None:
            return _NONE
        if event.beneath is None or event.beneath_other is None:
            return _Facts(tuple(path for path in (old, new) if path is not None), many=True)
        names = [b"/" + name for name in event.beneath] if event.target.kind is Kind.DIR else [b""]
        names = [name for name in names if b"/.git/" not in name + b"/"]
        if event.exchange:
            there = [b"/" + name for name in event.beneath_other] if other.kind is Kind.DIR else [b""]
            every = dict.fromkeys((*names, *there))
            both = tuple(base + name for base in (old, new) if base is not None for name in every)
            return _Facts(both, spoiled=both)
        fresh = other.kind in (Kind.ABSENT, Kind.DIR)  # a folder is replaced only where it is empty
        if old is None:
            came = tuple((new or b"") + name for name in names)
            return _Facts(came, came if fresh else ())
        if new is None:
            return _Facts(gone=tuple(old + name for name in names))
        return _Facts(moved=tuple((old + name, new + name, fresh) for name in names))

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
        self._day = max(self._day, kept.day)
        for ident, found in kept.windows.items():
            window = self._lasting.get(ident)
            if window is None or found.get("per") != window.rule.per:
                continue
            today = window.rule.span == "day" and kept.day == self._day
            if today or (window.rule.span != "day" and goes_on):
                window.resume(found, self._now, passed)
                if today:
                    self._base[ident] = found
