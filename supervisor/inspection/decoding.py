"""From bytes to text as the programs that read these files do it."""

from __future__ import annotations

import bisect
import codecs
import re

# PEP 263, over the first two lines; lines end as Python's universal newlines do.
_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_UTF8_NAMES = frozenset({"utf-8", "utf8", "u8", "utf-8-sig", "us-ascii", "ascii"})
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Unreadable(ValueError):
    """Bytes that are not the text they should be. The message says why."""


def declared_encoding(content: bytes) -> str:
    """The encoding that a byte order mark or a coding cookie declares, in lower case with ``-``; ``utf-8`` else."""
    for mark, name in _BOMS:
        if content.startswith(mark):
            return name
    end = 0
    for _ in range(2):
        line_end = _LINE_END.search(content, end)
        end = len(content) if line_end is None else line_end.end()
    head = content[:end]
    if b"coding" not in head:
        return "utf-8"
    for line in _LINE_END.split(head)[:2]:
        found = _COOKIE.match(line)
        if found is not None:
            return found[1].decode("ascii", "replace").lower().replace("_", "-")
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    return "utf-8"


def is_plain(content: bytes) -> bool:
    """True when every ASCII name in the text is the same bytes in ``content``: UTF-8 or ASCII, declared or not."""
    return declared_encoding(content) in _UTF8_NAMES


def decode(content: bytes) -> str:
    """The text of a Python source or a requirements file. ``Unreadable`` when it is not in its encoding."""
    encoding = declared_encoding(content)
    try:
        return content.decode("ascii" if encoding == "us-ascii" else encoding)
    except (UnicodeError, LookupError, ValueError) as error:
        raise Unreadable(f"not {encoding[:40]}: {str(error)[:120]}") from error


class Lines:
    """Line numbers (from 1) of offsets in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def at(self, offset: int) -> int:
        return bisect.bisect_left(self._ends, offset) + 1


def whole(text: str, most: int = 500) -> str:
    """At most ``most`` characters, every one of which can be encoded: what leaves the inspectors is written to logs."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")
