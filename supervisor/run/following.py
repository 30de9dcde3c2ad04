"""The state of the tree, followed while the run goes on: what lay at each path before the run first changed it, and
what each step left there.

A step ends where an act that depends on what was written is judged (a program, a connection, a ref update) and at the
end of the run. A file may be written to after its step, since nobody tells of a close: what was opened lately is looked
at again at each step, all of it at the end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from supervisor.invariants.places import Zone, locate
from supervisor.kernel.leases import has_writer, sees_mappings
from supervisor.trees.looking import look
from supervisor.trees.states import NOTHING, Kept, StateLog, Step
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target

if TYPE_CHECKING:
    from pathlib import Path

    from supervisor.invariants.policy import CompiledPolicy
    from supervisor.run.record import Recorder
    from supervisor.trees.frames import Frames

_MOST_PATHS = 200_000
_MOST_MOVED = 20_000  # names below a folder that is moved
_MOST_OPEN = 32  # files that are looked at again at each step
_LARGEST = 4 << 20  # bytes of a file that is read at a step; a larger one is, at the end
_MOST_READ = 16 << 20  # bytes that one step reads
_WRITING = (FsOp.WRITE, FsOp.CREATE)

_State = tuple[int, ...]


class Following:
    """``contents`` gives the store of the run in ``folder``. Errors: ``StopRun`` where it cannot be written."""

    def __init__(
        self,
        policy: CompiledPolicy,
        folder: Path,
        contents: Callable[[], Frames],
        recorder: Recorder,
    ) -> None:
        self._policy = policy
        self._inside = policy.tree + b"/"
        self._folder = folder
        self._contents = contents
        self._recorder = recorder
        self._log: StateLog | None = None
        self._known: dict[bytes, tuple[Kept, _State]] = {}
        self._dirty: dict[bytes, None] = {}
        self._open: dict[bytes, int] = {}  # how often it was found unchanged
        self._unsure: set[bytes] = set()  # somebody had it open when it was looked at last
        self._moved: list[bytes] = []
        self._steps = 0
        self._upto = 0
        self._full = False

    # -- while it runs ------------------------------------------------------------------------------------------

    def before(self, event: FsEvent) -> None:
        """An act is going to change these paths."""
        self._moved = []
        if event.op is FsOp.READ:
            return
        for path in self._paths(event):
            if path not in self._known:
                self._keep(path)

    def landed(self, event: FsEvent) -> None:
        """It was done."""
        if event.op is FsOp.READ:
            return
        for target in (event.target, event.other):
            if target is not None and target.path in self._known:
                self._dirty[target.path] = None
        self._dirty.update(dict.fromkeys(self._moved))
        self._moved = []
        if event.op in _WRITING and event.target.path in self._known and event.makes is Kind.FILE:
            self._open.pop(event.target.path, None)
            self._open[event.target.path] = 0
            if len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]

    def put_back(self, path: bytes) -> None:
        """Govrun itself is going to change, or has changed, what lies there."""
        if path.startswith(self._inside) and path not in self._known and self._is_governed(path):
            self._keep(path)
        if path in self._known:
            self._dirty[path] = None

    def settle(self) -> None:
        """A step ends here."""
        if self._dirty or self._open:
            self._step(dict.fromkeys((*self._dirty, *self._open)), final=False)

    def over(self, theirs: Callable[[bytes], bool]) -> None:
        """Nobody of the run is left. ``theirs``: whether somebody else has changed what lies at a path since."""
        try:
            self._step([path for path in self._known if not theirs(path)], final=True)
        except StopRun as error:  # there is nothing left to stop
            self._gap("the last state of the tree could not be kept", error.why)
        if self._log is not None:
            self._log.close()

    # -- what is kept -------------------------------------------------------------------------------------------

    def _paths(self, event: FsEvent) -> Iterator[bytes]:
        """All whose state the act changes: names, what a moved folder holds under both its names, and the folders that
        list them."""
        moves = event.op is FsOp.RENAME
        # What gets a second name can be written to by that, also where nothing is followed.
        ends = [target for target in (event.target, event.other) if target is not None]
        # What comes from an ignored place, or goes to one, is there and nowhere else.
        followed = moves and any(map(self._is_ours, ends))
        for target in ends:
            if not self._is_ours(target, followed=followed):
                continue
            yield target.path
            # Also where no name changes: putting the file back will, and what has several names gets one of its own.
            yield target.path.rpartition(b"/")[0]
        if followed and event.other is not None:
            yield from self._beneath(event.target, event.other)
            if event.exchange:
                yield from self._beneath(event.other, event.target)

    def _beneath(self, source: Target, to: Target) -> Iterator[bytes]:
        if source.kind is not Kind.DIR:
            return
        names, ends = 0, (source, to)
        for folder, folders, files in os.walk(source.path):
            below = folder[len(source.path) :]
            for name in (*folders, *files):
                names += 1
                if names > _MOST_MOVED:
                    self._gap("not every file of a moved folder is followed", os.fsdecode(source.path))
                    return
                moved = [end.path + below + b"/" + name for end in ends if self._is_ours(end, followed=True)]
                self._moved += moved
                yield from moved

    def _is_ours(self, target: Target, *, followed: bool = False) -> bool:
        return (
            (followed or not target.ignored) and target.path.startswith(self._inside) and self._is_governed(target.path)
        )

    def _is_governed(self, path: bytes) -> bool:
        return locate(self._policy, path).zone is Zone.TREE

    def _keep(self, path: bytes) -> None:
        if len(self._known) >= _MOST_PATHS:
            if not self._full:
                self._full = True
                self._gap("not every path is followed", f"the run changes more than {_MOST_PATHS}")
            return
        if self._log is None:
            self._log = StateLog(self._folder)
        state = _state(path)
        kept = look(path, self._contents())
        self._log.before(path, kept, self._recorder.seq)
        self._known[path] = kept, state

    def _gap(self, why: str, more: str) -> None:
        self._recorder.note("gap", reason=why, detail=more)

    # -- steps --------------------------------------------------------------------------------------------------

    def _step(self, paths: Iterable[bytes], *, final: bool) -> None:
        changes: dict[bytes, Kept] = {}
        left = _MOST_READ
        for path in paths:
            was, before = self._known[path]
            state = _state(path)
            if final and state and path in self._unsure:
                before = ()
            size = state[4] if state and stat.S_ISREG(state[2]) else 0
            if state != before and not final and (size > _LARGEST or left < 0):
                continue  # it stays what is to be looked at
            self._dirty.pop(path, None)
            if state == before:
                self._rest(path)
                continue
            left -= size
            if not final and state and stat.S_ISREG(state[2]) and _may_change(path):
                self._unsure.add(path)
            now = self._look(path, final=final) if state else NOTHING
            self._known[path] = now, state
            if path in self._open:
                self._open[path] = 0
            if not now.same_as(was):
                changes[path] = now
        if changes and self._log is not None:
            self._steps += 1
            self._log.step(Step(self._steps, self._upto + 1, self._recorder.seq, changes))
            self._upto = self._recorder.seq

    def _look(self, path: bytes, *, final: bool) -> Kept:
        try:
            return look(path, self._contents())
        except StopRun as error:
            if not final:
                raise
            # Without what the run left here, an undo would take it for somebody else's.
            return look(path, None)._replace(unkept=error.why)

    def _rest(self, path: bytes) -> None:
        """Twice nothing new: whoever opened it has most likely closed it."""
        if path in self._open:
            self._open[path] += 1
            if self._open[path] > 1:
                del self._open[path]


def _state(path: bytes) -> _State:
    """By what most files are known to be as they were. A mapping can be written to without any of it changing at once
    (mmap(2)), so the kernel may tell of that later."""
    try:
        info = os.lstat(path)
    except OSError:
        return ()
    return info.st_dev, info.st_ino, info.st_mode, info.st_uid, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _may_change(path: bytes) -> bool:
    """Whether it can be written to from now on without an open: what was mapped once changes no time any more (mmap(2):
    a page that is written to already gives no fault)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return has_writer(fd) is not False or not sees_mappings(fd)
    finally:
        os.close(fd)
