"""Gitignore patterns over paths relative to the tree.

pathspec translates each pattern once, on first use: importing it costs more than a start may, and a run that changes
no file never needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

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


_MOST_COST = 4_000
_HEAVY = 20
REFUSED = b"\n" * _MOST_COST  # content of a rule file that is not afforded
_LONGEST = 512
_ANYWHERE = "^(?:.+/)?"
# pathspec translates these to something that matches one character; here the match must reach the end.
_ALL = {
    "*": (".+", True),
    "**": (".+", True),
    "/*": ("^[^/]+/?", True),
    "!*": (".+", False),
    "!/*": ("^[^/]+/?", False),
}


def is_costly(pattern: str) -> bool:
    """Whether the translation of an ignore pattern could backtrack for long: the rules are repository content, and are
    matched in the loop. Leaving one out means that less counts as ignored.

    Each ``**`` may begin at every slash, and two stars in a name divide it in as many ways as it is long; one of these
    is affordable, and several multiply. One star in a name can match in one way only.
    """
    segments = pattern.removeprefix("!").strip().strip("/").split("/")
    floating = 0
    while segments and segments[0] == "**":
        floating = 1
        del segments[0]
    inside = False
    while segments and segments[-1] == "**":
        inside = True
        del segments[-1]
    if len(segments) == 1:  # read against one name, but for `**/name/**`
        return len(pattern) > _LONGEST or segments[0].count("*") > (1 if floating and inside else 2)
    floating += segments.count("**")
    stars = max((segment.count("*") for segment in segments if segment != "**"), default=0)
    return len(pattern) > _LONGEST or floating > 1 or stars > 1


class _Rule(NamedTuple):
    """``inside``: speaks of what lies in a matched folder; ``name``: looks at the last name of a path alone."""

    pattern: re.Pattern[str]
    include: bool
    inside: bool
    name: bool


class IgnoreRules:
    """One ``.gitignore``: the last pattern that matches decides (gitignore(5)). ``cost``: of asking it once.

    Rules that cannot be afforded, exceptions among them, say of everything that it is not ignored.
    """

    def __init__(self, content: bytes) -> None:
        self.rules: list[_Rule] = []
        self._refused = False
        self.cost = 0
        whole = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")  # git matches bytes
        lines = whole.split("\n")  # not splitlines: git ends a line at a line feed alone
        for raw in lines[: _MOST_COST + 1]:
            self._take(raw.removesuffix("\r"))
            if self._refused:
                break
        self._refused |= len(lines) > _MOST_COST
        if self._refused:
            self.rules, self.cost = [], 1

    def __len__(self) -> int:
        return len(self.rules)

    def _take(self, line: str) -> None:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        if line.endswith("\t") or is_costly(line):
            # git keeps a trailing tab, pathspec does not: less is ignored without the pattern, but for an exception
            self._refused = line.startswith("!")
            return
        try:
            text, include = _ALL.get(line.rstrip()) or GitIgnoreSpecPattern.pattern_to_regex(line)
        except ValueError:
            return  # git passes over a pattern it cannot read; less is ignored then
        if text is None or include is None:
            return
        name = _speaks_of_a_name(text)
        heavy = line.count("*") > 1 or (_ANYWHERE in text and not name)
        self.cost += _HEAVY if heavy else 1
        self._refused = self.cost > _MOST_COST
        self.rules.append(_Rule(re.compile(text, re.DOTALL), include, line.rstrip().endswith("/**"), name))

    def says(self, relative: bytes, *, directory: bool) -> bool | None:
        """True: ignored; False: a negated pattern takes it back; None: nothing matches."""
        if self._refused:
            return False
        text = relative.decode("latin-1") + ("/" if directory else "")
        last = text[relative.rfind(b"/") + 1 :]
        for rule in reversed(self.rules):
            asked = last if rule.name else text
            found = rule.pattern.search(asked)
            # What lies in a matched folder is asked for folder by folder; only `/**` speaks of it by itself.
            if found is not None and (found.end() < len(asked) if rule.inside else found.end() == len(asked)):
                return rule.include
        return None


def _speaks_of_a_name(regex: str) -> bool:
    """Whether a translated pattern holds at any depth, and of one name: then the rest of the path need not be read."""
    rest = regex.removeprefix(_ANYWHERE)
    return rest != regex and "/" not in rest.removesuffix(f"(?:{_MARK}|$)").removesuffix(_MARK).replace("[^/]", "")
