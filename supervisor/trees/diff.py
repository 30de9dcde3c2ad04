"""What a rejected version had changed, short enough to be told on a standard error."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

_MOST_BYTES = 2000
_MOST_COMPARED = 150  # difflib is quadratic
_MOST_WIDTH = 200
_SNIFFED = 8000  # as git does
_CONTEXT = 1
# Control, format (bidi, zero width), surrogates, separators of lines and paragraphs, private and unassigned.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


def unified(path: bytes, old: bytes, new: bytes, most_lines: int = 12) -> str:
    """The change from ``old`` to ``new`` as a unified diff of at most ``most_lines`` lines and 2 kB, in characters
    that are safe on a terminal. Sizes alone for binary content; empty when nothing changed."""
    if old == new:
        return ""
    name = escape(path.decode("utf-8", "backslashreplace"))[-_MOST_WIDTH:]
    if b"\0" in old[:_SNIFFED] or b"\0" in new[:_SNIFFED]:
        return f"{name}: binary, {len(old)} -> {len(new)} bytes\n"
    before, after = _lines(old), _lines(new)
    body = [_shown(line) for line in _body(before, after)]
    head = f"--- {name}\n+++ {name}\n"
    return _bounded(head, body, most_lines)


def escape(text: str) -> str:
    """Text with control, format and unassigned characters as escapes; tabs stay."""
    return "".join(c if c == "\t" or (c.isascii() and c.isprintable()) else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if unicodedata.category(c) not in _UNSHOWN:
        return c
    number = ord(c)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _lines(raw: bytes) -> list[bytes]:
    # Not splitlines: it also splits at form feeds and lone carriage returns, which are no line ends to a diff.
    lines = raw.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    else:
        lines[-1] += b"\n\\ no newline at end of file"
    return lines


def _shown(line: str) -> str:
    text = "\n".join(escape(part) for part in line.split("\n"))
    return text if len(text) <= _MOST_WIDTH else text[: _MOST_WIDTH - 1] + "…"


def _body(before: Sequence[bytes], after: Sequence[bytes]) -> list[str]:
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    # What is common at both ends is cut off first: difflib alone takes 10 ms for 1,000 lines.
    first, last = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    a = [_decoded(line) for line in before[first : len(before) - last]]
    b = [_decoded(line) for line in after[first : len(after) - last]]
    if max(len(a), len(b)) > _MOST_COMPARED:
        taken, put = a[start - first : len(a) - (end - last)], b[start - first : len(b) - (end - last)]
        return [
            f"@@ -{start + 1},{len(taken)} +{start + 1},{len(put)} @@",
            *(f"-{line}" for line in taken[:4]),
            *([f" … {len(taken) - 4} more lines taken out"] if len(taken) > 4 else []),
            *(f"+{line}" for line in put),
        ]
    out: list[str] = []
    for line in difflib.unified_diff(a, b, lineterm="", n=_CONTEXT):
        if line in ("--- ", "+++ ") and len(out) < 2 and not any(each.startswith("@@") for each in out):
            continue
        out.append(_moved(line, first) if line.startswith("@@") else line)
    return out


def _moved(header: str, by: int) -> str:
    parts = header.split(" ")
    for at in (1, 2):
        number, comma, count = parts[at][1:].partition(",")
        parts[at] = f"{parts[at][0]}{int(number) + by}{comma}{count}"
    return " ".join(parts)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _bounded(head: str, body: Sequence[str], most_lines: int) -> str:
    out = head
    for at, line in enumerate(body):
        rest = f"… {len(body) - at} more lines\n"
        if at >= most_lines or len((out + line + "\n" + rest).encode()) > _MOST_BYTES:
            return out + rest
        out += line + "\n"
    return out
