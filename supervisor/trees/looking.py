"""What lies at a path now: kept so that it can be put there again, or only looked at."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from supervisor.kernel import libc
from supervisor.trees.frames import LARGEST_FRAME, Frames, Unkept, attributes, link_at
from supervisor.trees.states import NOTHING, Kept, StateLog, Step, read_states
from supervisor.vocabulary.events import Kind

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_CHUNK = 1 << 20


def look(path: bytes, store: Frames | None) -> Kept:
    """Keep what is at ``path``, nothing included; ``unkept`` says why its content could not be. Without a ``store`` it
    is not kept, but has its digest where a kept one has. Raises ``StopRun`` where the store cannot be written."""
    try:
        # Through no link: what lies behind one has another path.
        fd = libc.openat2(libc.AT_FDCWD, path, os.O_PATH | os.O_NOFOLLOW, 0, libc.RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno in _GONE:
            return NOTHING
        return NOTHING._replace(unkept=f"it cannot be opened: {error.strerror}")
    try:
        info = os.fstat(fd)
        inode = (info.st_dev, info.st_ino, info.st_nlink)
        if stat.S_ISLNK(info.st_mode):
            return Kept(link_at(fd), inode=inode)
        if stat.S_ISREG(info.st_mode):
            return _file(fd, info, store)._replace(inode=inode)
        found = attributes(fd, info)
        special = found.kind not in (Kind.DIR, Kind.FIFO, Kind.SOCKET)
        return Kept(found, "a device cannot be made again" if special else "", inode)
    finally:
        os.close(fd)


def complete(folder: Path, seq: int) -> int:
    """After a kill: what the run in ``folder`` has changed since its last step, up to record ``seq``, is a step too.
    Returns how many paths. Nobody may be writing there. Raises ``StopRun``."""
    states = read_states(folder)
    if not states.before:
        return 0
    store, log = Frames(folder), StateLog(folder)
    try:
        found = {path: (left, look(path, store)) for path, left in states.at(None).items()}
        changes = {path: now for path, (left, now) in found.items() if not now.same_as(left)}
        if changes:
            since = states.steps[-1].upto + 1 if states.steps else 1
            log.step(Step(len(states.steps) + 1, since, max(since, seq), changes, "crash"))
        return len(changes)
    finally:
        log.close()
        store.close()


def _file(pinned: int, info: os.stat_result, store: Frames | None) -> Kept:
    try:
        fd = os.open(b"/proc/self/fd/%d" % pinned, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Kept(attributes(pinned, info)._replace(size=info.st_size), f"it cannot be read: {error.strerror}")
    try:
        if store is None:
            digest = _digest(fd, info.st_size) if info.st_size <= LARGEST_FRAME else ""
            return Kept(attributes(fd, info)._replace(size=info.st_size, sha1=digest))
        return Kept(store.take(fd))
    except Unkept as error:
        return Kept(attributes(fd, info)._replace(size=info.st_size), str(error))
    except OSError as error:
        return Kept(attributes(fd, info)._replace(size=info.st_size), f"it cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def _digest(fd: int, size: int) -> str:
    """The name that git gives the content (``Version.sha1``), empty when it changed size meanwhile. OSError."""
    found, done = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), 0
    while piece := os.pread(fd, _CHUNK, done):
        found.update(piece)
        done += len(piece)
    return found.hexdigest() if done == size else ""
