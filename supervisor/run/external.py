"""What somebody else changed in the tree while the run went on: theirs, never reverted, but seen.

No watch and no snapshot: at the end one walk looks for inodes whose status changed after the start (ctime, which
nobody sets) at names that the run did not touch. What the user changed at a name that the run touched too is not told
apart.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.enforce.explain import reason
from supervisor.run.record import Recorder

if TYPE_CHECKING:
    from supervisor.run.contents import Contents

_MOST_TOUCHED = 200_000
_MOST_SEEN = 200_000  # names that one walk looks at
_MOST_NAMED = 1000
_PATIENCE = 3.0  # seconds for the walk
_TICK = 20_000_000  # nanoseconds: ctime comes from a clock that stands still between timer ticks


class Touched:
    """Names that the run changed. ``folders`` are moved or removed ones: what is below them is the run's doing."""

    def __init__(self) -> None:
        self._names: set[bytes] = set()
        self._folders: set[bytes] = set()
        self.full = False

    def add(self, path: bytes, *, folder: bool = False) -> None:
        if len(self._names) + len(self._folders) >= _MOST_TOUCHED:
            self.full = True
            return
        (self._folders if folder else self._names).add(path)

    def covers(self, path: bytes) -> bool:
        if path in self._names:
            return True
        return bool(self._folders) and any(path == each or path.startswith(each + b"/") for each in self._folders)


class Look(NamedTuple):
    """``paths`` of files and links that others changed; ``gap``: why the look is not complete, empty when it is."""

    paths: tuple[bytes, ...]
    gap: str


def report(found: Look, contents: Contents | None, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Record what others changed; where it breaks a rule about content, say so too."""
    if found.gap:
        recorder.note("gap", reason="changes of others could not be looked for", detail=found.gap)
    for path in found.paths[:_MOST_NAMED]:
        verdict = contents.external(path) if contents is not None else None
        recorder.external(path, verdict)
        if verdict is not None:
            say(reason(verdict.matches[0], verdict.effect, "changed by somebody else, against the rule: noted"))
    if len(found.paths) > _MOST_NAMED:
        recorder.note("external", op={"more": len(found.paths) - _MOST_NAMED})


def look(tree: bytes, since: int, touched: Touched, ignored: Callable[[bytes], bool]) -> Look:
    """Walk ``tree`` for what changed since ``since`` (ns since the epoch) without the run. ``ignored`` is asked for
    folders and changed files; git's own folders are passed over."""
    if touched.full:
        return Look((), f"the run changed more than {_MOST_TOUCHED} names")
    found: list[bytes] = []
    pending, seen, end = [tree], 0, time.monotonic() + _PATIENCE
    while pending:
        folder = pending.pop()
        if seen > _MOST_SEEN or time.monotonic() > end:
            return Look(tuple(found), f"the tree is too large to be looked through ({seen} names)")
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # removed meanwhile, or not readable: then nobody of this user changed it
        for entry in entries:
            seen += 1
            path = folder + b"/" + entry.name
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                if entry.name != b".git" and not ignored(path):
                    pending.append(path)
            elif info.st_ctime_ns > since + _TICK and not touched.covers(path) and not ignored(path):
                found.append(path)
    return Look(tuple(sorted(found)), "")
