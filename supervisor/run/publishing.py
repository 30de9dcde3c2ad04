"""The supervisor's side of notes: the publisher starts at the first ref that moves, or at the end of the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from supervisor.enforce.kill import end_children
from supervisor.provenance.feed import Feed, reserve
from supervisor.run import ending
from supervisor.run.record import Recorder
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import RefEvent
from supervisor.vocabulary.verdicts import ALLOWED

_PATIENCE = 20.0  # seconds for the last notes, and one more for so many events
_EVENTS = 10_000
_GRACE = 2.0  # seconds in which a git can take back its locks


class Publishing:
    """``tell`` gives the guard a line; ``noted``: whether the run is in a repository, where notes can be written."""

    def __init__(
        self, folder: Path, umask: int, recorder: Recorder, tell: Callable[[bytes], None], *, noted: bool
    ) -> None:
        self._folder = folder
        self._umask = umask
        self._recorder = recorder
        self._tell = tell
        self._noted = noted
        self._started = time.monotonic()
        self._reserve = reserve()
        self._others: list[str] = []
        self._feed: Feed | None = None

    @property
    def pid(self) -> int:
        """The publisher, 0 while there is none."""
        return self._feed.pid if self._feed is not None else 0

    def moved(self, event: RefEvent) -> None:
        """A ref moved: record it and let the publisher annotate what it brought."""
        self._recorder.observed(event, ALLOWED)
        if not event.new:
            return
        counts = self._recorder.counts
        self._publisher().send(
            event.ref,
            event.new,
            counts=counts.as_dict() | {"reverts": counts.reverted} | counts.shown(),
            decisions=counts.decisions,
            upto=self._recorder.seq,
            seconds=time.monotonic() - self._started,
            fetched=event.fetched,
        )

    def moved_by_others(self, ref: str, old: str, new: str) -> None:
        """Another run, or the user, moved a ref: no commit of it is this run's."""
        self._recorder.note("external", ref=ref, old=old, new=new)
        self._others.append(new)
        if self._feed is not None:
            self._feed.foreign(new)

    def _publisher(self) -> Feed:
        if self._feed is None:
            self._feed = Feed(self._folder, self._umask, self._reserve)
            self._tell(b"publisher %d\n" % self._feed.pid)
            for commit in self._others:
                self._feed.foreign(commit)
        return self._feed

    def end(self, told: Mapping[str, object], say: Callable[[str], None], *, idle: bool) -> None:
        """The journal is closed and ``meta.json`` says how the run ended: write the last notes and the record.

        ``idle``: nothing was changed and nothing refused, so nobody waits: the publisher is left to finish.
        """
        if not self._noted:
            return
        try:
            feed = self._publisher()
        except GovrunError as error:
            ending.say_what_is_missing(self._folder, say, f"{error.what}: {error.why}")
            return
        feed.end({**told, "decisions": self._recorder.counts.decisions})
        if idle:
            feed.leave()
            self._tell(b"left %d\n" % feed.pid)
        elif not feed.wait(_PATIENCE + self._recorder.seq / _EVENTS):
            end_children(_GRACE)  # it has had its time, and nothing of a run stays behind
            if feed.killed:
                self._complete(say)
            else:
                ending.say_what_is_missing(self._folder, say)

    def _complete(self, say: Callable[[str], None]) -> None:
        """Somebody has killed the publisher: what it owes is written from the journal, as ``recover`` would."""
        from supervisor.provenance.completion import complete

        before = os.umask(self._umask)
        try:
            complete(self._folder)
        except GovrunError as error:
            why = f"the process that writes them was killed; {error.what}: {error.why}"
            ending.say_what_is_missing(self._folder, say, why)
        finally:
            os.umask(before)
