"""Gitignore patterns over paths relative to the tree.

pathspec translates each pattern once, on first use: importing it costs more than a start may, and a run that changes
no file never needs it.
"""

from __future__ import annotations


import re
from collections.abc import Iterable, Iterator

from supervisor.profile.model import Entry


class Globs:
    """An ordered set of patterns, each with where it was written. ``**`` alone is answered without a pattern."""

    __slots__ = ("_all", "_compiled", "entries")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._all = any(entry.value in ("**", "/**", "*") for entry in self.entries)
        self._compiled: tuple[tuple[re.Pattern[str], Entry], ...] | None = None

    def __bool__(self) -> bool:
        return bool(self.entries)

    def match(self, relative: bytes, directory: bool = False) -> Entry | None:
        """The first entry that matches the path (relative to the tree, no leading slash), or None.

        A pattern that ends in a slash matches directories and what is in them (gitignore(5)).
        """
        if self._all:
            return next(entry for entry in self.entries if entry.value in ("**", "/**", "*"))
        text = relative.decode("utf-8", "surrogateescape") + ("/" if directory else "")
        for pattern, entry in self._patterns():
            if pattern.match(text):
                return entry
        return None

    def _patterns(self) -> tuple[tuple[re.Pattern[str], Entry], ...]:
        if self._compiled is None:
            self._compiled = tuple(_translate(self.entries))
        return self._compiled

    def ancestors(self) -> frozenset[bytes]:
        """Directories that an anchored pattern names literally on the way to what it matches: replacing one of them
        (by a symbolic link, a rename) would move the matched paths away without touching them."""
        found: set[bytes] = set()
        for entry in self.entries:
            parts = entry.value.lstrip("/").split("/")
            if len(parts) == 1:
                continue
            for at in range(1, len(parts)):
                if any(sign in part for part in parts[:at] for sign in "*?["):
                    break
                found.add("/".join(parts[:at]).encode("utf-8", "surrogateescape"))
        return frozenset(found - {b""})


def _translate(entries: Iterable[Entry]) -> Iterator[tuple[re.Pattern[str], Entry]]:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # noqa: PLC0415 - 40 ms to import

    for entry in entries:
        text, include = GitIgnoreSpecPattern.pattern_to_regex(entry.value)
        if text is not None and include:
            # `.` in a translated pattern must also match a newline: file names may hold one.
            yield re.compile(text, re.DOTALL), entry


class IgnoreRules:
    """One ``.gitignore``: the last pattern that matches decides (gitignore(5))."""

    def __init__(self, content: bytes) -> None:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # noqa: PLC0415 - 40 ms to import

        self._patterns: list[tuple[re.Pattern[str], bool]] = []
        for line in content.decode("utf-8", "surrogateescape").splitlines():
            try:
                text, include = GitIgnoreSpecPattern.pattern_to_regex(line)
            except ValueError:
                continue  # git passes over a pattern it cannot read; less is ignored then
            if text is not None and include is not None:
                self._patterns.append((re.compile(text, re.DOTALL), include))

    def says(self, relative: bytes, *, directory: bool) -> bool | None:
        """True: ignored; False: a negated pattern takes it back; None: nothing matches."""
        text = relative.decode("utf-8", "surrogateescape") + ("/" if directory else "")
        for pattern, include in reversed(self._patterns):
            if pattern.match(text):
                return include
        return None
