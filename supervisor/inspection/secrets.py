"""Credentials in the bytes of any file: formats of known services, and the patterns of a profile.

Neither is proof against somebody who hides one (base64, two literals joined): it finds what is written down.
Text in UTF-16 and UTF-32 is read by leaving out NUL, which finds text inside binary files as well.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Final

from supervisor.inspection.secret_forms import DEFAULT_PATTERNS, FORMS, GAPS, RUN, Form, is_placeholder
from supervisor.vocabulary.content import Secret

__all__ = ["DEFAULT_PATTERNS", "MORE", "may_hold", "secrets"]

MORE: Final = "more"  # pattern of the one entry that stands for all above the limit
_MOST = 2000
_LINE = 4096  # characters that an own pattern is shown at once
_OVERLAP = 512
_MOST_CONFIRMED = 200


def secrets(content: bytes, patterns: tuple[tuple[str, str], ...]) -> tuple[Secret, ...]:
    """What looks like a credential, each text once, by line. ``patterns``: pairs of a name and an expression, in
    addition to the built-in list; an empty expression asks for nothing. They see one line at a time, and of a longer
    one overlapping pieces of 4,096 characters. Placeholders are left out of the built-in list alone.

    Above the limit one entry ``MORE`` has a digest of all the others. ``re.error`` for a pattern that is none."""
    found: dict[tuple[str, str], int] = {}
    for text in _readings(content):
        matches = list(_matches(text))
        ends = [each.start() for each in re.finditer(b"\n", text)] if matches else []
        for name, match, at in matches:
            found.setdefault((name, _digest(match)), bisect.bisect_left(ends, at) + 1)
        for name, match, line in _own(text, patterns):
            found.setdefault((name, _digest(match)), line)
    ordered = sorted(Secret(name, digest, line) for (name, digest), line in found.items())
    if len(ordered) > _MOST:
        rest = "".join(each.digest for each in ordered[_MOST:])
        ordered[_MOST:] = [Secret(MORE, _digest(rest.encode()), ordered[_MOST].line)]
    return tuple(sorted(ordered, key=lambda each: (each.line, each)))


def may_hold(content: bytes, own: bool) -> bool:
    """False only when ``secrets`` finds nothing. ``own``: a profile has patterns of its own, about which nothing can
    be told without the inspector."""
    if own:
        return bool(content)
    for text in _readings(content):
        runs = _long_runs(text)
        for form in FORMS:
            where = text if form.spaced else runs
            if any(hint in where for hint in form.hints):
                for _ in _of_form(form, where, _MOST_CONFIRMED):
                    return True
    return False


def _long_runs(text: bytes) -> bytes:
    """The parts of a text in which a credential could stand, which are few in a usual one, with spaces between."""
    runs, found, end = text.translate(GAPS), [], 0
    run = b"a" * RUN
    while (at := runs.find(run, end)) >= 0:
        end = runs.find(b" ", at)
        end = len(runs) if end < 0 else end
        found.append(text[at:end])
    return b" ".join(found)


def _readings(content: bytes) -> tuple[bytes, ...]:
    return (content, content.replace(b"\0", b"")) if b"\0" in content else (content,)


def _digest(text: bytes) -> str:
    import hashlib

    return hashlib.sha256(text).hexdigest()[:16]


def _matches(text: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Name, text and place of each match."""
    for form in FORMS:
        if any(hint in text for hint in form.hints):
            for match, at in _of_form(form, text):
                yield form.name, match, at


def _of_form(form: Form, text: bytes, most: int = 1 << 62) -> Iterator[tuple[bytes, int]]:
    """Text and place of each match that is no placeholder. After ``most`` attempts an empty text tells that there may
    be more: what a run wrote may hold an anchor in every third byte."""
    tries, pattern = 0, re.compile(form.expression)
    for anchor in form.anchors:
        at = text.find(anchor)
        while at >= 0:
            tries += 1
            if tries > most:
                yield b"", at
                return
            found = pattern.match(text, at)
            if found is not None and not is_placeholder(form, found[0]):
                yield found[0], at
            at = text.find(anchor, at + len(anchor) if found is None else found.end())


def _own(content: bytes, patterns: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, bytes, int]]:
    wanted = [(name, re.compile(expression)) for name, expression in patterns if expression]
    if not wanted:
        return
    text = content.decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        for piece in _pieces(line):
            for name, pattern in wanted:
                for found in pattern.finditer(piece):
                    if found[0]:
                        yield name, found[0].encode("utf-8", "surrogateescape"), number


def _pieces(line: str) -> Iterator[str]:
    if len(line) <= _LINE:
        yield line
        return
    for at in range(0, len(line) - _OVERLAP, _LINE - _OVERLAP):
        yield line[at : at + _LINE]
