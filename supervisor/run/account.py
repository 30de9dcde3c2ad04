"""The account of one run: what its journal, ``meta.json`` and ``notes.jsonl`` say together, in bounded memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.journal.codec import MAX_LINE, raw_of
from supervisor.journal.reader import Report, is_live
from supervisor.run.acts import Acts, Record, is_note, reader_of, records_of
from supervisor.run.reasons import op_of
from supervisor.run.subject import clip, subject_of

NOTES = "notes.jsonl"
_MOST = 200  # entries of a list
_MOST_KEYS = 1000  # invariants, and pairs of what was refused and by which
_LONGEST = 400
LISTS = ("refs", "commits", "reverts", "external", "divergence", "kills", "gaps", "state", "unwritten")


class Some:
    """The first entries of a list that may be long, and how many there were."""

    def __init__(self) -> None:
        self.entries: list[Record] = []
        self.count = 0

    def add(self, entry: Record) -> None:
        self.count += 1
        if len(self.entries) < _MOST:
            self.entries.append({name: _short(value) for name, value in entry.items() if value not in (None, "")})


def _short(value: object) -> object:
    return clip(value, _LONGEST) if isinstance(value, str) else value


@dataclass
class Account:
    """``invariants`` by id; ``refused`` by (invariant, kind, what); ``lists`` as ``LISTS`` names them. ``standing``:
    what the end of the run says of each invariant, empty while there is none."""

    report: Report
    live: bool
    kinds: dict[str, int] = field(default_factory=dict)
    invariants: dict[str, Record] = field(default_factory=dict)
    refused: dict[tuple[str, str, str], Record] = field(default_factory=dict)
    lists: Mapping[str, Some] = field(default_factory=lambda: {name: Some() for name in LISTS})
    standing: dict[str, Record] = field(default_factory=dict)
    ref: str = ""  # where the repository keeps the record of the run
    beyond: dict[str, int] = field(default_factory=dict)  # what a table had no room for, by its name

    def worst(self) -> list[Record]:
        """What was refused, the most frequent first."""
        return sorted(self.refused.values(), key=lambda each: (-_number(each["count"]), _number(each["seq"])))


def account(folder: Path) -> Account:
    """Read the run in ``folder`` from one end to the other. Errors: ``UsageError`` (exit code 2)."""
    reader = reader_of(folder)
    found, known = Account(reader.report, is_live(folder)), Acts(reader)
    for record in records_of(reader):
        _take(found, record, known.cause_of(record))
    for line in notes_of(folder):
        _take_note(found, line)
    found.report = reader.report
    return found


def _take(found: Account, record: Record, cause: Record | None) -> None:
    kind = str(record.get("kind", "-"))[:40]
    if kind in found.kinds or len(found.kinds) < _MOST_KEYS:
        found.kinds[kind] = found.kinds.get(kind, 0) + 1
    _judged(found, record, cause)
    op = op_of(record)
    entry = {"seq": record.get("seq"), "time": record.get("time")}
    if kind == "git.ref" and "ref" in op:
        found.lists["refs"].add(entry | {name: op.get(name) for name in ("ref", "old", "new")})
    elif kind == "external":
        spoke = {name: record.get(name) for name in ("invariant", "message")}
        theirs = {name: op.get(name) for name in ("path", "target", "reason", "more", "ref", "old", "new")}
        found.lists["divergence" if op.get("divergence") else "external"].add(entry | theirs | spoke)
    elif kind == "state" and op.get("call") == "changed":
        digests = {name: record.get(name) for name in ("pre", "post")}
        found.lists["state"].add(entry | {"path": op.get("path")} | digests)
    elif kind == "gap":
        found.lists["gaps"].add(entry | {name: op.get(name) for name in ("reason", "detail")})
    elif kind == "run.end":
        _stand(found, op.get("invariants"))
    if record.get("verdict") == "kill" and not is_note(record):
        found.lists["kills"].add(entry | {name: record.get(name) for name in ("invariant", "message")})
    if "how" in op:
        told = {name: op.get(name) for name in ("path", "how", "quarantine", "detail")}
        told["path"] = told["path"] or op_of(cause or {}).get("path")
        rule = (cause or record).get("invariant")
        found.lists["reverts"].add(entry | {"invariant": rule} | told | {"kept": _lies(op.get("quarantine"))})


def _stand(found: Account, told: object) -> None:
    """What the run says of each invariant at its end."""
    for name, each in told.items() if isinstance(told, dict) else ():
        if isinstance(each, dict) and len(found.standing) < _MOST_KEYS:
            found.standing[str(name)[:_LONGEST]] = {str(key): value for key, value in each.items()}


def _lies(place: object) -> bool:
    return isinstance(place, str) and "\0" not in place and os.path.lexists(raw_of(place))


def _judged(found: Account, record: Record, cause: Record | None) -> None:
    """Count what the invariants said: each act once, though an intent and its outcome may both tell of it."""
    outcome = record.get("outcome")
    spoke = record.get("matched")
    if (cause is None or "matched" not in cause) and isinstance(spoke, list):
        for name in spoke:
            _count(found, record, name, "judged")
    rule = record.get("invariant") or (cause or {}).get("invariant")
    if rule is None:
        return
    if outcome in ("blocked", "reverted"):
        _count(found, record, rule, str(outcome))
        if outcome == "blocked":
            _refused(found, record, rule)
    elif record.get("verdict") in ("warn", "observe") and (cause is None or "verdict" not in cause):
        _count(found, record, rule, "warned")


def _count(found: Account, record: Record, name: object, what: str) -> None:
    rule = str(name)[:_LONGEST]
    if rule not in found.invariants:
        if len(found.invariants) >= _MOST_KEYS:
            found.beyond["invariants"] = found.beyond.get("invariants", 0) + 1
            return
        empty = {"judged": 0, "blocked": 0, "reverted": 0, "warned": 0}
        found.invariants[rule] = {"invariant": rule, **empty}
    entry = found.invariants[rule]
    entry[what] = _number(entry[what]) + 1
    if record.get("invariant") == name:
        told = {key: record.get(key) for key in ("invariant_kind", "coverage", "source", "adr")}
        entry |= {key: _short(value) for key, value in told.items() if value and key not in entry}


def _refused(found: Account, record: Record, rule: object) -> None:
    key = str(rule)[:_LONGEST], str(record.get("kind", "-"))[:40], subject_of(record)
    if key not in found.refused:
        if len(found.refused) >= _MOST_KEYS:
            found.beyond["refused"] = found.beyond.get("refused", 0) + 1
            return
        found.refused[key] = {
            "invariant": key[0],
            "kind": key[1],
            "subject": key[2],
            "count": 0,
            "seq": record.get("seq"),
        }
    found.refused[key]["count"] = _number(found.refused[key]["count"]) + 1


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def notes_of(folder: Path) -> Iterator[Record]:
    """The lines of ``notes.jsonl`` that can be read."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(folder / NOTES, flags), "rb") as file:
            while line := file.readline(MAX_LINE):
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # torn
                if isinstance(value, dict):
                    yield value
    except OSError:
        return  # no commit, no notes


def _take_note(found: Account, line: Record) -> None:
    commit, ref = line.get("commit"), line.get("ref")
    if "end" in line and isinstance(ref, str):
        found.ref = clip(ref, _LONGEST)
    if "problem" in line:
        found.lists["unwritten"].add({"time": line.get("time"), "problem": line["problem"], "commit": commit})
    elif isinstance(commit, str) and not any(each.get("commit") == commit for each in found.lists["commits"].entries):
        found.lists["commits"].add({"commit": commit, "tree": line.get("tree"), "seq": line.get("upto")})
