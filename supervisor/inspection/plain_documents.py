"""JSON, TOML and files of ``NAME=value`` as documents, each value with its line. Wrong ones give what can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from supervisor.inspection.decoding import Lines, Unreadable
from supervisor.inspection.document_nodes import Items, Leaf, Members, Node, Work, untold
from supervisor.inspection.entries import Entry
from supervisor.inspection.json_entries import string
from supervisor.vocabulary.content import Scalar

_SIGN = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|[{}\[\],:\n]|//[^\n]*|/\*|[^\s{}\[\],:"/]+|/', re.DOTALL)
_DEEPEST = 1000
_WORDS: Final[Mapping[str, Scalar]] = {"true": True, "false": False, "null": None}


class _Open:
    __slots__ = ("key", "node")

    def __init__(self, node: Items | Members) -> None:
        self.node = node
        self.key: str | None = None

    def put(self, node: Node) -> None:
        if isinstance(self.node, Items):
            self.node.items.append(node)
        elif self.key is not None:
            self.node.pairs.append((self.key, node))
            self.key = None


def json_document(text: str, work: Work, first: int = 1) -> tuple[list[Node], str]:
    """The document, which begins in line ``first``. Comments are passed over. Each member counts, of one name too."""
    top = Items([], first)
    stack = [_Open(top)]
    line, at = first, 0
    while (found := _SIGN.search(text, at)) is not None:
        sign, at = found[0], found.end()
        frame, head = stack[-1], sign[0]
        if head == "\n":
            line += 1
        elif head == '"':
            work.spend()
            value = string(sign)
            if isinstance(frame.node, Members) and frame.key is None:
                frame.key = value
            else:
                frame.put(Leaf(value, line))
        elif head in "{[":
            if len(stack) > _DEEPEST:
                raise Unreadable(f"nested more than {_DEEPEST} levels deep")
            work.spend()
            node: Items | Members = Members([], line) if head == "{" else Items([], line)
            frame.put(node)
            stack.append(_Open(node))
        elif head in "}]":
            if len(stack) > 1:
                _finish(stack.pop(), line)
        elif head == ",":
            _finish(frame, line)
        elif head not in ":/":
            work.spend()
            frame.put(_bare(sign, line))
        elif sign == "/*":
            end = text.find("*/", at)
            end = len(text) if end < 0 else end + 2
            line += text.count("\n", at, end)
            at = end
    while len(stack) > 1:
        _finish(stack.pop(), line)
    return list(top.items[:1]), _json_problem(text)


def _finish(frame: _Open, line: int) -> None:
    """A key whose value is not written yet is a member all the same."""
    if frame.key is not None:
        frame.put(untold(line))


def _bare(sign: str, line: int) -> Leaf:
    if sign in _WORDS:
        return Leaf(_WORDS[sign], line)
    try:
        value = json.loads(sign) if len(sign) < 40 else None
    except ValueError:
        value = None
    return Leaf(value, line) if isinstance(value, int | float) else Leaf(None, line, known=False)


def _json_problem(text: str) -> str:
    """As ``json_problem`` says it, comments and trailing commas allowed."""
    from supervisor.inspection.json_entries import json_problem

    problem = json_problem(text)
    if not problem or ("/" not in text and "," not in text):
        return problem
    kept = [each[0] for each in _SIGN.finditer(_uncommented(text)) if each[0] not in ("\n", "/")]
    pairs = zip(kept, [*kept[1:], ""], strict=True)
    signs = " ".join(sign for sign, after in pairs if not (sign == "," and after in ("}", "]")))
    return json_problem(signs) and problem


def _uncommented(text: str) -> str:
    pieces: list[str] = []
    at, kept = 0, 0
    while (found := _SIGN.search(text, at)) is not None:
        at = found.end()
        if found[0].startswith("/") and len(found[0]) > 1:
            pieces.append(text[kept : found.start()])
            if found[0] == "/*":
                end = text.find("*/", at)
                at = len(text) if end < 0 else end + 2
            kept = at
    return "".join(pieces) + text[kept:]


def toml_documents(text: str, work: Work) -> tuple[list[Node], str]:
    from supervisor.inspection.toml_entries import toml_data, toml_entries

    entries = toml_entries(text)
    try:
        data = toml_data(text)
    except ValueError as error:
        return [_from_entries(entries, work)], str(error)
    lines: dict[tuple[str | int, ...], int] = {}
    for each in entries:
        lines.setdefault(each.path, each.line)
    return [_toml(data, (), 1, lines, work, 0)], ""


def _toml(
    value: object, path: tuple[str | int, ...], line: int, lines: Mapping[tuple[str | int, ...], int], work: Work,
    depth: int,
) -> Node:  # fmt: skip
    work.spend()
    if depth > 100:
        raise Unreadable("nested more than 100 levels deep")
    line = lines.get(path, line)
    if isinstance(value, dict):
        pairs = [(key, _toml(each, (*path, key), line, lines, work, depth + 1)) for key, each in value.items()]
        return Members(pairs, line)
    if isinstance(value, list):
        items = [_toml(each, (*path, at), line, lines, work, depth + 1) for at, each in enumerate(value)]
        return Items(items, line)
    return Leaf(value if isinstance(value, str | int | float) else str(value), line)


def _from_entries(entries: list[Entry], work: Work) -> Members:
    """What the strings of a half-written document say; lists are not told apart from mappings of positions."""
    root = Members([], 1)
    known: dict[tuple[str | int, ...], Members] = {(): root}
    for each in entries:
        if each.text is None or len(each.path) > 24:
            continue
        for depth in range(1, len(each.path)):
            work.spend()
            head = each.path[:depth]
            if head not in known:
                known[head] = Members([], each.line, known=False)
                known[head[:-1]].pairs.append((str(head[-1]), known[head]))
        if each.path:
            known[each.path[:-1]].pairs.append((str(each.path[-1]), Leaf(each.text, each.line)))
    return root


_PAIR = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=:#;\[][^=:\n]*?)[ \t]*[=:][ \t]*([^\n]*)")
_SECTION = re.compile(r"[ \t]*\[([^\]\n]+)\]")


def settings(text: str, work: Work) -> tuple[list[Node], str]:
    """``NAME=value`` lines, in sections or not. All values are text."""
    top = here = Members([], 1)
    lines = Lines(text)
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        work.spend()
        found = _SECTION.match(text, at, end)
        if found is not None:
            here = Members([], lines.at(at))
            top.pairs.append((found[1].strip(), here))
        elif (found := _PAIR.match(text, at, min(end, at + 8000))) is not None:
            here.pairs.append((found[1], Leaf(_unquoted(found[2].strip()), lines.at(at))))
        at = end + 1
    return [top], ""


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"') and value.endswith(value[0]) and len(value) > 1:
        return value[1:-1]
    return re.split(r"\s#", value, maxsplit=1)[0].rstrip() if value[:1] not in ("'", '"') else value
