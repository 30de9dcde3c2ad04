"""Requirements in ``setup.cfg`` and ``tox.ini``, as configparser reads them. Raises for no text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located
from supervisor.inspection.requirement_lines import pypi

_KEYS = frozenset({"install_requires", "setup_requires", "tests_require"})
_EXTRAS = "options.extras_require"
_SECTION = re.compile(r"\[([^\]]*)\]")
_KEY = re.compile(r"([^=:\s][^=:]*?)\s*[=:]\s*(.*)", re.DOTALL)
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")  # no other sign ends a line
_NAMED = re.compile(r"%\(([^()%]+)\)s")
_FACTOR = re.compile(r"[\w.,!{}-]+:(?=\s)\s*")  # of tox: ``py312: name``
_DEEPEST = 10  # configparser's limit
_MOST_EXPANDED = 100_000  # characters


class _Piece(NamedTuple):
    """The value of a key, or one more line of it. ``entry`` covers it in the text."""

    section: str
    key: str
    text: str
    entry: Entry


class _Values:
    """What ``%(name)s`` stands for, up to a size that no honest file has."""

    def __init__(self, pieces: list[_Piece]) -> None:
        self._left = _MOST_EXPANDED
        self._given: dict[tuple[str, str], list[str]] = {}
        for piece in pieces:
            self._given.setdefault((piece.section, piece.key.lower()), []).append(piece.text)

    def expanded(self, text: str, section: str) -> list[str]:
        """The lines of ``text`` with what it refers to."""
        depth = 0
        while "%(" in text and depth < _DEEPEST and self._left > 0:
            depth += 1
            text = _NAMED.sub(lambda found: self._value(section, found[1].strip().lower()), text)
        return text.split("\n")

    def _value(self, section: str, name: str) -> str:
        given = self._given.get((section, name)) or self._given.get(("DEFAULT", name)) or []
        told = "\n".join(given)[: max(self._left, 0)]
        self._left -= len(told) + 1
        return told


def setup_cfg(text: str) -> Document:
    """``install_requires`` and its kin, and ``deps`` of tox, line by line."""
    pieces = list(_pieces(text))
    extras = any(piece.section == _EXTRAS for piece in pieces)
    located: list[Located] = []
    values = _Values(pieces)
    for piece in pieces:
        place = _place(piece.section, piece.key, extras=extras)
        if not place:
            continue
        split = piece.text.split(";") if piece.entry.shape == "value" else [piece.text]
        lines = [line for each in split for line in values.expanded(each, piece.section)]
        if place.endswith(".deps"):
            lines = [_FACTOR.sub("", line.strip(), count=1) for line in lines]
        found = [each for line in lines for each in pypi(line, piece.entry.line, place)]
        owner = (piece.entry,) if len(found) == 1 and "%(" not in piece.text else ()
        located += [Located(each, owner) for each in found]
    entries = [piece.entry for piece in pieces if piece.entry.shape == "line" or _place(piece.section, piece.key)]
    return Document(located, entries, _problem(text))


def _pieces(text: str) -> Iterator[_Piece]:
    section, key, indent, number = "", "", 0, 0
    for found in _LINE.finditer(text.removeprefix("\ufeff")):
        number += 1
        start, bare = found.start() + text.startswith("\ufeff"), found[1]
        written = bare.strip()
        if not written or written[0] in "#;":
            continue
        depth = len(bare) - len(bare.lstrip())
        if key and depth > indent:
            entry = Entry((number,), None, start, start + len(bare), number, "line", -1)
            yield _Piece(section, key, written, entry)
            continue
        header = _SECTION.match(written)
        if header is not None:
            section, key = header[1], ""
            continue
        pair = _KEY.fullmatch(written)
        if pair is None:
            continue
        key, indent = pair[1], depth
        if pair[2]:
            at = start + bare.rfind(pair[2])
            yield _Piece(section, key, pair[2], Entry((number,), None, at, start + len(bare), number, "value", -1))


def _place(section: str, key: str, *, extras: bool = False) -> str:
    """Empty for a key that lists no requirements. What ``[DEFAULT]`` says, every section says."""
    name = key.strip().lower().replace("-", "_")
    if section in ("options", "DEFAULT") and name in _KEYS:
        return f"options.{name}"
    if section == _EXTRAS or (section == "DEFAULT" and extras):
        return whole(f"{_EXTRAS}.{key.strip()}")
    if (section.startswith("testenv") or section == "DEFAULT") and name == "deps":
        return whole(f"{section}.deps")
    if section in ("tox", "tox:tox") and name == "requires":
        return "tox.requires.deps"
    return ""


def _problem(text: str) -> str:
    import configparser

    try:
        configparser.RawConfigParser().read_string(text.removeprefix("\ufeff"))
    except configparser.Error as error:
        return whole(f"not a configuration file: {error}".replace("\n", " "), 160)
    return ""
