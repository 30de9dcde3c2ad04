"""One record of a journal with all that explains it: who acted, which rule spoke, where it stands, what followed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.reader import Reader
from supervisor.journal.store import read_meta
from supervisor.run.baselocks import read_regular
from supervisor.vocabulary.errors import UsageError

Record = dict[str, object]
_REFUSED = ("blocked", "reverted")  # outcomes
_REFUSING = ("ask", "deny", "revert", "pause", "kill")  # verdicts
_DEEPEST = 32  # parents
_MOST_LINES = 24  # of a rule
_MOST_BYTES = 1 << 20


class Text(NamedTuple):
    """Lines of the file that carries a rule. ``state``: ``unchanged``, ``changed`` since the run, ``gone``, or
    ``unknown`` (the run did not write down what the file was); lines only in the first case."""

    state: str
    path: str = ""
    first: int = 0
    lines: tuple[str, ...] = ()


class Reason(NamedTuple):
    """``intent`` is what was attempted, ``outcome`` how it ended (None: the journal does not say); one record can be
    both. ``parents``: actors above, the nearest first, with ``pid`` and ``argv``. ``kept``: whether the rejected
    version still lies where the outcome says. ``decision``: ``id``, ``path``, ``title`` and ``blob`` of the ADR."""

    run: str
    seq: int
    intent: Record
    outcome: Record | None
    parents: tuple[Record, ...]
    rule: Text
    decision: Mapping[str, object]
    kept: bool


def explain(folder: Path, seq: int) -> Reason:
    """The record ``seq`` of the run in ``folder``. Errors: ``UsageError`` (exit code 2) when there is none."""
    found, actors = _read(folder, seq)
    record = found.get(seq)
    if record is None:
        what = f"the run {folder.name} has no record {seq}"
        raise UsageError(what, "its journal ends before", f"govrun log {folder.name[:12]}", exit_code=2)
    cause = record.get("cause")
    intent = found.get(cause, record) if isinstance(cause, int) else record
    outcome = record if isinstance(cause, int) or record.get("outcome") else None
    if outcome is None:
        outcome = next((each for each in found.values() if each.get("cause") == seq), None)
    spoke = intent if intent.get("invariant") or outcome is None else outcome
    meta = read_meta(folder)
    kept = outcome is not None and os.path.lexists(_path(outcome.get("quarantine")))
    parents = _parents(intent, actors)
    return Reason(folder.name, seq, intent, outcome, parents, _rule_text(spoke, meta), _decision(spoke, meta), kept)


def is_refusal(record: Record) -> bool:
    """Whether something was refused, taken back, or is told to be and the journal does not say that it was."""
    outcome = record.get("outcome")
    return outcome in _REFUSED or (outcome is None and record.get("verdict") in _REFUSING)


def refusals(folder: Path) -> list[Record]:
    """What was refused or taken back in a run, oldest first, each once: an intent has the outcome that followed it.
    Errors: ``UsageError`` (exit code 2)."""
    found: dict[object, Record] = {}
    for record in _records(folder):
        cause = record.get("cause")
        if cause in found:
            found[cause] |= {name: record[name] for name in ("outcome", "errno", "how") if name in record}
        elif is_refusal(record):
            found[record.get("seq")] = record
    return list(found.values())


def _records(folder: Path) -> Iterator[Record]:
    try:
        yield from Reader(folder)
    except OSError as error:
        what = f"the journal of {folder.name} cannot be read"
        raise UsageError(what, str(error), "the run may have failed before it began", exit_code=2) from error


def _path(text: object) -> bytes:
    return os.fsencode(text) if isinstance(text, str) else b""


def _read(folder: Path, seq: int) -> tuple[dict[int, Record], dict[object, Record]]:
    """The record, its cause and what it caused; and the actors that the journal knows until then, by pid."""
    found: dict[int, Record] = {}
    actors: dict[object, Record] = {}
    for record in _records(folder):
        number, actor = record.get("seq"), record.get("actor")
        if not isinstance(number, int):
            continue
        if isinstance(actor, dict) and number <= seq:
            actors[actor.get("pid")] = _after(record, actor)
        if number == seq or record.get("cause") == seq:
            found[number] = record
    cause = found[seq].get("cause") if seq in found else None
    if isinstance(cause, int):
        found.update((cause, each) for each in islice(_records(folder), cause) if each.get("seq") == cause)
    return found, actors


def _after(record: Record, actor: Record) -> Record:
    """The actor as it goes on: after an exec it is what it has executed."""
    op = record.get("op")
    if record.get("kind") == "exec" and record.get("phase") == "intent" and isinstance(op, dict):
        return actor | {"exe": op.get("path"), "argv": op.get("argv")}
    return actor


def _parents(record: Record, actors: dict[object, Record]) -> tuple[Record, ...]:
    """Up from the actor, as long as the journal has seen the parent act; the process ids of one run may repeat, so a
    parent that is younger than its child is none."""
    chain: list[Record] = []
    at = record.get("actor")
    while isinstance(at, dict) and len(chain) < _DEEPEST:
        parent = actors.get(at.get("ppid"))
        if parent is None or parent in chain or _start(parent) > _start(at):
            break
        chain.append(parent)
        at = parent
    return tuple(chain)


def _start(actor: Record) -> int:
    start = actor.get("start")
    return start if isinstance(start, int) else 0


def _decision(record: Record, meta: Record) -> Mapping[str, object]:
    wanted = record.get("adr")
    if not wanted:
        return {}
    listed = meta.get("decisions")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("id") == wanted and each.get("blob") == record.get("adr_blob"):
            return each
    return {"id": wanted, "blob": record.get("adr_blob", "")}


def _rule_text(record: Record, meta: Record) -> Text:
    """The rule as it is written, if the file still holds what the run read."""
    source = record.get("source")
    if not isinstance(source, str) or source == "govrun":
        return Text("unknown")
    name, _, number = source.rpartition(":")
    if not number.isdigit():
        name, number = source, "0"
    listed = meta.get("sources")
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("name") != name or not isinstance(each.get("path"), str):
            continue
        content = read_regular(os.fsencode(each["path"]), _MOST_BYTES)
        if content is None:
            return Text("gone", each["path"], int(number))
        if hashlib.sha256(content).hexdigest() != each.get("sha256"):
            return Text("changed", each["path"], int(number))
        return Text("unchanged", each["path"], int(number), _lines(content, int(number)))
    return Text("unknown")


def _lines(content: bytes, first: int) -> tuple[str, ...]:
    """The table, or the element, that begins at line ``first``."""
    lines = content.decode("utf-8", "replace").split("\n")[max(0, first - 1) :][:_MOST_LINES] if first else []
    taken = lines[:1]
    for line in lines[1:] if lines and lines[0].lstrip().startswith("[") else ():
        if line.startswith("[") or line.strip() in ("---", "..."):
            break
        taken.append(line)
    while taken and not taken[-1].strip():
        taken.pop()
    return tuple(line.rstrip("\r") for line in taken)
