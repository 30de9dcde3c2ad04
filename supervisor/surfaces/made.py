"""Names that the run itself created, where only those may be changed: temporary space and git directories.

Keyed by path with the inode that was put there, so that a name which somebody else replaced is no longer the run's.
"""

from __future__ import annotations

import os


class Made:
    """``temp`` are the shared temporary folders; the run owns a top-level entry there once it created it."""

    def __init__(self, temp: tuple[bytes, ...], tree: bytes) -> None:
        self._temp = temp
        self._tree = tree
        self._inodes: dict[bytes, tuple[int, int]] = {}
        self._links: dict[tuple[int, int], int] = {}

    def anchor(self, path: bytes) -> bytes | None:
        """The ancestor (or the path itself) whose creation makes ``path`` the run's; None where that plays no part."""
        git = self._git_anchor(path)
        if git is not None:
            return git
        if path.startswith(self._tree + b"/"):
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
        for path in [path for path in self._inodes if path.startswith(old + b"/")]:
            self._inodes[new + path[len(old) :]] = self._inodes.pop(path)
        if own or self.anchor(old) is None:
            self.created(new)

    def removed(self, path: bytes) -> None:
        self._inodes.pop(path, None)

    def linked(self, dev: int, ino: int, change: int) -> None:
        """The run gave a file one more name (``change`` 1), or took one away (-1)."""
        count = self._links.get((dev, ino), 0) + change
        if count > 0:
            self._links[dev, ino] = count
        else:
            self._links.pop((dev, ino), None)

    def links(self, dev: int, ino: int) -> int:
        """How many further names the run gave to a file."""
        return self._links.get((dev, ino), 0)


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
