"""What the state folder keeps of runs that are over: contents go after ``DAYS`` days, or earlier, the oldest first,
where all of them together exceed ``BYTES``. Journals, notes and records stay.

What was dropped is said: ``meta.json`` of the run has ``dropped``, which ``runs`` and ``show`` tell.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from supervisor.git.history import History, claimed, folder_of
from supervisor.journal.reader import is_live
from supervisor.journal.store import list_runs, read_meta, update_meta
from supervisor.trees.frames import FRAMES, LARGE
from supervisor.trees.states import STATES
from supervisor.vocabulary.errors import GovrunError

DAYS, BYTES = 90, 2 << 30
_TREE_BYTES = 512 << 20  # of the states of one tree; the next run begins them anew
_MARK = "retention"
_EVERY = 86_400.0  # seconds
_CONTENTS = (FRAMES, "accepted.jsonl", STATES, LARGE, "quarantine")


class Kept(NamedTuple):
    """The contents that a run has kept. ``ended``: seconds since the epoch."""

    folder: Path
    ended: float
    size: int


def prune_daily(state: Path) -> list[str]:
    """``prune``, unless it was done within a day. Never raises: nothing depends on it."""
    mark = state / _MARK
    try:
        if time.time() - mark.stat().st_mtime < _EVERY:
            return []
    except OSError:
        pass  # never yet
    try:
        mark.write_text("")
        return prune(state, time.time())
    except (OSError, GovrunError):
        return []


def prune(state: Path, now: float, *, days: int = DAYS, most: int = BYTES) -> list[str]:
    """Drop what is too old or too much; the runs of which something went. OSError, ``GovrunError``."""
    found = sorted(_kept(state), key=lambda each: each.folder.name)
    total = sum(each.size for each in found)
    dropped: list[Kept] = []
    for each in found:
        if each.ended > now - days * 86_400 and total <= most:
            continue
        _drop(each)
        total -= each.size
        dropped.append(each)
    _forget(state, [each.folder for each in dropped])
    return [each.folder.name for each in dropped]


def _kept(state: Path) -> Iterator[Kept]:
    for run in list_runs(state):
        folder = state / "runs" / run
        size = sum(_size(folder / name) for name in _CONTENTS)
        if not size or is_live(folder) or not isinstance(read_meta(folder).get("end"), dict):
            continue  # what goes on, or is still to be recovered, needs it
        try:
            yield Kept(folder, (folder / "meta.json").stat().st_mtime, size)
        except OSError:
            continue  # removed meanwhile


def _drop(kept: Kept) -> None:
    # First said, then done: what is half gone is not taken for whole.
    told = {"bytes": kept.size, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    modified = kept.folder.joinpath("meta.json").stat()
    update_meta(kept.folder, dropped=told)
    os.utime(kept.folder / "meta.json", ns=(modified.st_atime_ns, modified.st_mtime_ns))
    for name in _CONTENTS:
        path = kept.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _forget(state: Path, folders: list[Path]) -> None:
    """Their states in the repositories of the trees; one that has grown too large goes whole."""
    by_tree: dict[Path, list[str]] = {}
    for folder in folders:
        if isinstance(tree := read_meta(folder).get("tree"), str):
            by_tree.setdefault(folder_of(state, tree), []).append(folder.name)
    for place, runs in by_tree.items():
        if (place / "states.git").is_dir():
            with claimed(place):
                History(place, None).forget(runs)
    for place in (state / "trees").glob("*"):
        if _size(place / "states.git") > _TREE_BYTES:
            with claimed(place):
                shutil.rmtree(place / "states.git", ignore_errors=True)


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 where nothing is."""
    try:
        if not path.is_dir():
            return path.lstat().st_size
        return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(path) for name in names)
    except OSError:
        return 0
