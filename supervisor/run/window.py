"""The span of one guardrail: which files it has seen changed, and how much of all else."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from supervisor.invariants.guardrail import COUNTERS, DELETES, FILES, MANY, SORTS, GuardRule, Usage

_PARTS = 64
_MOST_PATHS = 1 << 17
_MOST_MADE = 1 << 12
_ZERO = (0,) * len(COUNTERS)


class Facts(NamedTuple):
    """The files of one act, as ``Increment`` has them. ``many``: more than can be listed."""

    touched: tuple[bytes, ...] = ()
    made: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    moved: tuple[tuple[bytes, bytes, bool], ...] = ()
    spoiled: tuple[bytes, ...] = ()
    many: bool = False


NONE = Facts()


class Window:
    """The span of one rule. ``files``, ``made``: path -> when it was touched last, or made; oldest first."""

    __slots__ = (
        "_parts",
        "_usage",
        "cap",
        "cooling",
        "counted",
        "counts",
        "files",
        "listing",
        "made",
        "rule",
        "span",
        "step",
        "wants",
    )

    def __init__(self, rule: GuardRule) -> None:
        self.rule = rule
        self.span = rule.seconds if rule.span == "time" else 0.0
        self.step = self.span / _PARTS
        most = dict(rule.ceilings)
        self.wants = FILES in most, DELETES in most
        self.listing = any(self.wants)
        self.counted = sum(1 << at for at in most)
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

    def changed(self) -> None:
        """What was answered before does not hold any more."""
        self._usage = None

    def adds(self, facts: Facts) -> tuple[int, int]:
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

    def commit(self, counts: tuple[int, ...], facts: Facts, now: float) -> None:
        """The act has happened. ``counts`` without files."""
        for path in facts.spoiled:
            self.made.pop(path, None)
        for path in facts.made:
            if self.rule.covers(path):
                self._make(path, now)
        for path in facts.touched:
            self._touch(path, now)
        for old, new, fresh in facts.moved:
            if self.made.pop(old, None) is not None:
                self._drop(old)
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
                self._drop(path)
            else:
                self._touch(path, now)
        if counts != _ZERO:
            self.count(counts, now)

    def _make(self, path: bytes, now: float) -> None:
        if self.listing and len(self.made) < max(self.cap, _MOST_MADE):
            self.made[path] = now

    def _drop(self, path: bytes) -> None:
        if self.files.pop(path, None) is not None:
            self._usage = None

    def _touch(self, path: bytes, now: float) -> None:
        if not self.wants[0] or not self.rule.covers(path):
            return
        if self.files.pop(path, None) is None:
            self._usage = None
            if len(self.files) >= self.cap:
                self.count((1, *_ZERO[1:]), now)
                return
        self.files[path] = now

    def count(self, counts: tuple[int, ...], now: float) -> None:
        """Add numbers that are no paths."""
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
