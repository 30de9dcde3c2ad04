"""Calls by which a script loads a package: ``require``, ``import()`` and whatever stands for them.

They are found from their words in the bytes, not by queries: a file has few such words, and what a query costs grows
with the size of a tree times its depth, which a run can make as bad as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.script_literals import folded, inner, literals, parts_of, text_of, unescaped

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

LOAD = "load"  # called with the name of a package
_THROUGH = "through"  # `require.call`, `.apply`, `.bind`
_MAKE = "make"  # what it returns loads
_OWN_NAMES = {"require": LOAD, "createRequire": _MAKE, "createRequireFromPath": _MAKE}
_LOADERS = frozenset({"require", "_load", "requireActual", "requireMock", "importActual", "importMock",
                      "createMockFromModule", "genMockFromModule", "unstable_mockModule"})  # fmt: skip
_MOCKS = frozenset({"mock", "doMock", "unmock", "doUnmock", "dontMock", "setMock", "module"})
_MOCKERS = frozenset({"jest", "vi", "vitest", "mock"})
_WORDS = sorted({*_OWN_NAMES, *_LOADERS, r"import(?=\s*[(./])", "jest", "vi", "vitest", "mock"})
_WORD = re.compile(rb"(?<![\w$])(?:" + "|".join(_WORDS).encode() + rb")(?![\w$\\])")
_ESCAPED = re.compile(rb"(?<![\w$])[\w$]*+(?:\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]+\})[\w$]*)+")
_LONG_LINES = 200  # bytes of a line on average, above which a source is minified
_MOST_NAMES = 64
_LEAVES = frozenset({"identifier", "property_identifier", "import", "string_fragment", "escape_sequence", "string",
                     "template_string", "meta_property"})  # fmt: skip
_CALLS = {"call_expression": "function", "new_expression": "constructor"}
_BINDINGS = {"variable_declarator": ("name", "value"), "assignment_expression": ("left", "right"),
             "assignment_pattern": ("left", "right"), "pair_pattern": ("value", "key"),
             "required_parameter": ("pattern", "value"), "import_specifier": ("alias", "name")}  # fmt: skip
_PASSED = frozenset({"parenthesized_expression", "sequence_expression", "binary_expression", "ternary_expression",
                     "member_expression", "subscript_expression", "string", "template_string", "await_expression",
                     "as_expression", "satisfies_expression", "non_null_expression", "type_assertion",
                     "meta_property", "import", "computed_property_name"})  # fmt: skip
_TYPES = frozenset({"type_annotation", "type_arguments", "type_alias_declaration", "type_query", "type_parameters"})


def path_to(root: Node, offset: int) -> list[Node]:
    """The nodes from the root to the leaf at ``offset``. Not by asking nodes for their parents: each of those answers
    begins at the root again."""
    cursor = root.walk()
    path = [root]
    while cursor.goto_first_child_for_byte(offset) is not None:
        node = cursor.node
        if node is None or node.start_byte > offset:
            break
        path.append(node)
    return path


def loaded(kind: str, root: Node, content: bytes, parsers: Parsers) -> Iterator[tuple[str, int]]:
    """(specifier, line) of each call that loads, in no stated order."""
    return _Calls(kind, root, content, parsers).found()


class _Calls:
    def __init__(self, kind: str, root: Node, content: bytes, parsers: Parsers) -> None:
        self._typed = kind != "javascript"
        self._root, self._content, self._parsers = root, content, parsers
        self._names = dict(_OWN_NAMES)
        # In minified code one letter stands for many things, and each of its strings would count.
        self._follows = content.count(b"\n") * _LONG_LINES >= len(content) - _LONG_LINES
        self._walked: set[int] = set()  # offsets of words
        self._called: set[int] = set()
        self._seen: set[int] = set()

    def found(self) -> Iterator[tuple[str, int]]:
        open_words = [_WORD]
        if b"\\" in self._content:
            open_words.append(_ESCAPED)
        while open_words:
            for word in open_words.pop().finditer(self._content):
                if word.start() in self._walked or (b"\\" in word[0] and _name(word[0]) not in self._names):
                    continue
                self._parsers.check()
                self._walked.add(word.start())
                path = path_to(self._root, word.start())
                if path[-1].type not in _LEAVES:
                    continue
                for call in _calls(path, word.start()):
                    yield from self._specifiers(call, path)
                name = self._bound(path) if self._follows else ""
                if name and len(self._names) < _MOST_NAMES:
                    open_words.append(re.compile(rb"(?<![\w$])" + re.escape(name.encode()) + rb"(?![\w$])"))
                    if b"\\" in self._content:
                        open_words.append(_ESCAPED)

    def _specifiers(self, call: Node, path: list[Node]) -> Iterator[tuple[str, int]]:
        called, given = call.child_by_field_name(_CALLS[call.type]), call.child_by_field_name("arguments")
        if called is None or given is None or call.id in self._called:
            return
        role = self._role(called)
        if role not in (LOAD, _THROUGH):
            return
        if self._typed and called.type == "import" and _in_type(path, call):
            return
        self._called.add(call.id)
        arguments = parts_of(given) if given.type == "arguments" else []
        for argument in arguments if role == _THROUGH else arguments[:1]:
            for specifier in literals(argument, self._seen):
                yield specifier, called.start_point.row + 1

    def _bound(self, path: list[Node]) -> str:
        """The new name that the innermost word of ``path`` gets here, if it does."""
        for above, node in zip(path[-2::-1], path[:0:-1], strict=False):
            if above.type in _BINDINGS:
                target, source = (above.child_by_field_name(field) for field in _BINDINGS[above.type])
                if target is None or source is None or source.id != node.id:
                    return ""
                if target.type == "assignment_pattern":
                    target = target.child_by_field_name("left")
                name = _name(target.text or b"") if target is not None and target.type == "identifier" else ""
                role = self._named(source) if above.type in ("pair_pattern", "import_specifier") else self._role(source)
                if not name or not role or self._names.get(name) == role:
                    return ""
                self._names[name] = role
                return name
            if above.type not in _PASSED and above.type not in _CALLS:
                return ""
        return ""

    def _role(self, node: Node | None) -> str:
        open_nodes = [node]
        while open_nodes:
            each = open_nodes.pop()
            role = ""
            if each is None:
                continue
            if each.type == "import":
                role = LOAD
            elif each.type == "identifier":
                role = self._names.get(_name(each.text or b""), "")
            elif each.type in ("member_expression", "subscript_expression"):
                role = self._member(each)
            elif each.type == "call_expression":
                role = {_MAKE: LOAD, _THROUGH: LOAD}.get(self._role(each.child_by_field_name("function")), "")
            elif each.type == "binary_expression":
                open_nodes += [each.child_by_field_name("right"), each.child_by_field_name("left")]
            elif each.type == "ternary_expression":
                open_nodes += [each.child_by_field_name("alternative"), each.child_by_field_name("consequence")]
            elif each.type == "assignment_expression":
                open_nodes.append(each.child_by_field_name("right"))
            else:
                open_nodes.append(inner(each))
            if role:
                return role
        return ""

    def _named(self, node: Node) -> str:
        """The role of what a module or an object has under the name that ``node`` is."""
        if node.type == "computed_property_name":
            node = parts_of(node)[0]
        name = folded(node) if node.type in ("string", "template_string") else _name(node.text or b"")
        return LOAD if name in _LOADERS else _OWN_NAMES.get(name or "", "")

    def _member(self, node: Node) -> str:
        holder = node.child_by_field_name("object")
        key = node.child_by_field_name("property")
        name = _name(key.text or b"") if key is not None else folded(node.child_by_field_name("index"))
        if holder is None or name is None:
            return ""
        if name in _LOADERS:
            return LOAD
        if name in _MOCKS:
            return LOAD if holder.type == "identifier" and text_of(holder) in _MOCKERS else ""
        if name == "import":
            return LOAD if holder.type == "identifier" and text_of(holder) == "System" else ""
        if name == "resolve":
            return LOAD if holder.type == "meta_property" or self._role(holder) == LOAD else ""
        if name in ("call", "apply", "bind"):
            return {LOAD: _THROUGH, _MAKE: _MAKE}.get(self._role(holder), "")
        return _OWN_NAMES.get(name, "")


def _calls(path: list[Node], offset: int) -> Iterator[Node]:
    """The calls whose callee the word at ``offset`` is a part of."""
    for node in path[-2::-1]:
        if node.type in _CALLS:
            called = node.child_by_field_name(_CALLS[node.type])
            if called is None or called.end_byte <= offset:
                return
            yield node
        elif node.type not in _PASSED and node.type != "assignment_expression":
            return


def _name(text: bytes) -> str:
    """An identifier may be written with escapes."""
    return unescaped(text.decode("utf-8", "replace"))


def _in_type(path: list[Node], call: Node) -> bool:
    """``import("x").T`` as a type loads nothing."""
    at = next((position for position, node in enumerate(path) if node.id == call.id), 0)
    for above in path[max(0, at - 8) : at][::-1]:
        if above.type.endswith(("_statement", "_declarator")):
            return False
        if above.type in _TYPES or (above.type.endswith("_type") and above.type != "predefined_type"):
            return True
    return False
