"""What the readers of references share: a text without comments and strings, places in the tree, what was found.

The words that make a reference are found in a *blanked* text: of the same length, in which comments are spaces and a
string is its first quote and spaces. So they are also found in a file that does not parse yet and within macros, and
neither a comment between two of them nor one that quotes them misleads anybody.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import Unreadable, whole
from supervisor.vocabulary.content import Reference

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

DOES_NOT_PARSE = "it does not parse"
MOST_FOUND = 20_000  # references of one file
_LONGEST = 1000  # characters of a path that is told
_INK = re.compile(rb"[^\n]")
_NESTED = re.compile(rb"/\*|\*/")

# Comments, strings and characters; each of them matches to the end of the text where it is not closed.
# No group is repeated possessively, which Python 3.11 gets wrong before 3.11.5; nothing here goes back far.
GO = re.compile(
    rb'//[^\n]*|/\*.*?(?:\*/|\Z)|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"?|`[^`]*+`?' rb"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*'?",
    re.DOTALL,
)
JAVA = re.compile(
    rb'//[^\n]*|/\*.*?(?:\*/|\Z)|"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*(?:""")?|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"?'
    rb"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*'?",
    re.DOTALL,
)
# A lone quote begins a lifetime; comments nest, so only their beginning is here.
RUST = re.compile(
    rb'//[^\n]*|/\*|(?<![\w\x80-\xff])[bc]?r(#*+)"|"[^"\\]*+(?:\\.[^"\\]*+)*"?'
    rb"|'(?:\\(?:u\{[^}\n]{0,20}\}|x[0-9A-Fa-f]{2}|.)|[^'\\\n\x80-\xff]|[\xc0-\xff][\x80-\xbf]{1,3})'",
    re.DOTALL,
)


def blanked(content: bytes, tokens: re.Pattern[bytes]) -> bytes:
    """``content`` in a language of which ``tokens`` is one of the patterns above."""
    parts: list[bytes] = []
    at = 0
    while (found := tokens.search(content, at)) is not None:
        start, end = found.span()
        if tokens is RUST:
            end = _rust_end(content, found)
        text = content[start:end]
        blank = b" " * len(text) if b"\n" not in text else _INK.sub(b" ", text)
        parts.append(content[at:start])
        parts.append(blank if text[:1] in (b"/", b"'") else b'"' + blank[1:])
        at = end
    parts.append(content[at:])
    return b"".join(parts)


def _rust_end(content: bytes, found: re.Match[bytes]) -> int:
    if found[0] == b"/*":
        depth = 0
        for sign in _NESTED.finditer(content, found.start()):
            depth += 1 if sign[0] == b"/*" else -1
            if depth == 0:
                return sign.end()
        return len(content)
    if found[1] is not None:  # a raw string ends with as many signs as it begins with
        end = content.find(b'"' + found[1], found.end())
        return len(content) if end < 0 else end + 1 + len(found[1])
    return found.end()


class Found:
    """The references of one file, each place and each package once, with the first line. ``own``: its path."""

    def __init__(self, content: bytes, own: str, resolver: Resolver) -> None:
        self._lines = [found.start() for found in re.finditer(rb"\n", content)]
        self._own = own
        self._resolver = resolver
        self._known: dict[tuple[str, bool], Reference] = {}
        self.full = False

    def add(self, to: str, name: str, at: int, *, external: bool = False) -> None:
        """``to``: a path in the tree, empty for what is outside. ``at``: offset of what is written there. What leads to
        the file itself is no reference."""
        place = self._resolver.canonical(to) if to else ""
        if place and place == self._own:
            return
        key = (place or "\0" + name, external)
        line = bisect_left(self._lines, at) + 1
        known = self._known.get(key)
        if known is not None:
            if line < known.line:
                self._known[key] = known._replace(line=line)
            return
        if len(self._known) >= MOST_FOUND:
            self.full = True
            return
        self._known[key] = Reference(whole(place, _LONGEST), whole(name), line, external)

    def all(self) -> tuple[Reference, ...]:
        """By line and name. ``Unreadable`` where they are more than a file can have."""
        if self.full:
            raise Unreadable(f"it has more than {MOST_FOUND} references")
        return tuple(sorted(self._known.values(), key=lambda each: (each.line, each.name, each.to)))


def place_of(path: bytes, resolver: Resolver) -> str:
    """``path`` relative to the tree; ``Unreadable`` for one that is not in it."""
    relative = resolver.relative_of(path)
    if not relative:
        raise Unreadable("its path is not one in the tree")
    return relative


def folder_of(relative: str) -> str:
    return relative.rpartition("/")[0]


def joined(folder: str, *names: str) -> str:
    return "/".join(part for part in (folder, *names) if part)


def reached(folder: str, path: str) -> str | None:
    """Where ``path`` (with ``.`` and ``..``) leads from a folder of the tree; None for what is outside."""
    if path.startswith("/") or "\0" in path:
        return None
    parts = folder.split("/") if folder else []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)


def ancestors(folder: str) -> list[str]:
    """The folder itself and those above it, the tree (an empty text) last."""
    found = [folder]
    while folder:
        folder = folder_of(folder)
        found.append(folder)
    return found
