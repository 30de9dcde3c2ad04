"""What an agent remembers, version by version: each change of a declared file is a record with digests.

A file is looked at before the run opens, moves or removes it, and once more when a name has changed. While somebody may
still write to it, it is looked at before each act that is judged, when it is opened again, and at the end. So one open
file is one change, or more where other acts came in between.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from supervisor.invariants.lineage import is_state
from supervisor.invariants.policy import CompiledPolicy
from supervisor.vocabulary.events import Actor, FsEvent, FsOp

ABSENT = ""
_MOST_KNOWN = 4096  # names
_MOST_OPEN = 64  # files that are looked at before each act
_LARGEST = 16 << 20  # bytes; a larger file is known by its size and times
_MOST_READ = 32 << 20  # bytes that one settling reads
_MOST_AT_END = 1 << 30
_CHUNK = 1 << 20

Record = Callable[[bytes, Actor | None, str, str], None]
Gap = Callable[[str, str], None]


class _Look(NamedTuple):
    """``state``: inode, size and times, by which most files are known to be as they were."""

    digest: str
    state: tuple[int, ...] = ()


class Lineage:
    """``record`` takes path, actor, digest before and after (``ABSENT``: nothing); ``gap`` a reason and its detail."""

    def __init__(self, policy: CompiledPolicy, record: Record, gap: Gap) -> None:
        self._policy = policy
        self._record = record
        self._gap = gap
        self._known: dict[bytes, _Look] = {}
        self._actors: dict[bytes, Actor] = {}
        self._open: dict[bytes, None] = {}
        self._said = False

    def before(self, event: FsEvent) -> None:
        """An act is going to be done."""
        if event.op in (FsOp.READ, FsOp.META):
            return
        for path in self._names(event):
            if path in self._known:
                self._look(path)  # what was written until now is a change of its own
            elif len(self._known) < _MOST_KNOWN:
                self._known[path] = _look(path)
            elif not self._said:
                self._said = True
                self._gap("not every file of the agent's state is followed", f"there are more than {_MOST_KNOWN}")

    def landed(self, event: FsEvent) -> None:
        """The act was done."""
        if event.op in (FsOp.READ, FsOp.META):
            return
        for path in self._names(event):
            if path not in self._known:
                continue
            self._actors[path] = event.actor
            if event.op in (FsOp.WRITE, FsOp.CREATE):
                self._open.pop(path, None)
                self._open[path] = None
                if len(self._open) > _MOST_OPEN:
                    oldest = next(iter(self._open))
                    del self._open[oldest]
                    self._look(oldest)
            else:
                self._look(path)

    def settle(self) -> None:
        """An act is going to be judged: what was written by now."""
        self._all(self._open, _MOST_READ, final=False)

    def over(self) -> None:
        """Nobody of the run is left. A mapping may have been written to after times were set: they are no proof."""
        if not self._all(self._actors, _MOST_AT_END, final=True):
            self._gap("not every file of the agent's state was looked at in the end", f"more than {_MOST_AT_END} bytes")

    def _all(self, paths: Iterable[bytes], most: int, *, final: bool) -> bool:
        """Look at each, up to so many bytes; the rest the next time. False: there is a rest."""
        left = most
        for path in list(paths):
            if left < 0:
                return False
            state = _state(path)
            if final or not state or state[2]:  # empty: cut by a shell for a command that has not written yet
                left -= self._look(path, sure=final)
        return True

    def _names(self, event: FsEvent) -> Iterator[bytes]:
        for target, beneath in ((event.target, event.beneath), (event.other, event.beneath_other)):
            if target is None:
                continue
            yield from (path for path in (target.path,) if is_state(self._policy, path))
            # What a moved folder holds lies below its old name, and then below the new one.
            ends = (event.target.path, event.other.path) if event.other is not None else (target.path,)
            for relative in beneath or ():
                yield from (path for end in ends if is_state(self._policy, path := end + b"/" + relative))

    def _look(self, path: bytes, *, sure: bool = False) -> int:
        """Compare with what was there; how many bytes had to be read for it."""
        was = self._known[path]
        if not sure and was.state and _state(path) == was.state:
            return 0
        now = self._known[path] = _look(path)
        if now.digest != was.digest:
            self._record(path, self._actors.get(path), was.digest, now.digest)
        return min(now.state[2], _LARGEST) if now.state else 0


def _state(path: bytes) -> tuple[int, ...]:
    try:
        info = os.lstat(path)
    except OSError:
        return ()
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _look(path: bytes) -> _Look:
    """What lies at the path now: a digest of a file's bytes, or of where a link leads."""
    state = _state(path)
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return _Look("link:sha256:" + hashlib.sha256(os.readlink(path)).hexdigest(), state)
        if not stat.S_ISREG(info.st_mode):
            return _Look(ABSENT, state)
        if info.st_size > _LARGEST:
            return _Look(f"large:{info.st_size}:{info.st_mtime_ns}", state)
        return _Look("sha256:" + _digest(path), state)
    except OSError:
        return _Look(ABSENT, ())


def _digest(path: bytes) -> str:
    """Of the first ``_LARGEST`` bytes: it may grow while it is read. OSError."""
    found, left = hashlib.sha256(), _LARGEST
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError
        while left > 0 and (chunk := os.read(fd, min(left, _CHUNK))):
            found.update(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    return found.hexdigest()
