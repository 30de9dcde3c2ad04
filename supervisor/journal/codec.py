"""The only serialiser of the journal: one record, one line of JSON.

* Paths and arguments arrive as ``bytes``; ``text_of`` makes them readable and ``bytes_of`` takes them back unchanged.
* Lines are pure ASCII: a journal shown raw on a terminal carries no escape sequence and no bidi control.
* A line never exceeds ``MAX_LINE``: longer records are cut, and carry the digest of what was cut.
"""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring_ascii
from typing import cast

VERSION = 2  # of the schema: supervisor/journal/schema.py
MAX_LINE = 64 << 10
STAMPED = frozenset({"v", "run", "seq", "time"})
_CUT_TEXT = 1024
_CUT_ITEMS = 32


def text_of(raw: bytes) -> str:
    r"""Bytes as text: UTF-8 as it is, other bytes as ``\xNN``, a backslash doubled, so that nothing is ambiguous."""
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def bytes_of(text: str) -> bytes:
    """What ``text_of`` was given. Text that it never makes comes back as well as it can."""
    if "\\" not in text:
        return raw_of(text)
    out = bytearray()
    position = 0
    while position < len(text):
        at = text.find("\\", position)
        if at < 0:
            at = len(text)
        out += raw_of(text[position:at])
        if text.startswith("\\x", at) and _is_hex(text[at + 2 : at + 4]):
            out.append(int(text[at + 2 : at + 4], 16))
            position = at + 4
        else:
            out += b"\\" if at < len(text) else b""
            position = at + (2 if text.startswith("\\\\", at) else 1)
    return bytes(out)


def raw_of(text: str) -> bytes:
    """The bytes of a name as Python spells it. Never fails: a surrogate that stands for no byte is kept as it is."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_hex(pair: str) -> bool:
    return len(pair) == 2 and all(c in "0123456789abcdef" for c in pair)


def _foreign(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return text_of(bytes(value))
    raise TypeError(f"a journal record cannot hold {type(value).__name__}")


_ENCODE = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False, default=_foreign
).encode


def encode(record: dict[str, object]) -> str:
    """Compact JSON of a record. Raises ``ValueError``, ``TypeError`` or ``RecursionError`` on what JSON cannot say."""
    return _ENCODE(record)


def quote(value: str | bytes) -> str:
    """One JSON string, with its quotes."""
    return encode_basestring_ascii(value if isinstance(value, str) else text_of(value))


def encode_members(head: str, members: str) -> bytes | None:
    """A line from members that are JSON already (``"kind":"exec",…``); None when it would be too long for one."""
    line = f"{head}{members}}}\n"
    return line.encode("ascii") if len(line) <= MAX_LINE else None


def encode_line(head: str, record: dict[str, object]) -> bytes:
    """``head`` (an opened object that ends with a comma) and the record's keys as one line with its newline.

    Raises ``ValueError`` when the record is empty or brings a key that the writer stamps; else as ``encode``.
    """
    if not record or not STAMPED.isdisjoint(record):
        raise ValueError("a record needs a kind and must not carry v, run, seq or time")
    line = head + _ENCODE(record)[1:] + "\n"
    if len(line) > MAX_LINE:
        digest = hashlib.sha256(line.encode("ascii")).hexdigest()
        line = head + _ENCODE(_fit(record) | {"cut": "sha256:" + digest})[1:] + "\n"
        if len(line) > MAX_LINE:
            kept = {key: record[key] for key in ("kind", "phase", "verdict", "outcome", "invariant") if key in record}
            line = head + _ENCODE(cast("dict[str, object]", _cut(kept, 64, 4)) | {"cut": "sha256:" + digest})[1:] + "\n"
    return line.encode("ascii")


def _fit(record: dict[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", _cut(record, _CUT_TEXT, _CUT_ITEMS))


def _cut(value: object, text: int, items: int) -> object:
    if isinstance(value, bytes | bytearray):
        value = text_of(bytes(value))
    if isinstance(value, str):
        return value if len(value) <= text else f"{value[:text]} …+{len(value) - text}"
    if isinstance(value, dict):
        return {key: _cut(part, text, items) for key, part in value.items()}
    if isinstance(value, list | tuple):
        kept = [_cut(part, text, items) for part in value[:items]]
        return kept if len(value) <= items else [*kept, f"…+{len(value) - items}"]
    return value


class NotARecordError(ValueError):
    """The line is not one JSON object."""


def decode(line: bytes) -> dict[str, object]:
    """The record of one line. Raises ``NotARecordError`` or another ``ValueError``."""
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except RecursionError as error:
        raise NotARecordError("nested too deeply") from error
    if not isinstance(value, dict):
        raise NotARecordError("not an object")
    return value


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")
