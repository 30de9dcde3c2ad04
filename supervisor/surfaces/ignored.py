"""Which paths the base commit's ignore rules cover, asked lazily: most runs never need to know."""

from __future__ import annotations

from collections.abc import Callable

_MOST_BYTES = 4 << 20  # of remembered paths


class Ignored:
    """``lookup`` answers for a path relative to the tree and may be slow; answers are kept."""

    def __init__(self, tree: bytes, lookup: Callable[[bytes, bool], bool] | None) -> None:
        self._tree = tree + b"/"
        self._lookup = lookup
        self._known: dict[bytes, bool] = {}
        self._size = 0

    def covers(self, path: bytes, *, directory: bool = False) -> bool:
        """Whether ``path`` is untracked at the base and ignored by its rules. Unsure means no."""
        if self._lookup is None or not path.startswith(self._tree):
            return False
        key = path + b"/" if directory else path
        known = self._known.get(key)
        if known is None:
            known = self._lookup(path[len(self._tree) :], directory)
            self._size += len(path)
            if self._size > _MOST_BYTES:
                self._known.clear()
                self._size = len(path)
            self._known[key] = known
        return known
