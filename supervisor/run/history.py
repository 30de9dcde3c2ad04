"""What runs did to one path."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.codec import bytes_of, quote, raw_of
from supervisor.journal.reader import Reader
from supervisor.journal.store import list_runs, read_meta
from supervisor.journal.writer import JOURNAL
from supervisor.run.acts import Record, acts
from supervisor.run.reasons import op_of

_MOST_KEPT = 1000
_CHUNK = 1 << 20
_PLACES = ("path", "to", "target")


class History(NamedTuple):
    """``acts``: the last of ``total`` acts and notes that speak of the path, the oldest first, each as one record.
    ``below``: how many more speak of what lies beneath it."""

    path: str
    acts: tuple[Record, ...]
    total: int
    below: int


def spellings(word: str, place: str, tree: str) -> list[bytes]:
    """What ``word`` may stand for, the likeliest first: a path from the folder ``place``, or from the ``tree``.
    The journal names folders by their true names, whatever symbolic links led there."""
    path = raw_of(os.path.expanduser(word) if word.startswith("~/") else word)
    found: list[bytes] = []
    for start in (place, tree):
        whole = os.path.normpath(os.path.join(raw_of(start.replace("\0", "")) or b"/", path))
        found += [os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole)), whole]
    return list(dict.fromkeys(found))


def history(reader: Reader, paths: list[bytes]) -> History | None:
    """What a run did to the first of ``paths`` that it touched, None if it touched none of them. Errors: ``UsageError``
    (exit code 2)."""
    found = [_Found(path) for path in paths]
    for act in acts(reader):
        places = [bytes_of(value) for name in _PLACES if isinstance(value := op_of(act).get(name), str)]
        for each in found if places else ():
            each.see(act, places)
    for each in found:
        if each.count or each.below:
            return History(os.fsdecode(each.path), tuple(each.acts), each.count, each.below)
    return None


class _Found:
    def __init__(self, path: bytes) -> None:
        self.path, self._inside = path, path.rstrip(b"/") + b"/"
        self.acts: deque[Record] = deque(maxlen=_MOST_KEPT)
        self.count = self.below = 0

    def see(self, act: Record, places: list[bytes]) -> None:
        moved = act.get("kind") == "fs.rename"
        if any(place == self.path or (moved and self.path.startswith(place + b"/")) for place in places):
            self.count += 1
            self.acts.append(act)
        elif any(place.startswith(self._inside) for place in places):
            self.below += 1


def last_touching(state: Path, paths: list[bytes], tree: str) -> Iterator[Path]:
    """Folders of the runs of ``tree`` whose journals name one of ``paths``, the newest first. Journals are searched as
    they are, without reading each record."""
    needles = [quote(path).encode("ascii")[:-1] for path in paths]
    for run in reversed(list_runs(state)):
        folder = state / "runs" / run
        if read_meta(folder).get("tree") == tree and _mentions(folder / JOURNAL, needles):
            yield folder


def _mentions(path: Path, needles: list[bytes]) -> bool:
    longest = max(map(len, needles), default=0)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            kept = b""
            while chunk := file.read(_CHUNK):
                text = kept + chunk
                if any(needle in text for needle in needles):
                    return True
                kept = text[-longest:]
    except OSError:
        return False
    return False
