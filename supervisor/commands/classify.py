"""A command line taken apart -> verb and classes, by the entries of its tool. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from supervisor.commands.parsing import Line
from supervisor.commands.toolfiles import Entry, Tool

_HELP = frozenset(("--help", "--help-all"))
_SINGLE_HELP = frozenset(("-help",))
_VERSION = frozenset(("--version",))
_DEEPEST = 12


class Doing(NamedTuple):
    """``length``: how many operands the verb has, from ``start`` on."""

    classes: tuple[str, ...] = ()
    start: int = 0
    length: int = 0
    entry: Entry | None = None


def classified(tool: Tool, line: Line) -> Doing:
    """What the command does. Whatever is not certain to only look counts as what it could be."""
    words = line.operands()
    if line.has_surely(_SINGLE_HELP if tool.single else _HELP):
        return Doing(length=min(1, len(words)))
    if tool.verbless or not words:
        looks = (not words and line.has_surely(_VERSION)) or (tool.dry and line.has_surely(tool.dry))
        return Doing((tool.alone,)) if tool.alone and not looks else Doing()
    if tool.anywhere:
        return _anywhere(tool, line, words)
    found = _verb(tool, line, words)
    if tool.dry and found.classes and line.has_surely(tool.dry):
        return found._replace(classes=())
    return found


def _verb(tool: Tool, line: Line, words: Sequence[str]) -> Doing:
    found = _at(tool, line, words, 0)
    if found.entry is not None:
        return found
    # An option that nobody listed came before it: what follows may be the verb.
    for start in range(min(len(words) - 1, 3)):
        if line.words[start][0] not in line.loose:
            break
        later = _at(tool, line, words, start + 1)
        if later.classes:
            return later
    classes = (tool.default,) if tool.default else ()
    return Doing(classes, 0, min(len(words), tool.depth))


def _at(tool: Tool, line: Line, words: Sequence[str], start: int) -> Doing:
    """The entries that fit from this operand on."""
    rest = words[start : start + _DEEPEST]
    fitting = [each for each in _candidates(tool, rest[0]) if _fits(each, rest, line)]
    best = max((each.rank for each in fitting), default=None)
    if tool.scan and (best is None or best[0] == 1):
        return _scanned(tool, line, rest, start)
    if best is None:
        return Doing()
    chosen = [each for each in fitting if each.rank == best]
    return Doing(_names(chosen), start, len(chosen[0].words), chosen[0])


def _scanned(tool: Tool, line: Line, rest: Sequence[str], start: int) -> Doing:
    """The first word that is a verb: what comes before are groups, what follows are its operands."""
    for at, word in enumerate(rest):
        fitting = [each for each in _candidates(tool, word) if len(each.words) == 1 and _fits(each, (word,), line)]
        best = max((each.rank for each in fitting), default=None)
        if best is not None:
            chosen = [each for each in fitting if each.rank == best]
            return Doing(_names(chosen), start, at + 1, chosen[0])
    return Doing()


def _anywhere(tool: Tool, line: Line, words: Sequence[str]) -> Doing:
    if tool.dry and line.has_surely(tool.dry):
        return Doing(length=1)
    classes: dict[str, None] = {}
    first = 0
    for at in range(len(words)):
        found = _at(tool, line, words[at : at + 1], 0)
        if found.classes:
            first = first if classes else at
            classes.update(dict.fromkeys(found.classes))
    return Doing(tuple(classes), first, 1)


def _candidates(tool: Tool, word: str) -> Iterator[Entry]:
    yield from tool.entries.get(word, ())
    yield from tool.wild


def _fits(entry: Entry, words: Sequence[str], line: Line) -> bool:
    return _spells(entry, words) and _is_met(entry, line)


def _spells(entry: Entry, words: Sequence[str]) -> bool:
    if len(entry.words) > len(words):
        return False
    for wanted, word in zip(entry.words, words, strict=False):
        if wanted not in (word, "*") and not ("*" in wanted and fnmatchcase(word, wanted)):
            return False
    return True


def _is_met(entry: Entry, line: Line) -> bool:
    asked = line.has if entry.name else line.has_surely
    if not all(asked(options) for options in entry.needs):
        return False
    # What would take a class away has to be certain, what would take away that it is harmless has not.
    return not (entry.bars and (line.has_surely if entry.name else line.has)(entry.bars))


def is_one_of(entries: Sequence[Entry], words: Sequence[str], line: Line) -> bool:
    """Whether one of the entries fits from the first word on."""
    return any(_spells(each, words) and all(line.has(needs) for needs in each.needs) for each in entries)


def _names(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.name for each in entries if each.name))
