"""Undoing what a run has changed: every path as it was before, if it is still as the run left it.

What the run made in place of something else is taken away first, from below; then folders are made, files and links
put back, the rest is taken away, and at last the folders get their times. Each path is one step of ``Reverter``, so a
kill leaves each as it was or as it is wanted, and whoever begins again goes on from there.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import identity_of
from supervisor.kernel import libc
from supervisor.trees.frames import Frames
from supervisor.trees.looking import look
from supervisor.trees.states import NOTHING, Kept
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Identity

_CHANGED = "it is not as the run left it"


class Wish(NamedTuple):
    """What is to be done about one path. ``want``: what is to lie there; ``now``: what does. ``left``: why it stays as
    it is; ``done``: it is as wanted already."""

    path: bytes
    want: Kept
    now: Kept
    left: str = ""
    done: bool = False


class Done(NamedTuple):
    """``how``: ``restored``, ``removed``, or ``left`` as it is; ``detail``: why, or what could not be made alike."""

    path: bytes
    how: str
    detail: str = ""


def plan(wanted: Mapping[bytes, Kept], left: Mapping[bytes, Kept]) -> list[Wish]:
    """What it takes to have ``wanted`` where the run left ``left``; paths in their order."""
    return [_wish(path, wanted[path], left[path]) for path in sorted(wanted)]


def _wish(path: bytes, want: Kept, left: Kept) -> Wish:
    now = look(path, None)
    if _is_there(now, want):
        return Wish(path, want, now, done=True)
    if not _is_as_left(now, left):
        if _is_free(now, want, left):
            return Wish(path, want, now)
        # Only its times differ: of a folder, because an undo was killed before it came to them.
        if now.same_as(want) and not want.unkept:
            return Wish(path, want, now, done=now.version.kind is not Kind.DIR)
        return Wish(path, want, now, _CHANGED)
    return Wish(path, want, now, f"it was not kept: {want.unkept}" if want.unkept else "")


def _is_there(now: Kept, want: Kept) -> bool:
    """Whether it is as wanted to the last time stamp."""
    if not now.same_as(want) or want.unkept or now.unkept:
        return False
    return want.version.kind is Kind.ABSENT or now.version.mtime_ns == want.version.mtime_ns


def _is_as_left(now: Kept, left: Kept) -> bool:
    if left.version.kind is Kind.FILE and not left.version.sha1:  # too large to be kept: known by size and time
        now = now._replace(version=now.version._replace(sha1=""))
    return now.same_as(left)


def _is_free(now: Kept, want: Kept, left: Kept) -> bool:
    """Whether an undo was killed between taking a folder away and putting there what was before it."""
    absent = now.version.kind is Kind.ABSENT and not now.unkept
    return absent and left.version.kind is Kind.DIR is not want.version.kind and not want.unkept


class Restorer:
    """Carries out wishes in the canonical folder ``tree``. ``contents``: where the wanted contents are kept."""

    def __init__(self, tree: bytes, reverter: Reverter, contents: Frames) -> None:
        self._tree = tree
        self._reverter = reverter
        self._contents = contents
        self._root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._root)

    def carry_out(self, wishes: Iterable[Wish]) -> Iterator[Done]:
        """Do what is to be done, and tell of each path as it is done; of folders, only where they came or went or could
        not."""
        every = {wish.path: wish for wish in wishes}
        todo = {path: wish for path, wish in every.items() if not wish.done}
        # Filling a folder that is as wanted changes its times.
        filled = {path.rpartition(b"/")[0] for path in todo} & every.keys()
        todo |= {path: every[path] for path in filled if every[path].want.version.kind is Kind.DIR}
        late = {path for path, wish in todo.items() if wish.left}
        yield from (Done(path, "left", todo[path].left) for path in sorted(late))
        todo = {path: wish for path, wish in todo.items() if path not in late}
        gone = [todo.pop(path) for path in sorted(todo, reverse=True) if todo[path].want.version.kind is Kind.ABSENT]
        in_the_way = [wish for wish in gone if _is_below(wish.path, todo)]
        yield from self._take_away(in_the_way, late, set())
        folders = sorted(path for path in todo if todo[path].want.version.kind is Kind.DIR)
        for path in folders:
            if todo[path].now.version.kind is not Kind.DIR:
                done = self._put(todo[path])
                late.update([path] if done.how == "left" else [])
                yield done
                todo[path] = todo[path]._replace(now=look(path, None))
        # Of what is as wanted already, too: an undo that was killed had put back one name of several.
        names = _names(self._tree, every.values())
        for path in sorted(todo.keys() - set(folders)):
            done = self._put(todo[path], names)
            late.update([path] if done.how == "left" else [])
            yield done
        # Last: what was moved is not taken from where it lies before it is back where it was.
        missed = {todo[path].want.version.sha1 for path in late & todo.keys()} - {""}
        yield from self._take_away([wish for wish in gone if wish not in in_the_way], late, missed)
        yield from self._dress(folders, todo, late)

    def _take_away(self, gone: Iterable[Wish], late: set[bytes], missed: set[str]) -> Iterator[Done]:
        """Remove, from below. ``missed``: contents that could not be put where they are wanted; ``late`` takes what
        stays."""
        for wish in gone:
            done = Done(wish.path, "left", "what it says could not be put back where it was")
            if wish.now.version.sha1 not in missed:
                done = self._remove(wish)
            late.update([wish.path] if done.how == "left" else [])
            yield done

    def _dress(self, folders: list[bytes], todo: Mapping[bytes, Wish], late: set[bytes]) -> Iterator[Done]:
        """Filling a folder changed its times. One in which something is left as it is keeps those of that."""
        unfinished = {path.rpartition(b"/")[0] for path in late}
        for path in sorted(folders, reverse=True):
            if path in unfinished:
                continue
            done = self._dress_root(todo[path]) if path == self._tree else self._put(todo[path])
            if done.how == "left":
                yield done

    def _dress_root(self, wish: Wish) -> Done:
        version = wish.want.version
        try:
            os.utime(self._tree, ns=(version.atime_ns, version.mtime_ns))
        except OSError as error:
            return Done(wish.path, "left", error.strerror or str(error))
        return Done(wish.path, "restored")

    def _remove(self, wish: Wish) -> Done:
        if wish.now.version.kind is Kind.DIR:
            return self._remove_folder(wish)
        found = self._reverter.restore(wish.path, wish.want.version, b"", _identity(wish), _nobody)
        if found.outcome in ("removed", "gone"):
            return Done(wish.path, "removed")
        return Done(wish.path, "left", found.detail or _CHANGED)

    def _remove_folder(self, wish: Wish) -> Done:
        """Only an empty one goes, in one step: what somebody put there is not looked for, it is in the way."""
        folder, name = os.path.split(wish.path[len(self._tree) + 1 :])
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            beneath = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS
            parent = libc.openat2(self._root, folder or b".", flags, 0, beneath)
            try:
                os.rmdir(name, dir_fd=parent)
            finally:
                os.close(parent)
        except FileNotFoundError:
            return Done(wish.path, "removed")
        except OSError as error:
            return Done(wish.path, "left", _in_the_way(wish.path) or error.strerror or str(error))
        return Done(wish.path, "removed")

    def _put(self, wish: Wish, names: Mapping[tuple[int, int], list[bytes]] | None = None) -> Done:
        want = wish.want.version
        inode = wish.want.inode[:2] if wish.want.inode is not None else (0, 0)
        others = {path for path in (names or {}).get(inode, ()) if path != wish.path}
        try:
            source = self._contents.source(want)
        except StopRun as error:
            return Done(wish.path, "left", f"{error.what}: {error.why}")
        try:
            if wish.now.version.kind is Kind.DIR is not want.kind:
                # An exchange would take everything along that lies in it, also what the run never touched.
                taken = self._remove_folder(wish)
                if taken.how == "left":
                    return taken
                wish = wish._replace(now=NOTHING)
            judged = _identity(wish) if wish.now.version.kind is not Kind.ABSENT else None
            found = self._reverter.restore(
                wish.path, want._replace(links=tuple(sorted(others))), source, judged, _nobody
            )  # fmt: skip
        finally:
            if isinstance(source, int):
                os.close(source)
        if found.outcome == "restored":
            return Done(wish.path, "restored", found.detail if found.detail != "it was there already" else "")
        return Done(wish.path, "left", found.detail or _CHANGED)


def _is_below(path: bytes, todo: Mapping[bytes, Wish]) -> bool:
    """Whether something else than a folder is wanted above ``path``."""
    while (path := path.rpartition(b"/")[0]) and path not in todo:
        pass
    return bool(path) and todo[path].want.version.kind is not Kind.DIR


def _identity(wish: Wish) -> Identity | None:
    """What lies there now, if it is still the inode that was compared. None would displace nothing."""
    try:
        info = os.lstat(wish.path)
    except OSError:
        return None
    known, version = wish.now.inode, wish.now.version
    if known is None or known[:2] != (info.st_dev, info.st_ino):
        return None
    # Putting things into a folder changes its time.
    return identity_of(info) if version.kind is Kind.DIR or version.mtime_ns == info.st_mtime_ns else None


def _nobody(_info: os.stat_result) -> bool:
    return False


def _names(tree: bytes, wishes: Iterable[Wish]) -> dict[tuple[int, int], list[bytes]]:
    """All names, as they are wanted and as they are, of inodes that are wanted with several, by inode."""
    found: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for wish in wishes:
        kept = wish.want.inode
        if kept is not None and kept[2] > 1 and wish.want.version.kind is Kind.FILE:
            found[kept[:2]].append(wish.path)
    if found:
        for path, info in _walk(tree):
            inode = (info.st_dev, info.st_ino)
            if inode in found and path not in found[inode]:
                found[inode].append(path)
    return found


def _walk(tree: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    for folder, _, files in os.walk(tree):
        for name in files:
            path = folder + b"/" + name
            try:
                info = os.lstat(path)
            except OSError:
                continue
            # With one name only, too: a run that writes to a file of several gets one of its own (ADR 0002).
            if stat.S_ISREG(info.st_mode):
                yield path, info


def _in_the_way(folder: bytes) -> str:
    try:
        found = sorted(os.listdir(folder))
    except OSError:
        return ""
    return f"it is not empty: {os.fsdecode(found[0])}" if found else ""
