"""What somebody else changed in the tree while the run went on: theirs, never reverted, but seen.

No watch and no snapshot: a look at each name before the run changes it, and one walk at the end, at inodes whose status
changed after the start (ctime, which nobody sets). At a name where the run did nothing that is *external*. At a name
where it did something, what is there by now is compared with what the run left: another inode, nothing, something
again, or other content than when its last writer had closed is a *divergence*: nothing that was recorded explains it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from supervisor.enforce.explain import noted
from supervisor.run.record import Recorder
from supervisor.surfaces.reading import identity_of
from supervisor.vocabulary.events import FsEvent, FsOp, GitConfigEvent, Kind, Target
from supervisor.vocabulary.versions import Identity

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy
    from supervisor.run.authored import Authored
    from supervisor.run.contents import Contents
    from supervisor.run.following import Following
    from supervisor.run.injection import Injection
    from supervisor.run.lineage import Lineage

_Inode = tuple[int, int]

_MOST_TOUCHED = 200_000
_MOST_SEEN = 200_000  # names that one walk looks at
_MOST_NAMED = 1000
_PATIENCE = 3.0  # seconds for the walk
_TICK = 20_000_000  # nanoseconds: ctime comes from a clock that stands still between timer ticks
_REMOVED = "entries of this folder were removed"


class Change(NamedTuple):
    """``why`` is empty for an external change, else the divergence or what can be said of a folder."""

    path: bytes
    why: str = ""
    diverges: bool = False


class Touched:
    """Names that the run changed, with the inode it left there (None: nothing). What lies below a folder that was moved
    as a whole, or at a name that govrun itself put back, is not compared. ``sealed``: files that nobody of the run can
    write to any more, as they were then. ``since``: the start, in ns since the epoch. ``given``: files that were
    handed in as standard output or error. ``following`` follows the tree's state; ``authored`` and
    ``lineage`` what the run does anywhere, ``injection`` knows what it began with, where the policy asks for that."""

    def __init__(self, since: int, given: Collection[_Inode] = (), following: Following | None = None) -> None:
        self.authored: Authored | None = None
        self.lineage: Lineage | None = None
        self.following = following
        self.followed = False
        self.injection: Injection | None = None
        self.since = since + _TICK
        self._given = given
        self.names: dict[bytes, _Inode | None] = {}
        self._busy: set[bytes] = set()  # folders in which names came or went
        self._whole: set[bytes] = set()
        self._sealed: dict[_Inode, Identity] = {}
        self._told: dict[bytes, Identity] = {}
        self._shared: set[_Inode] = set()  # with other names, whose ctime moves with one that is changed or goes
        self.full = False

    def follow(self, policy: CompiledPolicy, recorder: Recorder, start: Mapping[str, str]) -> Touched:
        """Itself, with all that the policy asks for. ``start``: the environment that the run begins with."""
        self.followed = bool((policy.tools and policy.tools.executables is not None) or policy.remembered)
        if policy.injection:
            from supervisor.run.injection import Injection

            self.injection = Injection(start)
        if policy.tools and policy.tools.executables is not None:
            from supervisor.run.authored import Authored

            self.authored = Authored(self._given)
        if policy.remembered:
            from supervisor.run.lineage import Lineage

            self.lineage = Lineage(policy, recorder.lineage, lambda why, more: _gap(recorder, why, more))
        return self

    def over(self) -> None:
        """Nobody of the run is left."""
        if self.lineage is not None:
            self.lineage.over()
        if self.following is not None:
            self.following.over(lambda path: path in self.names and bool(self.differs(path, _stat(path))))

    def going_to(self, event: FsEvent) -> None:
        """The run is going to do this: what it changes is looked at, and kept."""
        if self.lineage is not None:
            self.lineage.before(event)
        if self.following is not None:
            self.following.before(event)

    def settle(self) -> None:
        """An act is going to be judged: what was written by now is a state of its own."""
        if self.lineage is not None:
            self.lineage.settle()
        if self.following is not None:
            self.following.settle()

    def add(self, target: Target, *, folder: bool = False) -> None:
        """The run has just done something at the name; ``folder``: a folder was moved there or away."""
        path = target.path
        self._sealed.pop((target.dev, target.ino), None)  # its ctime moved (link, rename, attributes), or will (write)
        if self.full:
            return
        if target.nlink > 1:
            self._shared.add((target.dev, target.ino))
        self._busy.add(path.rpartition(b"/")[0])
        if target.ignored or b"/.git/" in path:
            return
        if folder:
            self._whole.add(path)
        self.names[path] = _inode(path)
        self.full = len(self.names) + len(self._whole) + len(self._busy) > _MOST_TOUCHED

    def before(self, target: Target) -> Change | None:
        """What somebody else did at a name that the run is going to change."""
        path = target.path
        if self.full:
            return None  # a name of the run's own might be missing, and must not be taken for somebody else's
        if target.kind not in (Kind.FILE, Kind.LINK) or target.ignored or b"/.git/" in path:
            return None
        info = _stat(path)
        if info is None or info.st_ctime_ns <= self.since or self.covers(path):
            return None
        return self.change(path, info)

    def change(self, path: bytes, info: os.stat_result) -> Change | None:
        """What the state of a file or link means; each state is told once."""
        if (info.st_dev, info.st_ino) in self._given:
            return None
        if (info.st_dev, info.st_ino) in self._shared and info.st_mtime_ns <= self.since:
            return None
        why = self.differs(path, info) if path in self.names else ""
        state = identity_of(info)
        if (path in self.names and not why) or self._told.get(path) == state:
            return None
        self._told[path] = state
        return Change(path, why, diverges=bool(why))

    def put_back(self, path: bytes) -> None:
        """Govrun itself did something there."""
        if self.authored is not None:
            self.authored.put_back(path)
        if self.following is not None:
            self.following.put_back(path)
        self._whole.add(path)
        self._busy.add(path.rpartition(b"/")[0])

    def seal(self, identity: Identity) -> None:
        """Nobody of the run can write to the file any more."""
        if len(self._sealed) < _MOST_TOUCHED:
            self._sealed[identity.dev, identity.ino] = identity

    def is_after(self, path: bytes) -> bool:
        """Whether what lies there was changed since the start, by whomever."""
        info = _stat(path)
        return info is not None and info.st_ctime_ns > self.since - 2 * _TICK

    def covers(self, path: bytes) -> bool:
        """Whether a folder that the run moved, or that was put back, is or holds ``path``."""
        while self._whole and path:
            if path in self._whole:
                return True
            path = path.rpartition(b"/")[0]
        return False

    def is_busy(self, folder: bytes) -> bool:
        """Whether the run, or govrun, made ``folder`` or changed its attributes, or added or removed names in it."""
        return folder in self._busy or folder in self.names

    def differs(self, path: bytes, info: os.stat_result | None) -> str:
        """How what is at a touched name (``info``, None: nothing) differs from what the run left, empty when not."""
        left = self.names[path]
        if info is None:
            return "" if left is None else "what the run left here is gone"
        if (info.st_dev, info.st_ino) != left:
            return "the run removed this name" if left is None else "not the file that the run left here"
        was = self._sealed.get(left)
        now = identity_of(info)
        return "" if was is None or was == now else "it changed after the last writer of the run had closed it"


class Look(NamedTuple):
    """What others changed; ``gap``: why the look is not complete, empty when it is."""

    changes: tuple[Change, ...]
    gap: str


def report(change: Change, contents: Contents | None, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Record what somebody else changed; where it breaks a rule about content, say so too."""
    recorder.counts.divergence += change.diverges
    recorder.counts.external += not change.diverges
    verdict = contents.external(change.path) if contents is not None else None
    recorder.external(change.path, verdict, change.why, diverges=change.diverges)
    if verdict is not None:
        say(noted(verdict.matches[0], change.path, diverges=change.diverges))


