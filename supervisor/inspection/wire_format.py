"""Two small binary formats, read strictly: messages of Protocol Buffers, and MessagePack as Terraform writes values.

Only what their encoders write is taken. What a reader could take in two ways is ``Unreadable``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.document_nodes import Items, Leaf, Made, Members, Work, untold

_DEEPEST = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Field = int | memoryview


def fields(data: memoryview) -> Iterator[tuple[int, Field]]:
    """The fields of a message in their order: number, and value or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Unreadable("a field without a number")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Unreadable(f"a field of wire type {kind}")
        if size > len(data) - at:
            raise Unreadable("it is cut off")
        yield number, data[at : at + size]
        at += size


def message(data: memoryview, single: frozenset[int]) -> dict[int, list[Field]]:
    """The fields by number. A field of ``single`` stands there once at most: of two, readers take the last, or both."""
    found: dict[int, list[Field]] = {}
    for number, value in fields(data):
        held = found.setdefault(number, [])
        if held and number in single:
            raise Unreadable(f"field {number} stands there twice")
        held.append(value)
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise Unreadable("it is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise Unreadable("a number of more than 64 bits")
    if value >> 64:
        raise Unreadable("a number of more than 64 bits")
    return value, at


# Codes of fixed length: how struct(3) reads what follows.
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
_LENGTHS: Final = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
    0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I",
}  # fmt: skip
_WORDS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_TEXTS, _BINARIES, _EXTENSIONS = (0xD9, 0xDA, 0xDB), (0xC4, 0xC5, 0xC6), (0xC7, 0xC8, 0xC9)


_TYPES: Final = (b"\xc4", b"\xc5", b"\xc6")  # a type is written as bytes, and nothing else is


class Packed:
    """One value of MessagePack as a document. Terraform leaves out nothing: members that are not set are nil, and are
    none here; an extension is a value that is not known yet; a value of a type of its own is a pair, the type first."""

    def __init__(self, data: memoryview, work: Work) -> None:
        self._data, self._work, self._at = data, work, 0

    def document(self) -> Made:
        found = self._node(0)
        if self._at != len(self._data):
            raise Unreadable("more than one value")
        return found

    def _take(self, size: int) -> memoryview:
        start, end = self._at, self._at + size
        if end > len(self._data):
            raise Unreadable("it is cut off")
        self._at = end
        return self._data[start:end]

    def _number(self, form: str) -> int | float:
        found: int | float = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return found

    def _node(self, depth: int) -> Made:
        self._work.spend()
        if depth > _DEEPEST:
            raise Unreadable(f"nested more than {_DEEPEST} levels deep")
        code = self._take(1)[0]
        if code in _WORDS:
            return Leaf(_WORDS[code], 0)
        if code < 0x80 or code >= 0xE0:
            return Leaf(code if code < 0x80 else code - 0x100, 0)
        if code in _NUMBERS:
            return Leaf(self._number(_NUMBERS[code]), 0)
        if 0xD4 <= code <= 0xD8:
            self._take(1 + (1 << (code - 0xD4)))
            return untold(0)
        size = self._size(code)
        if code in _EXTENSIONS:
            self._take(1 + size)
            return untold(0)
        if code in _TEXTS or 0xA0 <= code < 0xC0:
            return Leaf(self._text(size), 0)
        if code in _BINARIES:
            self._take(size)
            return untold(0)
        if code in (0xDE, 0xDF) or code < 0x90:
            return self._mapping(size, depth)
        return self._list(size, depth)

    def _size(self, code: int) -> int:
        if code in _LENGTHS:
            return int(self._number(_LENGTHS[code]))
        if 0xA0 <= code < 0xC0:
            return code & 0x1F
        if 0x80 <= code < 0xA0:
            return code & 0x0F
        raise Unreadable(f"a value of the unknown kind {code:#x}")

    def _text(self, size: int) -> str:
        return bytes(self._take(size)).decode("utf-8", "replace")

    def _mapping(self, size: int, depth: int) -> Members:
        members = Members([], 0)
        for _ in range(size):
            key = self._node(depth + 1)
            if not isinstance(key, Leaf) or not isinstance(key.value, str):
                raise Unreadable("a member without a name")
            value = self._node(depth + 1)
            if not (isinstance(value, Leaf) and value.known and value.value is None):
                members.pairs.append((key.value, value))
        return members

    def _list(self, size: int, depth: int) -> Made:
        typed = size == 2 and bytes(self._data[self._at : self._at + 1]) in _TYPES
        items = [self._node(depth + 1) for _ in range(size)]
        if typed:
            return items[1]
        blocks = bool(items) and all(isinstance(item, Members) for item in items)
        return Items(list(items), 0, spread=blocks)
