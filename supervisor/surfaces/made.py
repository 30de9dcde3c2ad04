"""Names that the run itself created, where only those may be changed: temporary space and git directories.

Keyed by path with the inode that was put there, so that a name which somebody else replaced is no longer the run's.
"""

from __future__ import annotations

import os

from supervisor.vocabulary.events import Target

_MOST_NAMES = 64
_MOST_LINKED = 1024


class Made:
    """``temp`` are the shared temporary folders; the run owns a top-level entry there once it created it."""

    def __init__(self, temp: tuple[bytes, ...], tree: bytes) -> None:
        self._temp = temp
        self._inside = tree + b"/"
        self._own = tree + b"/.git/"
        self._inodes: dict[bytes, tuple[int, int]] = {}
        self._links: dict[tuple[int, int], set[bytes]] = {}
        self._terminals: dict[bytes, int] = {}

    def anchor(self, path: bytes) -> bytes | None:
        """The ancestor (or the path itself) whose creation makes ``path`` the run's; None where that plays no part."""
        own = self._own
        if path.startswith(own) and not path.startswith((own + b"modules/", own + b"worktrees/")):
            return own[:-1]
        if b"/.git" in path and (git := self._git_anchor(path)) is not None:
            return git
        if path.startswith(self._inside):
            return None
        for temp in self._temp:
            if path.startswith(temp + b"/"):
                return temp + b"/" + path[len(temp) + 1 :].split(b"/", 1)[0]
        return None

    @staticmethod
    def _git_anchor(path: bytes) -> bytes | None:
        parts = path.split(b"/")
        if b".git" not in parts:
            return None
        at = parts.index(b".git")
        # Submodules and linked worktrees have git directories of their own inside it.
        for name in (b"modules", b"worktrees"):
            if len(parts) > at + 2 and parts[at + 1] == name:
                at += 2
                while name == b"modules" and len(parts) > at + 2 and parts[at + 1] == b"modules":
                    at += 2
                break
        return b"/".join(parts[: at + 1])

    def contains(self, path: bytes) -> bool:
        """Whether the run made ``path`` or the folder that stands for it."""
        if path in self._terminals:
            return self._is_alive(path)
        anchor = self.anchor(path)
        while anchor is not None:
            known = self._inodes.get(anchor)
            if known is not None:
                return _identity(anchor) == known
            # A repository inside temporary space or inside another made repository: look further up.
            shorter = self.anchor(anchor.rpartition(b"/")[0]) if b".git" in anchor.split(b"/") else None
            anchor = shorter if shorter != anchor else None
        return False

    def created(self, path: bytes) -> None:
        """Remember ``path`` if it is an anchor; called after the act succeeded."""
        if self.anchor(path) == path:
            found = _identity(path)
            if found is not None:
                self._inodes[path] = found

    def moved(self, old: bytes, new: bytes, own: bool) -> None:
        """A name moved: the new one is the run's if the old one was (``own``)."""
        self._inodes.pop(old, None)
        self._rename({old: new})
        if own or self.anchor(old) is None:
            self.created(new)

    def exchanged(self, one: bytes, other: bytes) -> None:
        """Two names changed places, with all that is below them."""
        self._rename({one: other, other: one})

    def _rename(self, moves: dict[bytes, bytes]) -> None:
        if not self._inodes and not self._links:
            return

        def after(path: bytes) -> bytes:
            for old, new in moves.items():
                if path == old or path.startswith(old + b"/"):
                    return new + path[len(old) :]
            return path

        if self._inodes:
            self._inodes = {after(path): inode for path, inode in self._inodes.items()}
        for inode, names in self._links.items():
            self._links[inode] = {after(name) for name in names}

    def removed(self, path: bytes) -> None:
        self._inodes.pop(path, None)

    def linked(self, target: Target, name: bytes) -> None:
        """The run gave a file one more name. A file that had one name only has no others outside the run."""
        if len(self._links) >= _MOST_LINKED:
            del self._links[next(iter(self._links))]  # then its names count as foreign: a write sets them apart
        names = self._links.setdefault((target.dev, target.ino), {target.path} if target.nlink == 1 else set())
        if len(names) < _MOST_NAMES:
            names.add(name)

    def other_names(self, target: Target) -> int:
        """How many further names of a file are known to be the run's, counted where they still lead to it."""
        inode = (target.dev, target.ino)
        names = self._links.get(inode, ())
        return sum(1 for name in names if name != target.path and _identity(name) == inode)

    def names(self, target: Target) -> set[bytes]:
        """Names of a file that are known to be the run's and still lead to it."""
        inode = (target.dev, target.ino)
        return {name for name in self._links.get(inode, ()) if _identity(name) == inode}

    def terminal(self, path: bytes) -> None:
        """A pseudo-terminal that the run opened the other end of."""
        if path in self._terminals:
            os.close(self._terminals[path])
        self._terminals[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)

    def _is_alive(self, path: bytes) -> bool:
        """Numbers of terminals are given again; the entry itself goes away with the other end (devpts)."""
        if os.fstat(self._terminals[path]).st_nlink:
            return True
        os.close(self._terminals.pop(path))
        return False


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
