"""Commits of the run, as its refs show them: told to the publisher while the agent works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from supervisor.git import refs as git_refs
from supervisor.git.layout import is_object_id, packed
from supervisor.invariants.policy import GitDir
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import Actor, RefEvent


class RefWatch:
    """Knows the refs at the start and reports each move once: ``report`` gets what the run moved, ``others`` the name,
    old and new value of what somebody else did (the user, another run)."""

    def __init__(
        self,
        git: GitDir,
        start: dict[str, str],
        head: str,
        report: Callable[[RefEvent], None],
        others: Callable[[str, str, str], None],
    ) -> None:
        self._git = git
        self._common, self._own = git.common + b"/", git.path + b"/"
        self._known = dict(start)
        self._packed: tuple[tuple[int, ...], dict[str, str]] = ((), {})
        if head:
            self._known["HEAD"] = head
        self._report = report
        self._others = others

    def about(self, path: bytes) -> None:
        """The run is going to replace a ref file; git holds its lock, so what is there now was there before."""
        ref = self._name(path)
        if ref is not None:
            now = _read(path)
            if now is not None and now.strip("0"):  # git-worktree(1) writes zeros before the first checkout
                self._found(ref, now)

    def _found(self, ref: str, now: str) -> None:
        old = self._known.get(ref, "")
        if now != old:
            self._known[ref] = now
            self._others(ref, old, now)

    def landed(self, actor: Actor, path: bytes, *, fetched: bool = False) -> None:
        """A name in a git directory was replaced. Ref files and detached heads are read, the rest is passed over."""
        ref = self._name(path)
        if ref is None:
            return
        new = _read(path)
        if new is None:
            return
        old = self._known.get(ref, "")
        if new != old:
            self._known[ref] = new
            self._report(RefEvent(actor, ref, old, new, fetched))

    def removed(self, actor: Actor, path: bytes) -> None:
        """A ref file was removed. Packing writes packed-refs first (git-pack-refs(1)): then the ref lives on there."""
        ref = self._name(path)
        if ref is None or ref not in self._known or ref == "HEAD":
            return
        if self._packed_value(ref) != self._known[ref]:
            self._report(RefEvent(actor, ref, self._known.pop(ref), ""))

    def _packed_value(self, ref: str) -> str:
        try:
            info = os.stat(self._common + b"packed-refs")
            state = (info.st_ino, info.st_size, info.st_mtime_ns)
            if state != self._packed[0]:  # replaced as a whole, never written in place
                self._packed = (state, packed(Path(os.fsdecode(self._common))))
        except (OSError, GovrunError):
            return ""
        return self._packed[1].get(ref, "")

    def last_look(self) -> None:
        """Compare all refs with what is known: whatever else moved was moved by others."""
        try:
            now = git_refs.snapshot(Path(os.fsdecode(self._git.common)))
        except (GovrunError, OSError):
            return
        for ref, new in now.items():
            if not ref.startswith(("refs/notes/govrun", "refs/govrun/")):
                self._found(ref, new)

    def _name(self, path: bytes) -> str | None:
        common, own = self._common, self._own
        if not path.startswith((common, own)):
            return None
        if path.startswith(common + b"refs/"):
            name = os.fsdecode(path[len(common) :])
            return None if name.endswith(".lock") else name
        if path in (own + b"HEAD", common + b"HEAD") or (
            path.startswith(common + b"worktrees/")
            and path.endswith(b"/HEAD")
            and path.count(b"/") == common.count(b"/") + 2
        ):
            return "HEAD" if path == own + b"HEAD" else os.fsdecode(path[len(common) :])
        return None


def head_commit(git: GitDir) -> str:
    """The commit that is checked out; empty before the first, and where it cannot be told."""
    target = plain(git.path + b"/HEAD")
    if not target.startswith("ref: "):
        return target if is_object_id(target) else ""
    try:
        return git_refs.snapshot(Path(os.fsdecode(git.common))).get(target[5:], "")
    except (GovrunError, OSError):
        return ""


def plain(path: bytes) -> str:
    """The text of a small file of git's, empty when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(fd, 4096).strip().decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _read(path: bytes) -> str | None:
    """The object id in a ref file; None for a symbolic ref or anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        text = os.read(fd, 256).strip().decode("ascii", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    return text if is_object_id(text) else None
