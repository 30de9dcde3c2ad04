"""Versions as JSON: paths are UTF-8 text in which other bytes are lone surrogates (``surrogateescape``), written as
JSON escapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Version

_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def line(path: bytes, version: Version) -> bytes:
    """One line with its end."""
    return encode(described(path, version))


def encode(record: Mapping[str, object]) -> bytes:
    """One line of ASCII with its end."""
    return _ENCODE(record).encode("ascii") + b"\n"


def parse(raw: bytes) -> tuple[bytes, Version]:
    """What ``line`` has written. Raises ``ValueError``, ``KeyError``, ``TypeError``."""
    return version_of(json.loads(raw))


def described(path: bytes, version: Version) -> dict[str, object]:
    """As an object."""
    record: dict[str, object] = {"path": text(path), "kind": version.kind.value}
    if version.kind is not Kind.ABSENT:
        record["attr"] = version[1:6]
    if version.xattrs:
        record["xattrs"] = [(text(name), value.hex()) for name, value in version.xattrs]
    if version.kind is Kind.LINK:
        record["text"] = text(version.text)
    if version.kind is Kind.FILE:
        record |= {"size": version.size, "offset": version.offset, "sha1": version.sha1}
    if version.links:
        record["links"] = [text(link) for link in version.links]
    if version.large:
        record["large"] = version.large
    if version.unsettled:
        record["unsettled"] = True
    return record


def version_of(record: Mapping[str, Any]) -> tuple[bytes, Version]:
    """From an object. Errors as ``parse``."""
    mode, uid, gid, atime_ns, mtime_ns = record.get("attr", (0, 0, 0, 0, 0))
    version = Version(
        Kind(record["kind"]),
        mode,
        uid,
        gid,
        atime_ns,
        mtime_ns,
        xattrs=tuple((raw_bytes(name), bytes.fromhex(value)) for name, value in record.get("xattrs", ())),
        text=raw_bytes(record.get("text", "")),
        size=record.get("size", 0),
        offset=record.get("offset", -1),
        sha1=record.get("sha1", ""),
        links=tuple(raw_bytes(link) for link in record.get("links", ())),
        large=record.get("large", ""),
        unsettled=record.get("unsettled", False),
    )
    of_type(int, *version[1:6], version.size, version.offset)
    of_type(str, version.sha1, version.large)
    of_type(bool, version.unsettled)
    return raw_bytes(record["path"]), version


def of_type(kind: type, *values: object) -> None:
    """Raises ``TypeError`` for a value of another type; a truth value is no number."""
    for value in values:
        if type(value) is not kind:
            raise TypeError(f"{value!r:.80} where there should be one of type {kind.__name__}")


def text(raw: bytes) -> str:
    """A path as text."""
    return raw.decode("utf-8", "surrogateescape")


def raw_bytes(text: str) -> bytes:
    """The bytes of such a text."""
    return text.encode("utf-8", "surrogateescape")
