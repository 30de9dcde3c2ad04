"""Text that is safe to show on a terminal and to hand to whoever reads it next, whatever the run put into it."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from collections.abc import Iterable
from typing import TextIO

from supervisor.vocabulary.errors import HostError

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


def emit(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Print line by line to ``stream``, else to standard output. A reader that went away (``| head``) ends it quietly,
    with 141 as SIGPIPE would. Errors: ``HostError`` when what is printed cannot be written."""
    out = sys.stdout if stream is None else stream
    if out is None:
        # Closed from the start: descriptor 1 may by now be a file that was opened since.
        raise HostError("cannot write to standard output", "it is closed", "open it, or use > /dev/null")
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    position = iter(lines)
    try:
        while (line := next(position, None)) is not None:
            write(out, line + "\n")
        write(out, "")
    except BrokenPipeError:
        drop(out)
        raise SystemExit(141) from None


def write(out: TextIO, text: str) -> None:
    """Write ``text``; nothing means: see that all of it arrived."""
    try:
        if text:
            out.write(text)
        else:
            out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop(out)
        why = error.strerror or str(error)
        raise HostError("cannot write to standard output", why, "free space there, or send it elsewhere") from error


def drop(out: TextIO) -> None:
    """Lead ``out`` nowhere: the interpreter flushes once more at its end, and would complain of it."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
        os.close(null)
    except OSError:
        return  # it is no descriptor, or there is none left
