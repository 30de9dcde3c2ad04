"""When something is going to wait to be fixed: what is written up to here was written before, and what no fix may
change is known by what it says now, also where a process that runs already can still write to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.surfaces.reading import read_whole

if TYPE_CHECKING:
    from supervisor.run.contents import Contents
    from supervisor.run.standing import Standing
    from supervisor.surfaces.ledger import Written


class Marking:
    """To be called before an episode is opened about ``inode``, which is being judged."""

    def __init__(self, contents: Contents, standing: Standing) -> None:
        self._contents, self._standing = contents, standing
        self._busy = False

    def __call__(self, inode: tuple[int, int]) -> None:
        """What is judged on the way may open further episodes; one mark is enough for all of them."""
        if self._busy:
            return
        self._busy = True
        try:
            waiting = self._standing.is_waiting()
            if waiting:  # what was written since the last mark is not taken for what was there
                self._look(inode)
            self._standing.keep({name: read_whole(entry.fd) for name, entry in self._kept(inode)})
            if not waiting:  # what is accepted now is what to go back to
                self._look(inode)
        finally:
            self._busy = False

    def _look(self, inode: tuple[int, int]) -> None:
        for _, entry in list(self._kept(inode)):
            self._contents.look(entry)

    def _kept(self, inode: tuple[int, int]) -> Iterator[tuple[bytes, Written]]:
        for entry in self._contents.ledger:
            if entry.key != inode:
                yield from ((name, entry) for name in self._contents.names(entry) if self._standing.keeps(name))
