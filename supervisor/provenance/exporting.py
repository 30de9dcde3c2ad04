"""Records of a journal as others read them: what the formats share, and CloudEvents 1.0 (core and JSON format 1.0.2).
Pure. OCSF is in ``ocsf``, the runtime trace of in-toto in ``tracing``.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, cast

from supervisor.journal.codec import raw_of
from supervisor.journal.schema import fits

Record = dict[str, object]
FORMATS: Final[Sequence[str]] = ("cloudevents", "ocsf", "runtime-trace")
_DEEPEST = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Event(NamedTuple):
    """``record`` of ``run``, the ``seq``-th of its journal. ``act``: the record, and where it tells the outcome of an
    intent what that said too. ``host``: name of the machine. To be made by ``event``."""

    run: str
    seq: int
    record: Record
    act: Record
    host: str

    @property
    def uid(self) -> str:
        return f"{self.run}/{self.seq}"

    def told(self, name: str) -> str:
        """A text of ``op``, empty when there is none."""
        return text(op_of(self.act).get(name))


def event(run: str, seq: int, record: Record, act: Record, host: str) -> Event:
    """``seq``: the line, not what the record says of itself, which in a journal that was tampered with can be there
    twice. Lone surrogates become ``\\xNN``: they are no characters, and strict parsers refuse the whole line."""
    whole = cast("Record", clean(record))
    return Event(run, seq, whole, whole if act is record else cast("Record", clean(act)), host)


def clean(value: object, depth: int = 0) -> object:
    """A value that every parser of JSON takes."""
    if isinstance(value, str):
        return value if value.isascii() else "".join(_bytes(c) if _lone(c) else c for c in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {cast("str", clean(name, depth)): clean(part, depth + 1) for name, part in value.items()}
    return [clean(part, depth + 1) for part in value] if isinstance(value, list) else value


def _lone(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw_of(character))


def plain(name: str) -> str:
    """Without what an attribute of an event may not hold: control characters, surrogates and non-characters become the
    ``\\xNN`` that the journal has for bytes, and so do bidi marks."""
    return "".join(_bytes(c) if unicodedata.category(c) in _BAD else c for c in name)


def text(value: object) -> str:
    """Empty when it is none."""
    return value if isinstance(value, str) else ""


def number(value: object, least: int, most: int) -> int | None:
    """None out of range: consumers have integers of 32 bits."""
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def op_of(record: Record) -> Record:
    """What a record says of the act, empty when it says nothing."""
    op = record.get("op")
    return op if isinstance(op, dict) else {}


def words(value: object) -> list[str]:
    """The texts of a list."""
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def some(**values: object) -> Record:
    """The keys that have a value."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def milliseconds(time: object) -> int | None:
    """Since 1970, of the time of a record; None when it is none."""
    if not fits(time, "time"):
        return None
    try:
        return (datetime.fromisoformat(str(time)) - _EPOCH) // timedelta(milliseconds=1)
    except ValueError:
        return None  # the 31st of February


def cloudevent(event: Event) -> Record:
    """One event in the JSON format; ``data`` is the record."""
    record = event.record
    time = record["time"] if milliseconds(record.get("time")) is not None else None
    kind, phase = (plain(text(record.get(name)))[:64] or "unknown" for name in ("kind", "phase"))
    return {
        "specversion": "1.0",
        "id": event.uid,
        "source": f"urn:govrun:run:{event.run}",
        "type": f"govrun.{kind}.{phase}",
        **some(time=time, subject=plain(_subject(event))),
        "datacontenttype": "application/json",
        "data": record,
    }


def _subject(event: Event) -> str:
    host, port = event.told("host"), number(op_of(event.act).get("port"), 0, 65535) or 0
    if host and not event.told("unix"):
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return event.told("path") or event.told("unix") or event.told("ref")