def note_theirs(
    event: FsEvent,
    inside: bytes,
    touched: Touched,
    contents: Contents | None,
    recorder: Recorder,
    say: Callable[[str], None],
) -> None:
    """What somebody else changed where the run is going to (``inside``: the tree and a slash): it cannot be told apart
    later. In a folder that moves as a whole that is what is judged by its content."""
    touched.going_to(event)
    targets = [event.target] if event.other is None else [event.target, event.other]
    if contents is not None:
        paths = [event.target.path + b"/" + each for each in event.beneath or ()]
        if event.other is not None:
            paths += [event.other.path + b"/" + each for each in event.beneath_other or ()]
        targets += [Target(path, Kind.FILE) for path in paths if contents.kind(path) is not None]
    for target in targets:
        change = touched.before(target) if target.path.startswith(inside) else None
        if change is not None:
            report(change, contents, recorder, say)


def note_touched(event: FsEvent | GitConfigEvent, inside: bytes, touched: Touched) -> None:
    """The names that an act has just changed."""
    if touched.following is not None and isinstance(event, FsEvent):
        touched.following.landed(event)
    if touched.followed and isinstance(event, FsEvent):
        for follows in (touched.authored, touched.lineage):
            if follows is not None:
                follows.landed(event)
    targets = [event.target]
    if isinstance(event, GitConfigEvent):
        targets.append(event.source)
    else:
        targets += [Target(path, Kind.FILE) for path, _ in event.settled]
        targets += [event.other] if event.other is not None else []
    moved = isinstance(event, FsEvent) and event.op is FsOp.RENAME and event.makes is Kind.DIR
    for target in targets:
        if target.path.startswith(inside):
            touched.add(target, folder=moved)


