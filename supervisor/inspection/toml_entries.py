"""A TOML reader that keeps places and reads on after errors. ``tomllib`` says whether a document is right."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor.inspection.decoding import Lines
from supervisor.inspection.entries import Entry, Path

_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE = re.compile(r"[^\s.=\"'\[\]{},#]+")
_SCALAR = re.compile(r"[^,\]}#\n\r]+")
_BASIC = re.compile(r'"([^"\\\n]*(?:\\[^\n][^"\\\n]*)*)(?:"|(?=\n|\Z))')
_LITERAL = re.compile(r"'([^'\n]*)(?:'|(?=\n|\Z))")
_LONG_BASIC_END = re.compile(r'\\.|"{3,5}', re.DOTALL)
_LONG_LITERAL_END = re.compile(r"'{3,5}")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|[ \t]*\r?\n\s*|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "e": "\x1b", '"': '"', "\\": "\\"}
_DEEPEST = 24
_ENDLESS = re.compile(r"(?:\.[ \t]*[\w\"'-]{1,60}[ \t]*){100}")  # dotted keys, over which tomllib takes quadratic time
# What cannot stand in an array: there it ends, its closing bracket is not written yet.
_NO_ELEMENT = re.compile(
    r"\[\[?[ \t]*(?!(?:true|false|inf|nan)[ \t]*[\],])[A-Za-z_][\w. \"'-]*\]\]?[ \t]*(?=#|\r?\n|\Z)"
    r"|[A-Za-z_][\w.-]*[ \t]*=",
    re.ASCII,
)
_REST = re.compile(r"[^\n]*")


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2] or found[3]
    if number:
        return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
    return _SIMPLE.get(found[4], found[0]) if found[4] else ""


def _value_of(body: str, escapes: bool) -> str:
    return _ESCAPE.sub(_unescaped, body) if escapes and "\\" in body else body


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._arrays: dict[Path, int] = {}
        self._base: Path = ()
        self._group = -1
        self._header: tuple[Path, int] | None = None
        self._last = 0
        self.found: list[Entry] = []

    def run(self) -> None:
        text = self._text
        at = 1 if text.startswith("\ufeff") else 0
        while True:
            at = self._gap(at)
            if at >= len(text):
                break
            start = at
            at = self._table(at) if text[at] == "[" else self._pair(at)
            self._last = max(at, start)
            if at <= start:
                at = start + 1
            rest = _REST.match(text, at)
            if rest is not None and text[at - 1] != "\n":
                at = rest.end()
        self._close_table()

    def _gap(self, at: int) -> int:
        found = _GAP.match(self._text, at)
        return at if found is None else found.end()

    def _spaces(self, at: int) -> int:
        found = _SPACES.match(self._text, at)
        return at if found is None else found.end()

    def _add(self, path: Path, value: str | None, start: int, end: int, shape: str, group: int) -> None:
        self.found.append(Entry(path, value, start, end, self._lines.at(start), shape, group))

    def _string(self, at: int) -> tuple[str, int] | None:
        """(value, end). One that is not closed ends with its line."""
        escapes = self._text[at] == '"'
        if self._text.startswith(('"""', "'''"), at):
            for mark in (_LONG_BASIC_END if escapes else _LONG_LITERAL_END).finditer(self._text, at + 3):
                if not mark[0].startswith("\\"):
                    body = self._text[at + 3 : mark.end() - 3]
                    body = body[2:] if body.startswith("\r\n") else body.removeprefix("\n")
                    return _value_of(body, escapes), mark.end()
        found = (_BASIC if escapes else _LITERAL).match(self._text, at)
        return None if found is None else (_value_of(found[1].rstrip("\r"), escapes), found.end())

    def _key(self, at: int) -> tuple[tuple[str, ...], int] | None:
        """Dotted names from ``at``; the end is after the spaces behind them."""
        names: list[str] = []
        while True:
            at = self._spaces(at)
            quoted = self._string(at) if self._text[at : at + 1] in ('"', "'") else None
            if quoted is not None:
                name, at = quoted
            else:
                bare = _BARE.match(self._text, at)
                if bare is None:
                    return (tuple(names), at) if names else None
                name, at = bare[0], bare.end()
            names.append(name)
            at = self._spaces(at)
            if self._text[at : at + 1] != ".":
                return tuple(names), at
            at += 1

    def _table(self, at: int) -> int:
        self._close_table()
        double = self._text.startswith("[[", at)
        key = self._key(at + (2 if double else 1))
        if key is None:
            return at
        names, end = key
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if double and position == len(names) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
        self._base, self._header, self._group = path, (path, at), at
        closing = "]]" if double else "]"
        return end + len(closing) if self._text.startswith(closing, end) else end

    def _close_table(self) -> None:
        if self._header is not None:
            path, start = self._header
            self._add(path, None, start, self._last, "table", -2)
            self._header = None

    def _pair(self, at: int) -> int:
        key = self._key(at)
        if key is None:
            return at
        names, end = key
        path = (*self._base, *names)
        value: str | None = None
        if self._text[end : end + 1] == "=":
            value, end = self._value(self._spaces(end + 1), path, 0)
        self._add(path, value, at, end, "line", self._group)
        return end

    def _value(self, at: int, path: Path, depth: int) -> tuple[str | None, int]:
        first = self._text[at : at + 1]
        if first in ('"', "'"):
            text = self._string(at)
            if text is not None:
                return text
        if first in ("[", "{") and depth < _DEEPEST:
            return None, self._array(at, path, depth) if first == "[" else self._inline(at, path, depth)
        scalar = _SCALAR.match(self._text, at)
        return None, at if scalar is None else scalar.end()

    def _array(self, at: int, path: Path, depth: int) -> int:
        group, index = at, 0
        at += 1
        while True:
            at = self._gap(at)
            here = self._text[at : at + 1]
            if here in ("", "]"):
                return at + len(here)
            if here == ",":
                at += 1
                continue
            if self._text[at - 1] == "\n" and _NO_ELEMENT.match(self._text, at):
                return at
            value, end = self._value(at, (*path, index), depth + 1)
            if end <= at:
                return at
            self._add((*path, index), value, at, end, "item", group)
            at, index = end, index + 1

    def _inline(self, at: int, path: Path, depth: int) -> int:
        group = at
        at += 1
        while True:
            at = self._gap(at)
            here = self._text[at : at + 1]
            if here in ("", "}"):
                return at + len(here)
            if here == ",":
                at += 1
                continue
            key = self._key(at)
            if key is None:
                return at
            names, end = key
            value: str | None = None
            if self._text[end : end + 1] == "=":
                value, end = self._value(self._gap(end + 1), (*path, *names), depth + 1)
            if end <= at:
                return at
            self._add((*path, *names), value, at, end, "item", group)
            at = end


