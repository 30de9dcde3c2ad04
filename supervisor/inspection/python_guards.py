"""Which blocks of a Python source only type checkers read: those under ``TYPE_CHECKING`` of ``typing``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from supervisor.inspection.python_nodes import dotted, odd_words, outermost, plain, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_HOMES = frozenset({"typing", "typing_extensions"})
_NAME = "TYPE_CHECKING"
_IMPORTS = """
(import_statement name: (_) @import)
(import_from_statement module_name: (_) @home name: (_) @taken)
(import_from_statement module_name: (_) @home (wildcard_import) @star)
"""
# Where the name is only read. Everywhere else it may be given another value.
_READ = """
(if_statement condition: {0}) (elif_clause condition: {0}) (not_operator argument: {0})
(if_statement condition: (parenthesized_expression {0}))
(boolean_operator left: {0}) (boolean_operator right: {0})
"""
_USES = "\n".join(
    (
        _READ.format("(identifier) @use"),
        _READ.format("(attribute attribute: (identifier) @use)"),
        "(attribute object: (identifier) @object)",
        "(string) @skip (comment) @skip",
        "(assignment left: (identifier) @use right: (false))",
    )
)
_FALSE = "(assignment left: (identifier) @name right: (false))"
_GUARDS = "(if_statement condition: (_) @condition consequence: (block) @block)"


class _Bindings:
    """Names that are ``TYPE_CHECKING`` or a module that has it by an import, and names that others bind."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.modules: set[str] = set()
        self.others: set[str] = set()
        self.tokens: set[int] = set()  # offsets in imports that bind nothing else
        self.star = False

    def take(self, match: dict[str, list[Node]]) -> None:
        home = dotted(match["home"][0]) if "home" in match else ""
        for place in ("home", "import", "taken"):
            for node in match.get(place, []):
                self._tokens(node)
        if "star" in match:
            self.star = self.star or home not in _HOMES
        elif "import" in match:
            self._module(match["import"][0])
        elif "taken" in match:
            name, alias = parts(match["taken"][0])
            (self.names if home in _HOMES and name == _NAME else self.others).add(alias or name)

    def _module(self, node: Node) -> None:
        name, alias = parts(node)
        known = name if alias else name.partition(".")[0]
        (self.modules if known in _HOMES else self.others).add(alias or known)

    def _tokens(self, node: Node) -> None:
        for each in (node, *node.named_children):
            self.tokens.add(each.start_byte)
            self.tokens.update(child.start_byte for child in each.named_children)

    def watched(self) -> set[str]:
        return {_NAME, *self.names, *self.modules}


def parts(node: Node) -> tuple[str, str]:
    """(name, alias or empty) of one imported thing."""
    if node.type != "aliased_import":
        return plain(dotted(node)), ""
    name, alias = node.child_by_field_name("name"), node.child_by_field_name("alias")
    return (
        plain(dotted(name)) if name is not None else "",
        plain(text_of(alias)) if alias is not None else "",
    )


def types_only(root: Node, raw: bytes, parsers: Parsers) -> list[tuple[int, int]]:
    """Byte ranges under ``if TYPE_CHECKING:``, in order, none in another. A name that is bound to anything else
    anywhere in the source guards nothing."""
    known = _Bindings()
    for match in parsers.matches("python", _IMPORTS, root):
        known.take(match)
    for node in parsers.captures("python", _FALSE, root).get("name", []):
        if text_of(node) == _NAME:
            known.names.add(_NAME)
    if known.star or not (known.names or known.modules):
        return []
    trusted = known.watched() - known.others - _rebound(root, raw, parsers, known)
    names = known.names & trusted
    modules = known.modules & trusted if _NAME in trusted else set()
    found = [
        (match["block"][0].start_byte, match["block"][0].end_byte)
        for match in parsers.matches("python", _GUARDS, root)
        if _is_guard(match["condition"][0], names, modules) and not match["block"][0].has_error
    ]
    return outermost(found)


def _rebound(root: Node, raw: bytes, parsers: Parsers, known: _Bindings) -> set[str]:
    """Of the watched names those that stand where they may be bound."""
    watched = known.watched()
    read = known.tokens
    skipped: list[tuple[int, int]] = []
    for place, nodes in parsers.captures("python", _USES, root).items():
        if place == "use":
            read.update(node.start_byte for node in nodes)
        elif place == "object":
            read.update(node.start_byte for node in nodes if text_of(node) in known.modules)
        else:
            skipped += [(node.start_byte, node.end_byte) for node in nodes]
    skipped = outermost(skipped)
    found = {name for _, _, name in odd_words(raw)} & watched
    words = b"|".join(re.escape(name.encode()) for name in sorted(watched))
    at = 0
    for word in re.finditer(rb"(?<![\w\x80-\xff])(?:" + words + rb")(?![\w\x80-\xff])", raw):
        while at < len(skipped) and skipped[at][1] <= word.start():
            at += 1
        in_text = at < len(skipped) and skipped[at][0] <= word.start()
        if word.start() not in read and not in_text:
            found.add(word[0].decode())
    return found


def _is_guard(node: Node, names: set[str], modules: set[str]) -> bool:
    if node.type == "parenthesized_expression" and node.named_child_count == 1:
        node = node.named_children[0]
    if node.type == "identifier":
        return text_of(node) in names
    if node.type != "attribute":
        return False
    home, last = node.child_by_field_name("object"), node.child_by_field_name("attribute")
    if home is None or last is None or home.type != "identifier":
        return False
    return text_of(home) in modules and text_of(last) == _NAME