def _gap(recorder: Recorder, why: str, more: str) -> None:
    recorder.note("gap", reason=why, detail=more)


def report_all(found: Look, contents: Contents | None, recorder: Recorder, say: Callable[[str], None]) -> None:
    """``report`` for each, within bounds."""
    if found.gap:
        recorder.note("gap", reason="changes of others could not be looked for", detail=found.gap)
    for change in found.changes[:_MOST_NAMED]:
        report(change, contents, recorder, say)
    if len(found.changes) > _MOST_NAMED:
        recorder.note("external", more=len(found.changes) - _MOST_NAMED)


def look(tree: bytes, touched: Touched, ignored: Callable[[bytes], bool]) -> Look:
    """Walk ``tree`` for what changed since the start without the run. ``ignored`` is asked for folders and changed
    files; git's own folders are passed over."""
    if touched.full:
        return Look((), f"the run changed more than {_MOST_TOUCHED} names")
    walk = _Walk(touched, ignored)
    gap = walk.through(tree)
    return Look(tuple(sorted(walk.found + _gone(touched, walk.seen))), gap)


def _gone(touched: Touched, seen: set[bytes]) -> list[Change]:
    """Touched names at which the walk found nothing that had changed."""
    found = []
    for path, left in touched.names.items():
        if left is None or path in seen or touched.covers(path):
            continue
        why = touched.differs(path, _stat(path))
        if why:
            found.append(Change(path, why, diverges=True))
    return found


class _Walk:
    def __init__(self, touched: Touched, ignored: Callable[[bytes], bool]) -> None:
        self._since = touched.since
        self._touched = touched
        self._ignored = ignored
        self.found: list[Change] = []
        self.seen: set[bytes] = set()  # names that were compared

    def through(self, tree: bytes) -> str:
        """Why it could not see everything, empty when it did."""
        pending, count, end = [tree], 0, time.monotonic() + _PATIENCE
        while pending:
            folder = pending.pop()
            if count > _MOST_SEEN or time.monotonic() > end:
                return f"the tree is too large to be looked through ({count} names)"
            try:
                entries = list(os.scandir(folder))
                changed_at = os.stat(folder).st_mtime_ns
            except OSError:
                continue  # removed meanwhile, or not readable: then nobody of this user changed it
            count += len(entries)
            fresh = [self._entry(entry, pending) for entry in entries]
            lost = changed_at > self._since and not any(fresh) and not self._touched.is_busy(folder)
            if lost and not self._touched.covers(folder):
                self.found.append(Change(folder, _REMOVED))
        return ""

    def _entry(self, entry: os.DirEntry[bytes], pending: list[bytes]) -> bool:
        """Look at one name. True when it can be what the time of its folder comes from."""
        path = entry.path
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            return True
        changed = info.st_ctime_ns > self._since
        if stat.S_ISDIR(info.st_mode):
            if entry.name != b".git" and not self._ignored(path):
                pending.append(path)
        elif changed and not self._ignored(path):
            self._file(path, info)
        return changed

    def _file(self, path: bytes, info: os.stat_result) -> None:
        self.seen.add(path)
        change = None if self._touched.covers(path) else self._touched.change(path, info)
        if change is not None:
            self.found.append(change)


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _inode(path: bytes) -> _Inode | None:
    found = _stat(path)
    return None if found is None else (found.st_dev, found.st_ino)
