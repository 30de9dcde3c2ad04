"""Which run wrote each line of a file: by the versions that the runs of this tree have kept, one after another."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.reader import Reader
from supervisor.journal.store import list_runs, read_meta
from supervisor.run.acts import Record, records_of
from supervisor.run.lineages import AGENT, changer
from supervisor.trees.frames import FRAMES, Frames
from supervisor.trees.records import text
from supervisor.trees.states import STATES, Kept, States, read_states
from supervisor.vocabulary.errors import StopRun, UsageError
from supervisor.vocabulary.events import Kind

_MOST_LINES = 20_000  # difflib is quadratic where much has changed
_LARGEST = 8 << 20


class Author(NamedTuple):
    """``run`` wrote a line in records ``since`` to ``upto``; the process that did, and the verdict on what it did to
    the file."""

    run: str
    since: int
    upto: int
    argv: tuple[str, ...] = ()
    verdict: str = ""
    invariant: str = ""


class Line(NamedTuple):
    """``author`` None: no run that is known here."""

    text: bytes
    author: Author | None


def blame(state: Path, tree: str, path: bytes) -> tuple[list[Line], list[str]]:
    """Each line of the file at ``path``, which lies in ``tree``; and the commits that the runs which changed it began
    at, the newest first: what an undo has brought back may be there, and in no later one. Errors: ``UsageError``."""
    now = _read(path)
    lines: list[Line] = []
    known: dict[bytes, list[Line]] = {}  # what an undo brings back comes from whoever wrote it
    bases: dict[str, None] = {}
    for folder in _runs(state, tree, path):
        meta = read_meta(folder)
        brings_back, git = meta.get("agent") == AGENT, meta.get("git")
        if isinstance(git, dict) and git.get("base"):
            bases[str(git["base"])] = None
        for content, author in _versions(folder, path):
            lines = known.get(content, lines) if brings_back else lines
            lines = known[content] = _follow(lines, content, author)
    return _follow(lines, now, None), [*reversed(bases)]


def _runs(state: Path, tree: str, path: bytes) -> Iterator[Path]:
    """Folders of the runs of ``tree`` that have changed ``path``, oldest first."""
    needle = text(path).encode("ascii", "backslashreplace")
    for run in list_runs(state):
        folder = state / "runs" / run
        try:
            if read_meta(folder).get("tree") == tree and (not path.isascii() or needle in _raw(folder)):
                yield folder
        except OSError:
            continue


def _raw(folder: Path) -> bytes:
    """What ``states.jsonl`` says, unread: most runs do not name the path."""
    try:
        with open(os.open(folder / STATES, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _versions(folder: Path, path: bytes) -> Iterator[tuple[bytes, Author | None]]:
    """What the file said before the run (nobody's, None) and after each step of it. What was not kept says nothing."""
    states = read_states(folder)
    if path not in states.before:
        return
    store = Frames(folder, reading=True) if (folder / FRAMES).exists() else None
    try:
        yield _content(store, states.before[path]), None
        yield from ((_content(store, kept), author) for author, kept in _authors(folder, states, path))
    finally:
        if store is not None:
            store.close()


def _authors(folder: Path, states: States, path: bytes) -> Iterator[tuple[Author, Kept]]:
    records = records_of(Reader(folder, run=folder.name))
    record: Record | None = next(records, None)
    for step in states.steps:
        if path not in step.changes:
            continue
        author = Author(folder.name, step.since, step.upto)
        while record is not None and _seq(record) <= step.upto:
            if _seq(record) >= step.since and _is_about(record, path):
                argv, verdict = changer(record), record.get("verdict")
                author = author._replace(
                    argv=argv or author.argv,
                    verdict=str(verdict or author.verdict),
                    invariant=str(record.get("invariant") or author.invariant),
                )
            record = next(records, None)
        yield author, step.changes[path]


def _is_about(record: Record, path: bytes) -> bool:
    from supervisor.journal.codec import bytes_of

    op = record.get("op")
    places = [op.get(name) for name in ("path", "to")] if isinstance(op, dict) else []
    return any(isinstance(place, str) and bytes_of(place) == path for place in places)


def _seq(record: Record) -> int:
    seq = record.get("seq")
    return seq if isinstance(seq, int) else 0


def _content(store: Frames | None, kept: Kept) -> bytes:
    version = kept.version
    if version.kind is not Kind.FILE or kept.unkept or version.large or store is None or version.size > _LARGEST:
        return b""
    try:
        return store.content(version)
    except StopRun:
        return b""  # dropped to make room


def _follow(lines: Sequence[Line], content: bytes, author: Author | None) -> list[Line]:
    """The lines of ``content``: those that were there keep their author, the others are ``author``'s."""
    split = _split(content)
    before = [each.text for each in lines]
    found: list[Line] = []
    matcher = difflib.SequenceMatcher(None, before, split, autojunk=False)
    for tag, start, end, to, to_end in matcher.get_opcodes():
        if tag == "equal":
            found += lines[start:end]
        else:
            found += (Line(each, author) for each in split[to:to_end])
    return found


def _split(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1] if content.endswith(b"\n") else content.split(b"\n") if content else []


def _read(path: bytes) -> bytes:
    name = os.fsdecode(path)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name!r}", error.strerror or str(error), "name a file", exit_code=2) from error
    if len(content) > _LARGEST or content.count(b"\n") > _MOST_LINES:
        why = f"it has more than {_LARGEST} bytes or {_MOST_LINES} lines"
        raise UsageError(f"{name!r} is too large to be looked through", why, "govrun why PATH", exit_code=2)
    return content
