"""Gitignore patterns over paths relative to the tree.

pathspec translates each pattern once, on first use: importing it costs more than a start may, and a run that changes
no file never needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from supervisor.profile.model import Entry

# How pathspec marks the end of a directory. No bracket expression of a pattern can hold this text: it has a slash.
_MARK = "(?P<ps_d>/)"


class Globs:
    """An ordered set of patterns, each with where it was written. ``**`` alone is answered without a pattern."""

    __slots__ = ("_all", "_ancestors", "_any", "_compiled", "entries")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._all = any(entry.value in ("**", "/**", "*") for entry in self.entries)
        self._compiled: tuple[tuple[re.Pattern[str], Entry], ...] = ()
        self._any: re.Pattern[str] | None = None
        self._ancestors: frozenset[bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self.entries)

    def match(self, relative: bytes, directory: bool = False) -> Entry | None:
        """The first entry that matches the path (relative to the tree, no leading slash), or None.

        A pattern that ends in a slash matches directories and what is in them (gitignore(5)).
        """
        if self._all:
            return next(entry for entry in self.entries if entry.value in ("**", "/**", "*"))
        if not self.entries:
            return None
        text = relative.decode("utf-8", "surrogateescape") + ("/" if directory else "")
        if self._any is None:
            self._compiled = tuple(_translate(self.entries))
            # One alternation answers "none of them", which is the usual answer; groups would clash and are not needed.
            joined = "|".join(f"(?:{pattern.pattern.replace(_MARK, '/')})" for pattern, _ in self._compiled)
            self._any = re.compile(joined or r"(?!)", re.DOTALL)
        if self._any.search(text) is None:
            return None
        return next((entry for pattern, entry in self._compiled if pattern.search(text)), None)

    def exact(self, relative: bytes) -> Entry | None:
        """The first entry that matches this very name, and not only because it matches a folder above it."""
        if self.match(relative) is None:
            return None
        text = relative.decode("utf-8", "surrogateescape")
        for pattern, entry in self._compiled:
            found = pattern.search(text)
            if found is not None and found.end() == len(text):
                return entry
        return None

    def leads(self) -> Globs:
        """Patterns of the folders on the way to what these match: replacing one of them by a symbolic link would
        put other files under the matched names without touching any."""
        found = []
        for entry in self.entries:
            parts = entry.value.strip("/").split("/")
            anchor = "/" if len(parts) > 1 else ""
            for at in range(1, len(parts)):
                prefix = parts[:at]
                if prefix[-1] != "**":
                    found.append(entry._replace(value=anchor + "/".join(prefix)))
        return Globs(found)

    def ancestors(self) -> frozenset[bytes]:
        """Directories that an anchored pattern names literally on the way to what it matches: replacing one of them
        (by a symbolic link, a rename) would move the matched paths away without touching them."""
        if self._ancestors is not None:
            return self._ancestors
        found: set[bytes] = set()
        for entry in self.entries:
            parts = entry.value.lstrip("/").split("/")
            if len(parts) == 1:
                continue
            for at in range(1, len(parts)):
                if any(sign in part for part in parts[:at] for sign in "*?["):
                    break
                found.add(re.sub(r"\\(.)", r"\1", "/".join(parts[:at])).encode("utf-8", "surrogateescape"))
        self._ancestors = frozenset(found - {b""})
        return self._ancestors


def _translate(entries: Iterable[Entry]) -> Iterator[tuple[re.Pattern[str], Entry]]:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    for entry in entries:
        text, include = GitIgnoreSpecPattern.pattern_to_regex(entry.value)
        if text is not None and include:
            # `.` in a translated pattern must also match a newline: file names may hold one.
            yield re.compile(text, re.DOTALL), entry


_MOST_RULES = 2_000
# pathspec translates these to something that matches one character; here the match must reach the end.
_ALL = {
    "*": (".+", True),
    "**": (".+", True),
    "/*": ("^[^/]+/?", True),
    "!*": (".+", False),
    "!/*": ("^[^/]+/?", False),
}


def _is_costly(pattern: str) -> bool:
    """Patterns whose translation backtracks for long: the rules are repository content, and are matched in the loop.
    Leaving one out means that less counts as ignored."""
    segments = pattern.split("/")
    return segments.count("**") > 3 or any(segment.count("*") > 2 for segment in segments if segment != "**")


class IgnoreRules:
    """One ``.gitignore``: the last pattern that matches decides (gitignore(5))."""

    def __init__(self, content: bytes) -> None:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        self._patterns: list[tuple[re.Pattern[str], bool, bool]] = []
        whole = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")  # git matches bytes
        lines = whole.split("\n")
        for raw in lines if len(lines) <= _MOST_RULES else []:  # not splitlines: git ends a line at a line feed alone
            line = raw.removesuffix("\r")
            if line.endswith("\t") or _is_costly(line):
                if line.startswith("!"):
                    self._patterns.clear()  # without its exceptions the file would ignore more than git does
                    return
                continue  # git keeps a trailing tab, pathspec does not: less is ignored without the pattern
            try:
                text, include = _ALL.get(line.rstrip()) or GitIgnoreSpecPattern.pattern_to_regex(line)
            except ValueError:
                continue  # git passes over a pattern it cannot read; less is ignored then
            if text is not None and include is not None:
                self._patterns.append((re.compile(text, re.DOTALL), include, line.rstrip().endswith("/**")))

    def says(self, relative: bytes, *, directory: bool) -> bool | None:
        """True: ignored; False: a negated pattern takes it back; None: nothing matches."""
        text = relative.decode("latin-1") + ("/" if directory else "")
        for pattern, include, inside in reversed(self._patterns):
            found = pattern.search(text)
            # What lies in a matched folder is asked for folder by folder; only `/**` speaks of it by itself.
            if found is not None and (found.end() == len(text) if not inside else found.end() < len(text)):
                return include
        return None
