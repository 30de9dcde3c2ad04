"""Saved plans as Terraform writes them, put together by hand."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

UNKNOWN = object()


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def piece(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def packed(value: object) -> bytes:
    """MessagePack, in its longer forms too."""
    if value is UNKNOWN:
        return b"\xd4\x00\x00"
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes((value,)) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes((0xA0 | len(data),)) if len(data) < 32 else b"\xda" + struct.pack(">H", len(data))) + data
    if isinstance(value, bytes):
        return b"\xc4" + bytes((len(value),)) + value
    if isinstance(value, Mapping):
        return bytes((0x80 | len(value),)) + b"".join(packed(k) + packed(v) for k, v in value.items())
    assert isinstance(value, Sequence)
    return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(packed, value))


def change(address: str, action: int, *values: object) -> bytes:
    """A ``ResourceInstanceChange``."""
    inner = (number(1, action) if action else b"") + b"".join(piece(2, piece(1, packed(each))) for each in values)
    return piece(13, address) + piece(8, 'provider["example.com/test/x"]') + piece(9, inner)


def message(*changes: bytes, workspace: str = "default", version: int = 3) -> bytes:
    """A ``Plan``."""
    backend = piece(13, piece(1, "local") + piece(3, workspace))
    return number(1, version) + b"".join(piece(3, each) for each in changes) + backend + piece(14, "1.9.0")


def plan(*changes: bytes, workspace: str = "default") -> bytes:
    return archive(message(*changes, workspace=workspace))


def archive(body: bytes, name: str = "tfplan") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, body)
        file.writestr("tfstate", "{}")
    return out.getvalue()
