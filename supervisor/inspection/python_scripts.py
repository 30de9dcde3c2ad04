"""What a setup script requires, and a script by its inline metadata (PEP 723), which ``uv run`` and ``pipx run``
install."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.python_nodes import folded, strings, text_of
from supervisor.inspection.requirement_lines import pypi
from supervisor.vocabulary.content import Requirement

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_SETUP = frozenset({"install_requires", "setup_requires", "tests_require", "extras_require"})
_NAMED = """
(assignment left: (_) @name right: (_) @value)
(augmented_assignment left: (_) @name right: (_) @value)
(named_expression name: (_) @name value: (_) @value)
(call function: (attribute object: (_) @name attribute: (identifier) @method) arguments: (argument_list) @value)
"""
_PLACES = """
(keyword_argument name: (identifier) @name value: (_) @value)
(pair key: (string) @name value: (_) @value)
(assignment left: (subscript subscript: (string) @name) right: (_) @value)
"""
_ADDS = frozenset({"append", "extend", "insert", "update", "setdefault", "add"})
_LISTS = frozenset({"list", "tuple", "set", "dictionary", "parenthesized_expression", "binary_operator", "list_splat",
                    "dictionary_splat", "argument_list", "boolean_operator"})  # fmt: skip
_COPIES = frozenset({"list", "tuple", "set", "sorted", "dict"})
_TEXTS = frozenset({"string", "concatenated_string", "binary_operator"})
_NAME_ENDS = re.compile(r"[\s<>=!~;@\[(]")
_FIRST = re.compile(r"^# /// script[ \t]*$", re.MULTILINE)
_BLOCK = re.compile(r"\n#(?:[ \t][^\n]*)?(?=\n|\Z)")
_LAST = "# ///"


def requirements(root: Node, text: str, parsers: Parsers, path: bytes) -> tuple[Requirement, ...]:
    found = list(_inline(text))
    if path.rpartition(b"/")[2] == b"setup.py":
        found += _setup(root, parsers)
    return tuple(found)


def _inline(text: str) -> Iterator[Requirement]:
    """Each comment block is walked once, whether it is closed or not."""
    from supervisor.inspection.toml_entries import toml_entries

    at = 0
    while (opening := _FIRST.search(text, at)) is not None:
        start = at = opening.end()
        closed = -1
        while (line := _BLOCK.match(text, at)) is not None:
            if line[0].rstrip() == "\n" + _LAST:
                closed = line.start()
            at = line.end()
        if closed < 0:
            continue
        first = text.count("\n", 0, start) + 1
        body = re.sub(r"^# ?", "", text[start:closed], flags=re.MULTILINE)
        for entry in toml_entries(body):
            if entry.text is not None and len(entry.path) == 2 and entry.path[0] == "dependencies":
                yield from pypi(entry.text, first + entry.line - 1, "script.dependencies")


class _Values:
    """What the names of a script are given anywhere in it."""

    def __init__(self, root: Node, parsers: Parsers) -> None:
        self.given: dict[str, list[Node]] = {}
        for match in parsers.matches("python", _NAMED, root):
            name = match["name"][0]
            if "method" in match and text_of(match["method"][0]) not in _ADDS:
                continue
            if name.type == "subscript":
                name = name.child_by_field_name("value") or name
            if name.type in ("identifier", "attribute"):
                self.given.setdefault(text_of(name)[:200], []).append(match["value"][0])

    def literals(self, node: Node) -> list[Node]:
        """The strings that ``node`` is made of, through lists, sums and names."""
        found: list[Node] = []
        open_nodes, seen = [node], set[str]()
        while open_nodes:
            each = open_nodes.pop()
            if each.type in _TEXTS:
                found.append(each)
            if each.type in ("identifier", "attribute"):
                name = text_of(each)[:200]
                if name not in seen:
                    seen.add(name)
                    open_nodes += self.given.get(name, [])
            else:
                open_nodes += _inner(each)
        return found


def _inner(node: Node) -> list[Node]:
    if node.type in _LISTS:
        return node.named_children
    if node.type in ("pair", "keyword_argument"):
        return node.children_by_field_name("value")
    if node.type == "conditional_expression":
        return [*node.named_children[:1], *node.named_children[2:]]
    if node.type == "call":
        called, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if called is not None and called.type == "identifier" and text_of(called) in _COPIES and arguments is not None:
            return [arguments]
        if called is not None and called.type == "attribute":  # `"a b".split()`, `list.copy()`
            return called.children_by_field_name("object")
    return []


def _setup(root: Node, parsers: Parsers) -> Iterator[Requirement]:
    """The literals of ``install_requires`` and its kin: a keyword, or a key of a dictionary."""
    values = _Values(root, parsers)
    for match in parsers.matches("python", _PLACES, root):
        name = match["name"][0]
        place = folded(name) if name.type == "string" else text_of(name)
        if place not in _SETUP:
            continue
        for node, value, is_begun in strings(values.literals(match["value"][0])):
            if is_begun and _NAME_ENDS.search(value) is None:
                continue
            words = value.split("\n") if "\n" in value or not _is_split(node) else value.split()
            for line in words:
                yield from pypi(line, node.start_point.row + 1, place)


def _is_split(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type == "attribute" and text_of(parent).endswith("split")
