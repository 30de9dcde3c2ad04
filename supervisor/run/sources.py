"""What the sources of a tree say, many at a time: from what is remembered, else from several inspectors at once.

In a run these are others than the one that reads what the run writes: what they say outlives the run, and none of them
has read anything of it.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Generator, Iterable
from pathlib import Path

from supervisor.inspection.edgecache import EdgeCache
from supervisor.inspection.wire import Traced
from supervisor.inspection.worker import Inspector
from supervisor.run.judgement import Source
from supervisor.vocabulary.content import INSPECTOR_FAILED, Findings, Wanted

_MOST_WORKERS = 4
_AHEAD = 4  # questions that one of them has at once
_MOST_AHEAD = 256  # answers that wait for an earlier one


class _Asked:
    """``found``: None while an inspector has it."""

    def __init__(self, source: Source | None, found: Findings | None) -> None:
        self.source = source
        self.found = found


class Sources:
    """``cache``: the folder of what is remembered, None for nothing. ``close`` ends the inspectors and writes it."""

    def __init__(self, wanted: Wanted, cache: Path | None, *, deadline: float = 5.0) -> None:
        self._cache = EdgeCache(cache, wanted) if cache is not None else None
        self._wanted = wanted
        self._deadline = deadline
        self._inspectors: list[Inspector] = []
        self._asked: list[dict[int, _Asked]] = []  # by ticket, of each inspector

    def close(self) -> None:
        for inspector in self._inspectors:
            inspector.close()
        if self._cache is not None:
            self._cache.flush()

    def findings(self, sources: Iterable[Source | Findings]) -> Generator[Findings, None, None]:
        """Of each, in their order; findings among them are passed on."""
        waiting: deque[_Asked] = deque()
        for each in sources:
            waiting.append(self._begin(each))
            while waiting and (waiting[0].found is not None or len(waiting) > _MOST_AHEAD):
                yield self._end(waiting.popleft())
        while waiting:
            yield self._end(waiting.popleft())

    def _begin(self, each: Source | Findings) -> _Asked:
        if isinstance(each, Findings):
            return _Asked(None, each)
        each = each._replace(path=each.path.removeprefix(self._wanted.tree + b"/"))
        found = self._cache.get(each.kind, each.path, each.content) if self._cache is not None else None
        if found is not None:
            return _Asked(None, found)
        asked = _Asked(each, None)
        self._ask(asked, each)
        return asked

    def _ask(self, asked: _Asked, source: Source) -> None:
        """The one with the fewest questions, when it has room."""
        if not self._inspectors:
            number = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
            self._inspectors = [Inspector(self._wanted, deadline=self._deadline) for _ in range(number)]
            self._asked = [{} for _ in self._inspectors]
        self._receive()
        while min(map(len, self._asked)) >= _AHEAD:
            self._wait()
        at = min(range(len(self._asked)), key=lambda each: len(self._asked[each]))
        ticket = self._inspectors[at].ask_traced(source.kind, source.path, source.content)
        self._asked[at][ticket] = asked

    def _end(self, asked: _Asked) -> Findings:
        while asked.found is None:
            self._wait()
        return asked.found

    def _wait(self) -> None:
        """Until something has been answered, or is overdue, which is an answer too."""
        if self._receive():
            return
        poll = select.poll()
        due = []
        for inspector in self._inspectors:
            if inspector.due is not None:
                due.append(inspector.due)
                poll.register(inspector.fileno(), select.POLLIN | (select.POLLOUT if inspector.unsent else 0))
        if due:
            poll.poll(max(0.0, min(due) - time.monotonic()) * 1000 + 1)
        self._receive()

    def _receive(self) -> bool:
        """What is there; whether there was anything."""
        received = False
        for inspector, asked in zip(self._inspectors, self._asked, strict=True):
            for ticket, told in inspector.traced():
                self._take(inspector, asked.pop(ticket), told)
                received = True
        return received

    def _take(self, inspector: Inspector, asked: _Asked, told: Traced) -> None:
        source, found = asked.source, told.found
        assert source is not None
        if found.refusal.startswith(INSPECTOR_FAILED):
            # Of those that it had at once only one was at fault.
            found = inspector.inspect(source.kind, source.path, source.content)
        elif told.looked is not None and self._cache is not None:
            self._cache.put(source.kind, source.path, source.content, found, told.looked)
        asked.found, asked.source = found, None  # which may be large


def findings(wanted: Wanted, cache: Path, sources: Iterable[Source | Findings]) -> Generator[Findings, None, None]:
    """The same with inspectors for the one time."""
    made = Sources(wanted, cache)
    try:
        yield from made.findings(sources)
    finally:
        made.close()


def cache_folder(state: Path) -> Path:
    """Below the folder of the state, which no run can write or read."""
    return state / "cache" / "edges"


__all__ = ["Sources", "cache_folder", "findings"]
