"""What led from one state of a run's tree to the next: transitions with the commands that made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.reader import Reader, is_live
from supervisor.journal.store import read_meta
from supervisor.provenance.bundle import UNTRACED
from supervisor.provenance.lineage import Lineage, Transition, read_lineage
from supervisor.provenance.progress import problems
from supervisor.run.acts import Record, records_of
from supervisor.trees.states import read_states

AGENT = "govrun-undo"  # the name of runs that undo others
_MOST_CAUSES = 5
_CHANGING = ("fs.create", "fs.write", "fs.rename", "fs.unlink", "fs.link", "fs.meta", "state")


class Told(NamedTuple):
    """``causes``: command lines of the processes that changed something, the first few; ``more``: how many others."""

    transition: Transition
    causes: tuple[tuple[str, ...], ...]
    more: int


def lineage_of(folder: Path) -> Lineage:
    """That of the run in ``folder``; without trees where none were made (it was in no repository, or they were too
    large). Raises ``StopRun``."""
    found = read_lineage(folder)
    if found is not None:
        return found
    steps = read_states(folder).steps
    told = (Transition(each.number, "", "", each.since, each.upto, len(each.changes), each.why) for each in steps)
    return Lineage("", "", "", tuple(told))


def why_no_trees(folder: Path) -> str:
    """Why the states of the run in ``folder`` are no trees."""
    if is_live(folder):
        return "the run goes on: trees are made at its end"
    found = [each.removeprefix(UNTRACED) for each in problems(folder) if each.startswith(UNTRACED)]
    if found:
        return found[-1]
    git = read_meta(folder).get("git")
    return "they are made when its end is noted: govrun recover" if git else "the tree is in no repository"


def told(reader: Reader, lineage: Lineage) -> Iterator[Told]:
    """The transitions in their order. Errors: ``UsageError`` when the journal cannot be read."""
    meta = read_meta(reader.folder)
    argv = meta.get("argv") if meta.get("agent") == AGENT else None
    own = [tuple(map(str, argv))] if isinstance(argv, list) else []  # an undo is one process
    records = records_of(reader)
    record: Record | None = next(records, None)
    for each in lineage.transitions:
        causes: dict[tuple[str, ...], None] = dict.fromkeys(own if each.upto else ())
        while each.upto and record is not None and _seq(record) <= each.upto:
            argv = changer(record) if _seq(record) >= each.since else ()
            if argv:
                causes[argv] = None
            record = next(records, None)
        yield Told(each, tuple(causes)[:_MOST_CAUSES], max(0, len(causes) - _MOST_CAUSES))


def _seq(record: Record) -> int:
    seq = record.get("seq")
    return seq if isinstance(seq, int) else 0


def changer(record: Record) -> tuple[str, ...]:
    """The command line of the process that changed something by what ``record`` tells; nothing for other records."""
    actor = record.get("actor")
    argv = actor.get("argv") if isinstance(actor, dict) else None
    if record.get("kind") not in _CHANGING or record.get("outcome") == "blocked" or not isinstance(argv, list):
        return ()
    return tuple(str(word) for word in argv)
