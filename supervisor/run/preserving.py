"""What an act would take away for good: files that are deleted, replaced or moved out of the tree are kept first.

What cannot be kept is named, so that a rule can refuse the act or have it asked about. What the run made itself is its
own: nothing of it is kept, and it can be lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.versions import Version

_MOST_MADE = 4096  # files of the run that are remembered as its own
_MOST_KEPT = 100_000  # each is a line in the store
_MOST_MOVED = 1000  # files of one folder that is moved out of the tree
_HOLD = (Kind.FILE, Kind.LINK)  # what has a content to lose


class Preserving:
    """``keep`` keeps what lies at a path, None: it cannot. ``governed``: the path in the tree of what counts, None for
    what does not. Errors: ``StopRun`` where the store fails."""

    def __init__(self, keep: Callable[[bytes], Version | None], governed: Callable[[Target], bytes | None]) -> None:
        self._keep = keep
        self._governed = governed
        self._made: dict[bytes, tuple[int, int]] = {}  # path -> device, inode
        self._kept = 0

    def lost(self, event: FsEvent) -> bytes:
        """The path in the tree of the first file that the act would take away and that cannot be kept; else empty."""
        for path in self._taken(event):
            if path is None:
                return self._governed(event.target) or b"."
            if self._kept >= _MOST_KEPT or self._keep(path) is None:
                return self._governed(Target(path, Kind.FILE)) or path
            self._kept += 1
        return b""

    def landed(self, event: FsEvent) -> None:
        """The act was done: whose the names are from now on."""
        target, other = event.target, event.other
        match event.op:
            case FsOp.CREATE | FsOp.WRITE if target.kind is Kind.ABSENT:
                self._note(target.path)
            case FsOp.UNLINK:
                self._made.pop(target.path, None)
            case FsOp.RENAME if other is not None:
                own = self._made.pop(target.path, None)
                theirs = self._made.pop(other.path, None)
                if event.exchange and theirs is not None:
                    self._made[target.path] = theirs
                if own is not None and self._governed(other) is not None:
                    self._made[other.path] = own

    def _taken(self, event: FsEvent) -> Iterator[bytes | None]:
        """Files that are not there any more afterwards, by path; None: more than can be listed."""
        target, other = event.target, event.other
        if event.op is FsOp.UNLINK and self._counts(target):
            yield target.path
        if event.op is not FsOp.RENAME or other is None or event.exchange:
            return
        if self._counts(other):
            yield other.path
        if self._governed(other) is not None or self._governed(target) is None:
            return
        if target.kind is not Kind.DIR:
            if self._counts(target):
                yield target.path
        elif event.beneath is None or len(event.beneath) > _MOST_MOVED:
            yield None
        else:
            yield from (target.path + b"/" + name for name in event.beneath)

    def _counts(self, target: Target) -> bool:
        if target.kind not in _HOLD or self._governed(target) is None:
            return False
        return self._made.get(target.path) != (target.dev, target.ino)

    def _note(self, path: bytes) -> None:
        if self._governed(Target(path, Kind.FILE)) is None:
            return
        try:
            info = os.lstat(path)
        except OSError:
            return  # gone already
        if len(self._made) >= _MOST_MADE:
            del self._made[next(iter(self._made))]
        self._made[path] = info.st_dev, info.st_ino
