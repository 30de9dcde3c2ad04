"""Intents and outcomes of a journal brought together, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from supervisor.journal.reader import Reader
from supervisor.journal.store import read_meta
from supervisor.vocabulary.errors import UsageError

Record = dict[str, object]
_REFUSED = ("blocked", "reverted")  # outcomes
_REFUSING = ("ask", "deny", "revert", "pause", "kill")  # verdicts
_OWN = frozenset({"v", "run", "seq", "time", "kind", "phase", "cause"})
_MOST_OPEN = 1024  # intents that wait for their outcome
_LONG = 8 << 10  # bytes of a line: longer ones are kept in short
_SHORT_TEXT, _SHORT_LIST = 400, 32


def reader_of(folder: Path) -> Reader:
    """A reader that knows the run, and the end that ``meta.json`` tells of."""
    end = read_meta(folder).get("end")
    known = (end.get("seq"), end.get("chain")) if isinstance(end, dict) else (None, None)
    if isinstance(known[0], int) and isinstance(known[1], str):
        return Reader(folder, run=folder.name, end=(known[0], known[1]))
    return Reader(folder, run=folder.name)


def records_of(reader: Reader) -> Iterator[Record]:
    """The records of a journal. Errors: ``UsageError`` (exit code 2) when it cannot be read."""
    try:
        yield from reader
    except OSError as error:
        what = f"the journal of {reader.folder.name} cannot be read"
        why = error.strerror or str(error)
        raise UsageError(what, why, "the run may have failed before it began", exit_code=2) from error


class Acts:
    """The intents that are under way while the records of ``reader`` pass by. An intent that never ends is forgotten
    when too many others have begun after it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._open: dict[int, Record] = {}

    def cause_of(self, record: Record) -> Record | None:
        """The intent that ``record`` is the outcome of; None for any other record. To be asked of each, in order."""
        seq, cause = record.get("seq"), record.get("cause")
        if record.get("phase") == "intent" and isinstance(seq, int):
            if len(self._open) >= _MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[seq] = record if self._reader.length <= _LONG else _short(record)
            return None
        return self._open.pop(cause, None) if isinstance(cause, int) else None

    def left(self) -> list[Record]:
        """Intents without an outcome."""
        return list(self._open.values())


def _short(record: Record) -> Record:
    """The same record with its long values cut. Only what is shown and asked for in one line has to stay."""
    return {name: _cut(value, 2) for name, value in record.items()}


def _cut(value: object, depth: int) -> object:
    if isinstance(value, str):
        return value if len(value) <= _SHORT_TEXT else value[:_SHORT_TEXT] + "…"
    if isinstance(value, list):
        return [_cut(each, depth - 1) for each in value[:_SHORT_LIST]] if depth else []
    if isinstance(value, dict):
        return {name: _cut(value[name], depth - 1) for name in list(value)[:_SHORT_LIST]} if depth else {}
    return value


def merged(intent: Record | None, outcome: Record) -> Record:
    """An act as one record: what was attempted, and how it ended. ``seq`` and ``time`` are those of the intent."""
    if intent is None:
        return outcome
    act = intent | {name: value for name, value in outcome.items() if name not in _OWN}
    op, end = intent.get("op"), outcome.get("op")
    if isinstance(op, dict) and isinstance(end, dict):
        act["op"] = op | end
    return act | {"phase": "outcome"}


def is_refusal(record: Record) -> bool:
    """Whether something was refused, taken back, or is told to be and the journal does not say that it was."""
    outcome = record.get("outcome")
    # As text: what a journal holds need not be what a word is looked up by.
    return str(outcome) in _REFUSED or (outcome is None and str(record.get("verdict")) in _REFUSING)


def is_note(record: Record) -> bool:
    """Whether a record tells of something that nobody of the run attempted: nothing followed from it."""
    return record.get("phase") == "outcome" and not record.get("actor") and not record.get("outcome")


def acts(reader: Reader) -> Iterator[Record]:
    """Every act once, when it has ended, and every other record; what never ended comes last."""
    known = Acts(reader)
    for record in records_of(reader):
        cause = known.cause_of(record)
        if record.get("phase") != "intent":
            yield merged(cause, record)
    yield from known.left()
