"""The commits that a ref would bring: all that what it is set to leads to, as far as they are not known.

A parent that is not here is no end of the history: whoever writes it later would have it there without anybody having
looked at it. Histories end where a shallow clone was cut off before the run (gitformat-shallow(5); later on git lets
anybody say so), and where git has just fetched no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import NamedTuple

from supervisor.git.base import Objects
from supervisor.git.commits import header
from supervisor.git.layout import is_object_id, read_small
from supervisor.run.fetches import Fetches
from supervisor.surfaces.paths import Refused
from supervisor.vocabulary.events import FsEvent

MOST_COMMITS = 2_000  # of one update
_MOST_LOOKED = 20_000  # and of what they are built on
_MOST_SHALLOW = 1 << 24  # bytes


class Brought(NamedTuple):
    """A commit, and its content."""

    id: str
    parents: tuple[str, ...]
    raw: bytes


class Ends:
    """Commits whose parents may be missing. Made before the run begins."""

    def __init__(self, common: bytes, fetches: Fetches) -> None:
        text = read_small(Path(os.fsdecode(common)) / "shallow", _MOST_SHALLOW) or ""
        self._shallow = frozenset(line for line in text.split("\n") if is_object_id(line))
        self._fetches = fetches

    def at(self, event: FsEvent, commit: str) -> bool:
        """``event`` sets the ref that brings it."""
        return commit in self._shallow or self._fetches.brings(event, commit)


def brought(
    objects: Objects,
    ref: str,
    tip: str,
    known: Container[str],
    is_old: Callable[[str, tuple[str, ...], int], bool],
    ends: Callable[[str], bool],
) -> Iterator[Brought]:
    """Each commit once. What is ``known``, or ``is_old`` (by id, parents and date), ends the search. Raises ``Refused``
    where it is not found out what there is, or there is too much; ``GovrunError`` when an object cannot be read."""
    pending, seen, count, looked = [(tip, "")], set[str](), 0, 0
    while pending:
        name, child = pending.pop()
        if name in seen or name in known:
            continue
        looked += 1
        if looked > _MOST_LOOKED:
            raise Refused(f"{ref} would bring commits that are built on more than {_MOST_LOOKED} others")
        found = objects.get(name + "^{commit}")
        if found is None:
            if child and not ends(child):
                raise Refused(f"{ref} would bring {child[:12]}, whose parent {name[:12]} is not here")
            continue  # at the tip: a tree or a blob
        seen.add(name)
        commit, (parents, date) = found[0], header(found[2])
        if commit in known or is_old(commit, parents, date):
            continue
        count += 1
        if count > MOST_COMMITS:
            raise Refused(f"{ref} would bring more than {MOST_COMMITS} commits at once")
        yield Brought(commit, parents, found[2])
        pending += ((parent, commit) for parent in parents)
