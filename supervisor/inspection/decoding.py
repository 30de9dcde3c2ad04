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


_PROBE = bytes(range(128)) + b"\\u0061\\x61\\141+AGE-~{VP~}"  # escapes of codecs that spell ASCII in two ways
_REPLACED = "\ufffd".encode()


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
    """The text of a Python source or a requirements file. Bytes that are not in their encoding are read as Latin-1, in
    which every ASCII word stays what it is. ``Unreadable`` for encodings that are not known, or that can spell ASCII
    otherwise."""
    encoding = declared_encoding(content)
    try:
        return content.decode("ascii" if encoding == "us-ascii" else encoding)
    except (UnicodeError, LookupError, ValueError) as error:
        if not _keeps_ascii(encoding):
            raise Unreadable(f"not {encoding[:40]}: {str(error)[:120]}") from error
    return content.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def _keeps_ascii(encoding: str) -> bool:
    if encoding in _UTF8_NAMES:
        return True
    try:
        return _PROBE.decode(encoding) == _PROBE.decode("ascii")
    except (UnicodeError, LookupError, ValueError):
        return False


def lossy(content: bytes) -> bytes:
    """UTF-8 without NUL, for parsers that take nothing else: other bytes are replaced, as node does it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode("utf-8", "replace")
    elif not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            content = content.decode("utf-8", "replace").encode("utf-8")
    return content.replace(b"\0", _REPLACED) if b"\0" in content else content


class Lines:
    """Line numbers (from 1) of offsets in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def at(self, offset: int) -> int:
        return bisect.bisect_left(self._ends, offset) + 1


def whole(text: str, most: int = 500) -> str:
    """At most ``most`` characters, every one of which can be encoded: what leaves the inspectors is written to logs."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")
