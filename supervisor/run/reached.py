"""Which commits the refs led to at the start, and what other people added since.

Each object is read and held against its id here: git's own walk believes what a pack or a commit graph says of parents,
and a run can write those. So the walk is ours, from the newest commit on, and only as far as a question needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import islice

from supervisor.git.base import Objects
from supervisor.git.commits import header
from supervisor.surfaces.paths import Refused

_SLACK = 86_400  # seconds by which a commit may seem older than one that it is built on
_AT_ONCE = 20_000  # commits that are read for one question
_AFTER_ALL = 5_000
_FEW_TIPS = 256
_TIPS_AT_ONCE = 50_000
_MOST = 200_000  # commits that are kept in mind


class Reached:
    """``tips``: object ids, to which more may be added, at the end."""

    def __init__(self, objects: Objects, tips: Mapping[str, None]) -> None:
        self._objects = objects
        self._tips = tips
        self._taken = 0
        self._seen: set[bytes] = set()
        self._ahead: list[tuple[int, bytes, tuple[str, ...]]] = []

    @property
    def is_near(self) -> bool:
        """Whether a question is cheap: else it is only asked of commits that do not stand on what is known."""
        return len(self._tips) - self._taken <= _FEW_TIPS

    def has(self, commit: str, date: int) -> bool:
        """Whether a tip leads to it; ``date`` is that of its committer: what is much older is not looked at.

        Raises ``Refused`` when that would take too long, ``GovrunError`` when an object cannot be read.
        """
        found = self._look(commit, date, _AT_ONCE)
        if found is None:
            raise Refused(f"whether {commit[:12]} was there before this run takes too long to find out")
        return found

    def has_after_all(self, commit: str) -> bool:
        """``has`` for a commit that may seem younger than what leads to it; False where that is not found out soon.
        Errors: ``GovrunError``."""
        return self._look(commit, None, _AFTER_ALL) is True

    def _look(self, commit: str, date: int | None, left: int) -> bool | None:
        if commit in self._tips:
            return True
        name = bytes.fromhex(commit)
        for tip in list(islice(self._tips, self._taken, self._taken + _TIPS_AT_ONCE)):
            self._taken += 1
            self._push(tip)
        if self._taken < len(self._tips):
            return None
        while name not in self._seen and self._ahead:
            if date is not None and -self._ahead[0][0] < date - _SLACK:
                return False
            if not left or len(self._seen) > _MOST:
                return None
            left -= 1
            for parent in heapq.heappop(self._ahead)[2]:
                self._push(parent)
        return name in self._seen

    def _push(self, name: str) -> None:
        if bytes.fromhex(name) in self._seen:
            return
        found = self._objects.get(name + "^{commit}")
        if found is None:
            return  # a tree or a blob; a parent that a shallow clone has not
        raw = bytes.fromhex(found[0])
        if raw not in self._seen:
            self._seen.add(raw)
            parents, date = header(found[2])
            heapq.heappush(self._ahead, (-date, raw, parents))
