"""Which crates a Rust source uses: ``use`` and ``extern crate``, and paths that begin with a crate's name.

A path may as well begin with a module or an import of the file; where a glob import of the own crate could bring such a
name, only what is said by ``use`` and ``extern crate`` counts.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import lossy, whole
from supervisor.vocabulary.content import Findings, Import

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_QUERY = """
(use_declaration argument: (_) @use)
(extern_crate_declaration name: (identifier) @extern)
(extern_crate_declaration alias: (identifier) @local)
(mod_item name: (identifier) @local)
(scoped_identifier path: (identifier) @root)
(scoped_type_identifier path: (identifier) @root)
(scoped_identifier !path name: (identifier) @absolute)
(token_tree (identifier) @token)
"""
_OWN = frozenset(("std", "core", "alloc", "proc_macro", "test", "self", "super", "crate", "Self"))
_INNER = frozenset(("self", "super", "crate"))
_AFTER = re.compile(rb"\s*::")
_BEFORE = re.compile(rb"(?:::|\.|\$)\s*\Z")
_LINE = re.compile(
    r"^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(?:use[ \t]+(?:::)?|extern[ \t]+crate[ \t]+)(?:r#)?(\w+)", re.MULTILINE
)


class _Used(NamedTuple):
    """What one ``use`` says: crates with their line, names that it brings into the file, and whether it brings all that
    a module of the own crate has."""

    roots: list[tuple[str, int]]
    names: set[str]
    globs: bool


def inspect(content: bytes, parsers: Parsers, path: bytes = b"") -> Findings:
    if b"\0" in content:
        return Findings(refusal="binary")
    content = lossy(content)
    root = parsers.parse("rust", path, content)
    captures = parsers.captures("rust", _QUERY, root)
    used = [_used(node) for node in captures.get("use", ())]
    spans = sorted((node.start_byte, node.end_byte) for node in captures.get("use", ()))
    local = {_text(node) for node in captures.get("local", ())}
    roots = [each for one in used for each in one.roots if each[0] not in local]
    roots += [(_text(node), _line(node)) for node in captures.get("extern", ())]
    roots += [(_text(node), _line(node)) for node in captures.get("absolute", ()) if not _within(spans, node)]
    if not any(one.globs for one in used):
        local |= {name for one in used for name in one.names}
        roots += [each for each in _paths(captures, spans, content) if each[0] not in local]
    if root.has_error:
        text = content.decode("utf-8")
        roots += [
            (each[1], text.count("\n", 0, each.start(1)) + 1)
            for each in _LINE.finditer(text)
            if each[1] not in local and not _within(spans, None, len(text[: each.start(1)].encode()))
        ][:200]
    found = dict.fromkeys(Import("cargo", whole(name), line) for name, line in roots if name not in _OWN)
    pending = "it does not parse" if root.has_error else ""
    return Findings(imports=tuple(sorted(found, key=lambda each: (each.line, each.module))), pending=pending)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8").removeprefix("r#")


def _line(node: Node) -> int:
    return node.start_point[0] + 1


def _within(spans: list[tuple[int, int]], node: Node | None, at: int = 0) -> bool:
    start = node.start_byte if node is not None else at
    before = bisect.bisect_right(spans, (start, 1 << 60)) - 1
    return before >= 0 and start < spans[before][1]


def _used(argument: Node) -> _Used:
    """The beginnings of all paths in the braces of a ``use``: only those count that stand at its own level."""
    roots: list[tuple[str, int]] = []
    names: set[str] = set()
    globs = False
    open_nodes: list[tuple[Node, bool]] = [(argument, True)]  # and whether a path begins there
    while open_nodes:
        node, begins = open_nodes.pop()
        if node.type == "use_list":
            open_nodes += [(child, begins) for child in node.named_children]
            continue
        first = _first(node) if begins else None
        if first is not None:
            roots.append((_text(first), _line(first)))
        if node.type == "scoped_use_list":
            inside = node.child_by_field_name("list")
            path = node.child_by_field_name("path")
            if inside is not None:
                open_nodes.append((inside, begins and path is None))
            continue
        if node.type == "use_wildcard":
            globs = globs or first is None or _text(first) in _INNER
        last = node.child_by_field_name("alias") or node.child_by_field_name("name") or node
        names.add(_text(last))
    return _Used(roots, names, globs)


def _first(node: Node) -> Node | None:
    """The first name of a path; None for a list that has none before it."""
    while node.type not in ("identifier", "crate", "self", "super", "metavariable"):
        inner = node.child_by_field_name("path")
        if inner is None and node.type == "use_wildcard":
            inner = next(iter(node.named_children), None)
        if inner is None and node.type in ("scoped_identifier", "scoped_use_list"):
            inner = node.child_by_field_name("name")
        if inner is None:
            return None
        node = inner
    return node


def _paths(captures: dict[str, list[Node]], spans: list[tuple[int, int]], content: bytes) -> Iterator[tuple[str, int]]:
    """Paths in the code itself, and in what is given to macros."""
    for node in captures.get("root", ()):
        name = _text(node)
        if not name[:1].isupper() and not _within(spans, node):
            yield name, _line(node)
    for node in captures.get("token", ()):
        start, end = node.start_byte, node.end_byte
        if _AFTER.match(content, end) is None or _BEFORE.search(content, max(0, start - 40), start) is not None:
            continue
        name = _text(node)
        if not name[:1].isupper():
            yield name, _line(node)
