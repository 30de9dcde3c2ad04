"""Records as lines: plain ones of one form for pipes, drawn ones that fit a terminal."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

from supervisor.cli.text import safe
from supervisor.run.acts import Record
from supervisor.run.subject import clip, subject_of

_LONGEST_MESSAGE = 300
_LABEL = 11  # columns
_LABELLED = re.compile(r"(?:[a-z][a-z ]{9} |  below    | {11})(?=\S)")
_QUOTED = re.compile(r" +(?:\d+ )?\| ")
# Where the last column begins of lines that have some: of a run and what it is, of lineage, of blame.
_COLUMNS = re.compile(
    r"[0-9A-HJKMNP-TV-Z]{26} +|commit [0-9a-f]{12}: |"
    r" *\d+  (?:[0-9a-f]{12}|- {11}) (?:[0-9a-f]{12}|- {11})  (?:\d+-\d+|-) +\d+ paths? +|"
    r".{20} .{24} [ \d]{4}\d  +| *"
)
_LEAST = 24  # columns for what a record is about
_STYLES = MappingProxyType(
    {
        "deny": "red", "kill": "bold red", "revert": "magenta", "ask": "yellow", "pause": "yellow", "warn": "yellow",
        "blocked": "red", "reverted": "magenta", "failed": "yellow", "unknown": "yellow", "intent": "dim",
        "allow": "dim", "succeeded": "dim",
    }
)  # fmt: skip


def line_of(record: Record, cause: Record | None = None) -> str:
    """One record as one line: seq, time, kind, verdict, outcome or phase, invariant, subject, errno, message."""
    seq, kind, verdict, ended = _head(record)
    subject, invariant = subject_of(record, cause), _invariant(record)
    line = f"{seq:>6} {_time(record)[11:23]:<12} {kind:<11} {verdict:<7} {ended:<9} {invariant}"
    line += f" {subject}" if subject else ""
    if record.get("errno"):
        line += f" [{error_name(record['errno'])}]"
    if record.get("message"):
        line += f" · {clip(record['message'], _LONGEST_MESSAGE)}"
    return safe(line)


def _head(record: Record) -> tuple[str, str, str, str]:
    ended = record.get("outcome") or record.get("phase") or "-"
    return (
        clip(record.get("seq", "-"), 18),
        clip(record.get("kind", "-"), 16),
        clip(record.get("verdict", "-"), 8),
        clip(ended, 10),
    )


def _time(record: Record) -> str:
    return str(record.get("time", ""))


def _invariant(record: Record) -> str:
    invariant, adr = record.get("invariant") or "-", record.get("adr")
    return clip(f"{invariant}<-{adr}" if adr else invariant, 60)


def error_name(number: object) -> str:
    """``EACCES`` for 13; what is no known number as it is."""
    return errno.errorcode.get(number, str(number)) if isinstance(number, int) else clip(number, 20)


class Terminal:
    """What standard output can show: its width in columns, and colours as far as it has any."""

    def __init__(self) -> None:
        from rich.console import Console

        console = Console(highlight=False, markup=False, emoji=False)
        self.width = max(20, console.width)
        self._colours = console.color_system is not None and not console.no_color
        self._console = console
        self._codes: dict[str, tuple[str, str]] = {}

    def paint(self, text: str, style: str) -> str:
        """``text``, which is safe, in a style. Without colours as it is."""
        if not self._colours or not style or not text:
            return text
        if style not in self._codes:
            with self._console.capture() as drawn:
                self._console.print("#", style=style, end="")
            before, _, after = drawn.get().partition("#")
            self._codes[style] = before, after
        before, after = self._codes[style]
        return before + text + after

    def fit(self, text: str, width: int) -> str:
        """``text`` cut to ``width`` columns, wide characters counted as two."""
        if len(text) <= width and text.isascii():
            return text
        from rich.cells import cell_len, set_cell_size

        return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"

    def wrap(self, text: str, width: int, *, whole: bool = False) -> Iterator[str]:
        """``text`` in lines of at most ``width`` columns, broken at spaces where there are any. ``whole``: words that
        are longer stay whole (the terminal breaks them, and they can be copied as one)."""
        from rich.cells import cell_len

        line, used = "", 0
        for word in text.split(" "):
            for part in (word,) if whole else _parts(word, width):
                size = cell_len(part)
                if used and used + 1 + size > width:
                    yield line
                    line, used = part, size
                else:
                    line, used = (f"{line} {part}", used + 1 + size) if used else (part, size)
        if line:
            yield line


def _parts(word: str, width: int) -> list[str]:
    from rich.cells import cell_len, chop_cells

    return [word] if cell_len(word) <= width else chop_cells(word, width)


def drawer(terminal: Terminal, tree: str) -> Callable[[Record, Record | None], Iterator[str]]:
    """How records are drawn on a terminal: one line each, paths relative to ``tree``, and below it what was said."""
    width = terminal.width
    clock = 12 if width >= 120 else 8 if width >= 60 else 0
    root = tree.rstrip("/") + "/" if tree else ""

    def draw(record: Record, cause: Record | None) -> Iterator[str]:
        seq, kind, verdict, ended = map(terminal.fit, map(safe, _head(record)), (12, 11, 7, 9))
        when = terminal.fit(safe(_time(record)[11 : 11 + clock]), clock)
        head = f"{seq:>6} " + (f"{when:<{clock}} " if clock else "")
        words = f"{kind:<11} {verdict:<7} {ended:<9} "
        room = width - len(head) - len(words)
        text = safe(_relative(subject_of(record, cause), root))
        error = f" [{safe(error_name(record['errno']))}]" if record.get("errno") else ""
        styled = terminal.paint(head, "dim") + f"{kind:<11} "
        styled += terminal.paint(f"{verdict:<7}", _STYLES.get(verdict, "")) + " "
        styled += terminal.paint(f"{ended:<9}", _STYLES.get(ended, "")) + " "
        indent = len(head)
        if room >= _LEAST:
            yield (styled + terminal.fit(text, max(8, room - len(error))) + error).rstrip()
        else:
            yield styled.rstrip()
            if text:
                yield " " * 7 + terminal.fit(text, width - 7 - len(error)) + error
            indent = 7
        if said := _said(record):
            lines = terminal.wrap(safe(said), max(13, width - indent))
            yield from (" " * indent + terminal.paint(line, "italic") for line in lines)

    return draw


def _relative(text: str, root: str) -> str:
    return text.replace(f" -> {root}", " -> ").removeprefix(root) if root else text


def _said(record: Record) -> str:
    invariant, message = _invariant(record), record.get("message")
    if not message:
        return "" if invariant == "-" else invariant
    told = clip(message, _LONGEST_MESSAGE)
    return told if f"by {record.get('invariant')}" in told else f"{invariant}: {told}"


def lines_of(records: Iterable[Record], tree: str) -> Iterator[str]:
    """Whole acts as lines: drawn where standard output is a terminal, plain elsewhere."""
    if not on_terminal():
        yield from map(line_of, records)
        return
    draw = drawer(Terminal(), tree)
    for record in records:
        yield from draw(record, None)


def on_terminal() -> bool:
    """Whether people read standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def paged(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a label and a text, as they are; on a terminal the texts are wrapped below each other."""
    if not on_terminal():
        yield from lines
        return
    terminal = Terminal()
    for line in lines:
        if _QUOTED.match(line):
            change = line[_LABEL:][:1] if line.startswith(" " * 9) else ""
            yield terminal.paint(terminal.fit(line, terminal.width), {"+": "green", "-": "red"}.get(change, ""))
        elif label := _LABELLED.match(line):
            first, *rest = terminal.wrap(line[_LABEL:], max(13, terminal.width - _LABEL), whole=True)
            yield terminal.paint(label[0], "bold") + first
            yield from (" " * _LABEL + each for each in rest)
        elif "\x1b" in line:
            yield line  # drawn
        elif line.startswith("git "):
            yield line  # to be pasted
        else:
            yield from _hanging(terminal, line)


def _hanging(terminal: Terminal, line: str) -> Iterator[str]:
    """A line, and below its last column what has no room."""
    from rich.cells import cell_len

    columns = _COLUMNS.match(line)
    head = columns[0] if columns is not None else ""
    room = terminal.width - cell_len(head)
    text = line[len(head) :]
    if cell_len(line) <= terminal.width:
        yield line
    elif room < _LEAST or max(map(cell_len, text.split(" "))) > room:
        yield from terminal.wrap(line, terminal.width, whole=True)
    else:
        first, *rest = terminal.wrap(text, room, whole=True)
        yield head + first
        yield from (" " * cell_len(head) + each for each in rest)
