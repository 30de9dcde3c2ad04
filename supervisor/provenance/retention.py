"""What the state folder keeps of runs that are over: contents go after ``DAYS`` days, or earlier, the oldest first,
where all of them together exceed ``BYTES``. Journals, notes and records stay.

What was dropped is said: ``meta.json`` of the run has ``dropped`` (``states_dropped``, where it was the repository of
its tree's states), which ``show`` and ``lineage`` tell.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from supervisor.git.history import History, claimed, folder_of
from supervisor.journal.reader import is_live
from supervisor.journal.store import list_runs, read_meta, update_meta
from supervisor.provenance.progress import is_owing
from supervisor.trees.frames import FRAMES, LARGE
from supervisor.trees.states import STATES
from supervisor.vocabulary.errors import GovrunError

DAYS, BYTES = 90, 2 << 30
_TREE_BYTES = 512 << 20  # of the states of one tree; the next run begins them anew
_MARK = "retention"
_EVERY = 86_400.0  # seconds
_MOMENT = 2.0
_PATIENCE = 0.2  # seconds for another run that works on the states of a tree
_CONTENTS = (FRAMES, "accepted.jsonl", STATES, LARGE, "quarantine")


class Kept(NamedTuple):
    """The contents that a run has kept. ``ended``: seconds since the epoch."""

    folder: Path
    tree: str
    ended: float
    size: int


def prune_daily(state: Path) -> list[str]:
    """``prune``, unless it was done within a day. Never raises: nothing depends on it. Whoever waits for the end of a
    run waits for this: what is not done in a moment is for the next run."""
    mark, until = state / _MARK, time.monotonic() + _MOMENT
    try:
        if time.time() - mark.stat().st_mtime < _EVERY:
            return []
    except OSError:
        pass  # never yet
    try:
        found = prune(state, time.time(), until=until)
        if time.monotonic() < until:
            mark.write_text("")
        return found
    except (OSError, GovrunError):
        return []


def prune(state: Path, now: float, *, days: int = DAYS, most: int = BYTES, until: float = float("inf")) -> list[str]:
    """Drop what is too old or too much, but nothing of the newest run of a tree; the runs of which something went.
    ``until``: when to stop, as ``time.monotonic`` counts. OSError, ``GovrunError``."""
    found = sorted(_kept(state), key=lambda each: each.folder.name)
    newest = {each.tree: each.folder for each in found}
    total = sum(each.size for each in found)
    dropped: list[Kept] = []
    for each in found:
        if (each.ended > now - days * 86_400 and total <= most) or newest[each.tree] == each.folder:
            continue
        if time.monotonic() >= until:
            break
        _drop(each)
        total -= each.size
        dropped.append(each)
    _forget(state, dropped)
    _begin_anew(state, newest)
    return [each.folder.name for each in dropped]


def _kept(state: Path) -> Iterator[Kept]:
    for run in list_runs(state):
        folder = state / "runs" / run
        size = sum(_size(folder / name) for name in _CONTENTS)
        meta = read_meta(folder)
        if not size or is_live(folder) or not isinstance(meta.get("end"), dict) or is_owing(folder, meta):
            continue  # what goes on, or is still to be recovered, needs it
        try:
            yield Kept(folder, str(meta.get("tree", "")), (folder / "meta.json").stat().st_mtime, size)
        except OSError:
            continue  # removed meanwhile


def _drop(kept: Kept) -> None:
    _say(kept.folder, "dropped", kept.size)  # first said, then done: what is half gone is not taken for whole
    for name in _CONTENTS:
        path = kept.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _say(folder: Path, what: str, size: int) -> None:
    """In ``meta.json``, whose time is that of the run's end."""
    before = (folder / "meta.json").stat()
    update_meta(folder, **{what: {"bytes": size, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}})
    os.utime(folder / "meta.json", ns=(before.st_atime_ns, before.st_mtime_ns))


def _forget(state: Path, dropped: list[Kept]) -> None:
    """Their states in the repositories of the trees."""
    by_tree: dict[Path, list[str]] = {}
    for each in dropped:
        by_tree.setdefault(folder_of(state, each.tree), []).append(each.folder.name)
    for place, runs in by_tree.items():
        if (place / "states.git").is_dir():
            with suppress(GovrunError), claimed(place, _PATIENCE):
                History(place, None).forget(runs)


def _begin_anew(state: Path, newest: Mapping[str, Path]) -> None:
    """A repository of states that has grown too large goes whole, and the newest run of its tree says so."""
    told = {folder_of(state, tree): folder for tree, folder in newest.items()}
    for place in (state / "trees").glob("*"):
        if (size := _size(place / "states.git")) <= _TREE_BYTES:
            continue
        with suppress(GovrunError), claimed(place, _PATIENCE):
            if place in told:
                _say(told[place], "states_dropped", size)
            shutil.rmtree(place / "states.git", ignore_errors=True)


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 where nothing is."""
    try:
        if not path.is_dir():
            return path.lstat().st_size
        return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(path) for name in names)
    except OSError:
        return 0