def toml_entries(text: str) -> list[Entry]:
    """All keys and elements. A wrong document gives what can be read of it."""
    reader = _Reader(text)
    reader.run()
    return reader.found


def toml_document(text: str) -> tuple[list[Entry], str]:
    """The entries, and why ``text`` is no TOML document (empty when it is one).

    Of a right document no string is missed: what the reader here does not find where ``tomllib`` does is added, in
    line 0 and without a place.
    """
    entries = toml_entries(text)
    try:
        data = toml_data(text)
    except ValueError as error:
        return entries, str(error)
    known = {(each.path, each.text) for each in entries}
    missed = [each for each in _strings(data) if (each.path, each.text) not in known]
    return entries + missed, ""


def toml_data(text: str) -> dict[str, object]:
    """``tomllib``'s reading; ``ValueError`` says what is wrong."""
    import tomllib

    if _ENDLESS.search(text) is not None:
        raise ValueError("nested too deeply")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not TOML: {str(error)[:160]}") from error


def _strings(data: dict[str, object]) -> Iterator[Entry]:
    open_values: list[tuple[Path, object]] = [((), data)]
    while open_values:
        path, value = open_values.pop()
        if len(path) > _DEEPEST:
            continue
        if isinstance(value, dict):
            open_values += [((*path, str(key)), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            open_values += [((*path, index), inner) for index, inner in enumerate(value)]
        elif isinstance(value, str):
            yield Entry(path, value, -1, -1, 0, "missed", -3)
