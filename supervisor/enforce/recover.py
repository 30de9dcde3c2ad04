"""After a kill: what a revert had begun is brought to one of its two ends."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from supervisor.enforce import staging
from supervisor.enforce.exchange import finish
from supervisor.enforce.quarantine import Quarantine, discard
from supervisor.enforce.staging import Intent, Spot
from supervisor.kernel import libc


def recover(folder: Path) -> list[str]:
    """After a run was killed: finish what ``<folder>/staging`` had begun and complete the quarantine's index.

    Every path holds its accepted or its rejected version afterwards, nothing of ours is left beside it, and what was
    displaced is in quarantine. May be run again, and killed. Returns one line per thing it did; an operation that
    cannot be finished (its file system is gone, say) is told, too, and stays. Raises ``OSError`` when the folder itself
    cannot be used. Nobody else may be working in it.
    """
    at, rejected = staging.folders(folder)
    if not at.is_dir():
        return []
    told: list[str] = []
    quarantine = Quarantine(rejected)
    descriptor = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        intents = _pending(at)
        unfinished: set[bytes] = set()
        for intent in intents:
            try:
                how = _finish_one(intent, descriptor, quarantine)
            except OSError as error:
                unfinished.add(os.path.basename(intent.at))
                told.append(f"{_shown(intent.path)}: not finished: {error.strerror}")
            else:
                told += [f"{_shown(intent.path)}: {how}"] if how != "nothing" else []
        paths = {each.out[:2]: each.path for each in intents if each.out is not None}
        paths |= {each.own[:2]: each.path for each in intents if each.own is not None}
        quarantine.reindex(paths)
        for name in os.listdir(descriptor):
            raw = os.fsencode(name)
            # Without an intent it was being built when the kill came.
            if raw.startswith(staging.TEMPORARY) and raw not in unfinished:
                discard(Spot(descriptor, raw, b""))
        if not unfinished and (at / staging.INTENTS).exists():
            os.truncate(at / staging.INTENTS, 0)
    finally:
        os.close(descriptor)
        quarantine.close()
    return told


def _pending(folder: Path) -> list[Intent]:
    try:
        descriptor = os.open(folder / staging.INTENTS, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    try:
        return staging.read_intents(descriptor)
    finally:
        os.close(descriptor)


def _finish_one(intent: Intent, folder: int, quarantine: Quarantine) -> str:
    with contextlib.ExitStack() as opened:
        # By its name first: the state folder may have been moved since, and the name is like no other.
        staged: Spot | None = Spot(folder, os.path.basename(intent.at), intent.at)
        if staged is not None and staged.look() is None:
            staged = _reach(intent.at, opened)
        if staged is None:
            return "nothing"
        try:
            target = _reach(intent.path, opened)
        except OSError:
            target = None  # a link on the way, say: what was displaced is kept all the same
        return finish(intent, staged, target, quarantine)


def _reach(path: bytes, opened: contextlib.ExitStack) -> Spot | None:
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        folder = libc.openat2(libc.AT_FDCWD, os.path.dirname(path), flags, 0, libc.RESOLVE_NO_SYMLINKS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    opened.callback(os.close, folder)
    return Spot(folder, os.path.basename(path), path)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
