"""Modules that ``go.mod`` and ``go.work`` ask for. What is marked ``// indirect`` the tool found, as in a lock."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located
from supervisor.inspection.go_source import unquoted
from supervisor.vocabulary.content import Requirement

_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\\n]|\\[^\n])*"|`[^`\n]*`|=>|[(),\[\]]|(?:(?!//|=>)[^\s"`(),\[\]])+|["`]')
_PATH = re.compile(r"[\w.~+!$&'*,;=:@/-]+")
_INDIRECT = re.compile(r"//[ \t]*indirect(?:[ \t]*;|[ \t]*\Z)")


def go_mod(text: str) -> Document:
    """Line by line, as Go's own reader does it. A word of two lines does not exist in it."""
    located: list[Located] = []
    entries: list[Entry] = []
    block, opened, problem, at = "", 0, "", 1 if text.startswith("\ufeff") else 0
    for number, line in enumerate(text[at:].split("\n"), 1):
        tokens = _TOKEN.findall(line)
        note = tokens.pop() if tokens and tokens[-1].startswith("//") else ""
        words = [unquoted(token) for token in tokens]
        start, end = at, at + len(line)
        at = end + 1
        if not words:
            continue
        if block and words[0] == ")":
            block = ""
            continue
        if not block and words[1:2] == ["("]:
            block, opened = words[0], number
            words = words[2:]
            if words[-1:] == [")"]:
                block, words = "", words[:-1]
            directive = tokens[0]
        else:
            directive = block or words[0]
            words = words if block else words[1:]
        if '"' in tokens or "`" in tokens:
            problem = problem or f"a string of line {number} is not closed"
        entry = Entry((number,), None, start, end, number, "line", -1)
        entries.append(entry)
        alone = tokens[1:2] != ["("]
        located += [Located(each, (entry,) if alone else ()) for each in _said(directive, words, note, number)]
    if block:
        problem = problem or f"the block of line {opened} is not closed"
    return Document(located, entries, problem)


def _said(directive: str, words: list[str], note: str, line: int) -> Iterator[Requirement]:
    if directive == "require" and len(words) > 1:
        indirect = _INDIRECT.match(note.strip()) is not None
        place = "require, indirect" if indirect else "require"
        yield from _module(words[0], words[1], line, place, locked=indirect)
    elif directive == "replace" and "=>" in words:
        at = words.index("=>")
        old, new = words[:at], words[at + 1 :]
        if not old or not new:
            return
        version = new[1] if len(new) > 1 else ""
        if _is_folder(new[0]):
            yield from _module(old[0], "", line, "replace", new[0])
        else:
            yield from _module(new[0], version, line, "replace", new[0])


def _is_folder(word: str) -> bool:
    return word in (".", "..") or word.startswith(("./", "../", "/"))


def _module(
    path: str, version: str, line: int, place: str, origin: str = "", *, locked: bool = False
) -> Iterator[Requirement]:
    if _PATH.fullmatch(path) is not None:
        yield Requirement("go", whole(path.lower()), whole(version), line, place, locked, whole(origin))
