"""Text that is safe to show on a terminal and to hand to whoever reads it next, whatever the run put into it."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable

# Cc control (ESC and C1 included), Cf format (bidi, zero width, tags), Cs surrogates, Co private use, Cn unassigned,
# Zl and Zp line separators: none of them is shown as itself.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(value: object, limit: int = 0) -> str:
    """One line of printable text. Hidden characters become escapes; beyond ``limit`` characters it ends in ``…``."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "backslashreplace")
    else:
        text = value if isinstance(value, str) else str(value)
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    if named:
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def command_line(words: Iterable[object]) -> str:
    """Arguments as a line that a shell would read as the same words, hidden characters escaped."""
    import shlex

    return safe(" ".join(shlex.quote(word if isinstance(word, str) else safe(word)) for word in words))


def emit(lines: Iterable[str]) -> None:
    """Print line by line. A reader that went away (``| head``) ends it quietly, with 141 as SIGPIPE would."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end: give it somewhere to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(141) from None
