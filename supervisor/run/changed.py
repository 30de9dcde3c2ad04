"""What is kept in mind after a change that was let happen: names the run made, refs that moved, locks, what leads git
elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable

from supervisor.git.commandline import FETCHING, command_of
from supervisor.invariants.places import Zone, governed, locate
from supervisor.profile.problems import plain
from supervisor.run.external import note_touched
from supervisor.run.parts import Parts
from supervisor.run.pointers import Pointers
from supervisor.vocabulary.events import Event, FsEvent, FsOp, GitConfigEvent, Kind


class Changed:
    """``told`` gets a line for the user. ``locks``: of govrun's own refs, by path, as (device, inode)."""

    def __init__(self, parts: Parts, told: Callable[[str], None]) -> None:
        self._parts = parts
        self.policy = parts.policy
        self._inside = parts.policy.tree + b"/"
        self._told = told
        self._reading, self._proving = parts.reading, parts.proving
        self.locks: dict[bytes, tuple[int, int]] = {}
        self.pointers = Pointers(lambda path: locate(self.policy, path).zone is Zone.TEMP, self._led_away)

    def landed(self, event: Event) -> None:
        """Bookkeeping after a change: names the run made, refs that moved."""
        made, refs = self._parts.made, self._parts.refs
        if not isinstance(event, FsEvent | GitConfigEvent):
            return
        note_touched(event, self._inside, self._parts.touched)
        if self._reading is not None:
            self._reading.joined(event.target)
        if event.target.kind is not Kind.CHAR:
            self._parts.agent.changed(event.target.path)
        if isinstance(event, GitConfigEvent):
            return
        targets = (event.target, event.other)
        if self._proving is not None and any(t is not None and governed(self.policy, t) for t in targets):
            self._proving.changed(event.actor.action)
        match event.op:
            case FsOp.CREATE:
                made.created(event.target.path)
                self.pointers.landed(event.target.path)
                self._note_lock(event.target.path)
            case FsOp.LINK if event.other is not None:
                made.created(event.other.path)
                self.pointers.landed(event.other.path)
                if b"/.git/objects/" not in event.other.path:  # never written again, so never set apart
                    made.linked(event.target, event.other.path)
            case FsOp.RENAME if event.other is not None:
                self.pointers.moved(event.target.path, event.other.path, exchange=event.exchange)
                self.pointers.landed(event.other.path)
                if event.exchange:
                    made.exchanged(event.target.path, event.other.path)
                else:
                    made.moved(event.target.path, event.other.path, event.target.made)
                if refs is not None:
                    fetched = event.git_tool and command_of(event.actor.argv) in FETCHING
                    refs.landed(event.actor, event.other.path, fetched=fetched)
            case FsOp.UNLINK:
                made.removed(event.target.path)
                if refs is not None:
                    refs.removed(event.actor, event.target.path)

    def _led_away(self, path: bytes, leads: bytes) -> None:
        shown, there = plain(os.fsdecode(path)), plain(os.fsdecode(leads))
        text = f"{shown} led git to {there}, where the run writes what git would run, and was removed"
        self._parts.recorder.note("external", path=path, target=leads, reason=text)
        self._told(f"govrun: {text}")

    def _note_lock(self, path: bytes) -> None:
        """A lock of govrun's own refs that git of the run made: left behind, it would keep the notes from being
        written."""
        if path.endswith(b".lock") and (b"/refs/notes/govrun" in path or b"/refs/govrun/" in path):
            found = os.lstat(path)
            self.locks[path] = (found.st_dev, found.st_ino)
