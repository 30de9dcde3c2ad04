"""A JSON reader that keeps places, reads on after errors, and takes comments and trailing commas (``bun.lock``)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from supervisor.inspection.decoding import Lines
from supervisor.inspection.entries import Entry, Path

_TOKEN = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|[{}\[\],:]|//[^\n]*|/\*.*?(?:\*/|\Z)|[^\s{}\[\],:"/]+|/', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_DEEPEST = 48  # levels whose entries are told


@dataclass(slots=True)
class _Frame:
    """An open container. ``key`` and ``start`` are those of the member that is being read."""

    path: Path
    opened: int
    array: bool
    start: int
    key: str | None = None
    valued: bool = False
    index: int = 0


def string(sign: str) -> str:
    """The value of a string sign, also of one without its closing quote or with wrong escapes."""
    body = sign[1:-1] if len(sign) > 1 and sign.endswith('"') else sign[1:]
    if "\\" not in body:
        return body
    try:
        value = json.loads(f'"{body}"', strict=False)
    except (ValueError, RecursionError):
        value = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _SIMPLE.get(found[2], found[0]), body)
    return str(value)


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._end = len(text)
        self._frames: list[_Frame] = [_Frame((), -1, array=True, start=0)]
        self._skipped = 0  # open containers that are too deep
        self.found: list[Entry] = []

    def take(self, sign: str, start: int) -> None:
        frame = self._frames[-1]
        if sign in ("{", "["):
            self._open(frame, sign, start)
        elif sign in ("}", "]"):
            self._close(start)
        elif self._skipped:
            return
        elif sign == ",":
            self._finish(frame, start)
        elif sign == ":":
            return
        elif frame.array or frame.key is not None:
            self._value(frame, string(sign) if sign.startswith('"') else None, start, start + len(sign))
        elif sign.startswith('"'):
            frame.key, frame.start, frame.valued = string(sign), start, False

    def _own(self, frame: _Frame) -> Path:
        if frame.opened < 0:
            return ()
        return (*frame.path, frame.index if frame.array else frame.key or "")

    def _value(self, frame: _Frame, value: str | None, start: int, end: int) -> None:
        if frame.opened >= 0:
            first = start if frame.array else frame.start
            self.found.append(Entry(self._own(frame), value, first, end, self._lines.at(first), "item", frame.opened))
        frame.valued = True
        if frame.array:
            return
        frame.key = None

    def _finish(self, frame: _Frame, at: int) -> None:
        """A comma, or the end of the container: a key without a value is told all the same."""
        if not frame.array and frame.key is not None:
            self._value(frame, None, at, frame.start)
        frame.key = None
        frame.index += 1

    def _open(self, frame: _Frame, sign: str, start: int) -> None:
        if self._skipped or len(self._frames) > _DEEPEST:
            self._skipped += 1
            return
        self._frames.append(_Frame(self._own(frame), start, array=sign == "[", start=start))

    def _close(self, start: int) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if len(self._frames) == 1:
            return
        closed = self._frames.pop()
        self._finish(closed, start)
        outer = self._frames[-1]
        if outer.array or outer.key is not None:
            self._value(outer, None, closed.opened, start + 1)

    def end(self) -> list[Entry]:
        while len(self._frames) > 1:
            self._skipped = 0
            self._close(self._end)
        return self.found


def json_entries(text: str) -> list[Entry]:
    """All members and elements, containers after what they contain. A wrong document gives what can be read of it."""
    reader = _Reader(text)
    for found in _TOKEN.finditer(text):
        sign = found[0]
        if not sign.startswith("/"):
            reader.take(sign, found.start())
    return reader.end()


def json_problem(text: str) -> str:
    """Why ``text`` is no JSON document, empty when it is one."""
    try:
        json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return f"not JSON: {str(error)[:160]}"
    return ""
