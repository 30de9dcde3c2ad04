"""One record of a journal with all that explains it: who acted, which rule spoke, where it stands, what followed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.codec import raw_of
from supervisor.journal.reader import Reader
from supervisor.journal.store import read_meta
from supervisor.run.acts import Record, acts, is_refusal, reader_of, records_of
from supervisor.run.baselocks import read_regular
from supervisor.vocabulary.errors import UsageError

_DEEPEST = 32  # parents
_MOST_FOUND = 8
_MOST_PIDS = 1 << 22  # what Linux gives
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


def explain(reader: Reader, seq: int) -> Reason:
    """The record ``seq`` of the run that ``reader`` reads, to its end. Errors: ``UsageError`` (exit code 2) when there
    is none."""
    folder = reader.folder
    found, line = _read(reader, seq)
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
    kept = outcome is not None and os.path.lexists(_path(op_of(outcome).get("quarantine")))
    parents = _actors(folder, line)
    return Reason(folder.name, seq, intent, outcome, parents, _rule_text(spoke, meta), _decision(spoke, meta), kept)


def op_of(record: Record) -> Record:
    """What a record says of the act, empty when it says nothing."""
    op = record.get("op")
    return op if isinstance(op, dict) else {}


def refusals(reader: Reader) -> Iterator[Record]:
    """What was refused or taken back in a run, oldest first, each act once. Errors: ``UsageError`` (exit code 2)."""
    return (act for act in acts(reader) if is_refusal(act))


def _path(text: object) -> bytes:
    return raw_of(text) if isinstance(text, str) and "\0" not in text else b""


class _Seen(NamedTuple):
    """Where the journal last told of a process: its record, its parent, and when it began."""

    seq: int
    ppid: object
    start: int


def _read(reader: Reader, seq: int) -> tuple[dict[int, Record], list[int]]:
    """The record, its cause and what it caused; and records of the processes above its actor, the nearest first."""
    found: dict[int, Record] = {}
    seen: dict[int, _Seen] = {}
    actor: object = None
    for record in records_of(reader):
        number = record.get("seq")
        if not isinstance(number, int):
            continue
        cause = record.get("cause")
        if number == seq or (cause == seq and len(found) < _MOST_FOUND):
            found[number] = record
        if number == seq:
            found |= _fetch(reader.folder, {cause}) if isinstance(cause, int) else {}
            actor = found.get(_number(cause), record).get("actor")
        if number <= seq:
            _note_actor(record, seen)
    return found, _line(actor, seen)


def _fetch(folder: Path, wanted: Set[int]) -> dict[int, Record]:
    """The records with these numbers."""
    found: dict[int, Record] = {}
    for record in records_of(reader_of(folder)) if wanted else ():
        if isinstance(number := record.get("seq"), int) and number in wanted:
            found[number] = record
            if len(found) == len(wanted):
                break
    return found


def _note_actor(record: Record, seen: dict[int, _Seen]) -> None:
    actor = record.get("actor")
    if isinstance(actor, dict) and isinstance(pid := actor.get("pid"), int) and 0 < pid <= _MOST_PIDS:
        seen[pid] = _Seen(_number(record.get("seq")), actor.get("ppid"), _number(actor.get("start")))


def _line(actor: object, seen: dict[int, _Seen]) -> list[int]:
    """Up from the actor, as long as the journal has seen the parent act; the process ids of one run may repeat, so a
    parent that is younger than its child is none."""
    line: list[int] = []
    if not isinstance(actor, dict):
        return line
    parent, start = actor.get("ppid"), _number(actor.get("start"))
    while isinstance(parent, int) and len(line) < _DEEPEST:
        at = seen.get(parent)
        if at is None or at.seq in line or at.start > start:
            break
        line.append(at.seq)
        parent, start = at.ppid, at.start
    return line


def _actors(folder: Path, line: list[int]) -> tuple[Record, ...]:
    records = _fetch(folder, set(line))
    return tuple(_after(records[number]) for number in line if number in records)


def _after(record: Record) -> Record:
    """The actor of a record as it goes on: after an exec it is what it has executed."""
    actor, op = record.get("actor"), op_of(record)
    told = actor if isinstance(actor, dict) else {}
    if record.get("kind") == "exec" and record.get("phase") == "intent" and "path" in op:
        return told | {"exe": op["path"], "argv": op.get("argv")}
    return told


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


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
        content = read_regular(_path(each["path"]), _MOST_BYTES)
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
