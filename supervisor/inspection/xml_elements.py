"""XML elements with their places in the text, as lenient as Maven's reader: no namespaces, unknown entities stay as
they are written. Nothing is expanded, so that a text cannot say more than it is long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.inspection.decoding import Lines, Unreadable

_MARK = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)|<![^>]*>?"
    r"|<(/?)([^\s<>/?!\"']+)((?:[^<>\"']{1,2000}|\"[^\"]{0,2000}(?:\"|\Z)|'[^']{0,2000}(?:'|\Z)){0,60}+)(>|\Z)|<",
    re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{1,12}));")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_DECLARED = re.compile(r"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([^\"'>]*)[\"']")
_PLAIN = re.compile(r"utf-?8|utf-?16|us-ascii|iso-8859-\d+|latin-?1|windows-125\d|cp125\d", re.IGNORECASE)
_DEEPEST = 200


class Element(NamedTuple):
    """``path``: names from the root, the own one last. ``text``: all text directly in it, stripped. ``children``:
    (name, text) of the elements directly in it. ``start`` and ``end``: offsets of the whole element."""

    path: tuple[str, ...]
    text: str
    children: tuple[tuple[str, str], ...]
    start: int
    end: int
    line: int

    def child(self, name: str) -> str:
        """The text of the last one of that name, empty without one."""
        return next((text for each, text in reversed(self.children) if each == name), "")


class _Open:
    __slots__ = ("children", "name", "start", "texts")

    def __init__(self, name: str, start: int) -> None:
        self.name, self.start = name, start
        self.texts: list[str] = []
        self.children: list[tuple[str, str]] = []


def elements(text: str) -> tuple[list[Element], str]:
    """The elements in the order in which they end, and what is wrong with the text. ``Unreadable``: a document type
    (which may define words), an encoding in which ASCII is written otherwise, nesting beyond reason."""
    declared = _DECLARED.match(text)
    if declared is not None and _PLAIN.fullmatch(declared[1].strip()) is None:
        raise Unreadable(f"its encoding is {declared[1][:40]}")
    if "\0" in text:
        raise Unreadable("it has NUL bytes")
    lines = Lines(text)
    found: list[Element] = []
    stack: list[_Open] = []
    problem = ""
    at = 0
    for mark in _MARK.finditer(text):
        if stack:
            stack[-1].texts.append(_decoded(text[at : mark.start()]))
        at = mark.end()
        whole = mark[0]
        if mark[2] is None:
            if whole.startswith("<![CDATA["):
                if stack:
                    stack[-1].texts.append(whole[9:].removesuffix("]]>"))
            elif not whole.startswith(("<!--", "<?")) and ">" in text[mark.end() - 1 :]:
                raise Unreadable("it has a document type" if whole.startswith("<!") else "it has a tag that is none")
            elif not whole.endswith(("-->", "?>")):
                problem = problem or f"not XML at line {lines.at(mark.start())}"
                break
            continue
        if not mark[4]:
            problem = problem or f"a tag of line {lines.at(mark.start())} is not closed"
            break
        if not mark[1]:
            if len(stack) > _DEEPEST:
                raise Unreadable("nested too deeply")
            stack.append(_Open(mark[2].rpartition(":")[2], mark.start()))
        if mark[1] or mark[3].rstrip().endswith("/"):
            problem = problem or _wrong(stack, mark, lines)
            found += _closed(stack, mark[2].rpartition(":")[2], mark.end(), lines)
    if stack:
        problem = problem or f"<{stack[-1].name[:60]}> is not closed"
        found += _closed(stack, stack[0].name, len(text), lines)
    return found, problem


def _wrong(stack: list[_Open], mark: re.Match[str], lines: Lines) -> str:
    right = bool(stack) and stack[-1].name == mark[2].rpartition(":")[2]
    return "" if right else f"</{mark[2][:60]}> of line {lines.at(mark.start())} closes nothing"


def _closed(stack: list[_Open], name: str, end: int, lines: Lines) -> Iterator[Element]:
    """The innermost element of that name, and what is open within it."""
    if not any(each.name == name for each in stack):
        return
    while stack:
        path = tuple(each.name for each in stack)
        inner = stack.pop()
        text = "".join(inner.texts).strip()
        yield Element(path, text, tuple(inner.children), inner.start, end, lines.at(inner.start))
        if stack:
            stack[-1].children.append((inner.name, text))
        if inner.name == name:
            return


def _decoded(text: str) -> str:
    return _ENTITY.sub(_entity, text) if "&" in text else text


def _entity(found: re.Match[str]) -> str:
    if found[3]:
        return _ENTITIES.get(found[3], found[0])
    number = int(found[1]) if found[1] else int(found[2], 16)
    return chr(number) if number < 0x110000 else "?"
