"""What a JavaScript or TypeScript source imports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import whole
from supervisor.vocabulary.content import Findings, Import

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_STATEMENTS = """
(import_statement source: (string) @source) @statement
(export_statement source: (string) @source) @statement
"""
_REQUIRED = "(import_statement (import_require_clause source: (string) @source)) @statement"  # TypeScript
_CALLS = """
(call_expression function: (import) @called arguments: (arguments . (_) @argument))
((call_expression function: (identifier) @called arguments: (arguments . (_) @argument)) (#eq? @called "require"))
((call_expression function: (member_expression object: (_) @object property: (property_identifier) @called)
  arguments: (arguments . (_) @argument)) (#any-of? @called "require" "resolve"))
((call_expression function: (call_expression function: [
  (identifier) @called (member_expression property: (property_identifier) @called)])
  arguments: (arguments . (_) @argument)) (#eq? @called "createRequire"))
"""
_NAMED = """
(variable_declarator name: (identifier) @name value: (_) @value)
(assignment_expression left: (identifier) @name right: (_) @value)
"""
_ANY_CALL = "(call_expression function: (identifier) @called arguments: (arguments . (_) @argument))"
_MEMBER_CALL = """
(call_expression function: (member_expression object: (identifier) @called property: (property_identifier) @property)
  arguments: (arguments . (_) @argument))
"""
_MADE = re.compile(r"(?:[\w$.]+\.)?createRequire\s*\(|(?:module\.)?require\s*\Z")
_ESCAPED_NAME = re.compile(r"\\u\{?0*(?:00)?([2-7][0-9a-fA-F])\}?")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,8})\}|([0-3][0-7]{0,2}|[4-7][0-7]?)|(\r\n|[\s\S]))"
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "\r\n": "", "\n": "", "\r": "",
           "\u2028": "", "\u2029": ""}  # fmt: skip
_OWN = re.compile(r"[./~#\\]|[a-zA-Z][a-zA-Z0-9+.-]*:|[A-Za-z]:[\\/]")
_MODULE = re.compile(r"(?:@[^/\s@]+/)?[^\s@/][^\s]*")
_LINE = re.compile(r"""(?:\bfrom|\bimport|\brequire\s*\(|\bimport\s*\()\s*(["'])([^"'\\\n]{1,300})\1""")
_TYPES_ONLY = re.compile(r"\b(?:import|export)\s+type(?:of)?\s+[\w{*]")
_TYPES = frozenset({"type_annotation", "type_arguments", "type_alias_declaration", "type_query", "type_parameters"})
_MOST_PARTS = 1000


def inspect(kind: str, content: bytes, parsers: Parsers, path: bytes = b"") -> Findings:
    """``kind``: ``javascript``, ``typescript`` or ``tsx``; ``path`` names the kept tree."""
    if b"\0" in content:
        return Findings(refusal="binary")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Findings(refusal=f"not UTF-8: {error.reason} at byte {error.start}")
    root = parsers.parse(kind, path, content)
    found = {*_statements(kind, root, parsers), *_calls(kind, root, content, parsers)}
    if root.has_error:
        found.update(_lines(root, content))
    return Findings(
        imports=tuple(sorted(found, key=lambda each: (each.line, each.module))),
        pending="it does not parse" if root.has_error else "",
    )


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _import(specifier: str | None, line: int) -> Iterator[Import]:
    """Relative and absolute paths, ``node:`` and other schemes, and ``#internal`` names no package."""
    if specifier is None or _OWN.match(specifier) or not _MODULE.fullmatch(specifier):
        if specifier is not None and specifier.startswith("npm:"):  # Deno, Bun
            yield from _import(re.sub(r"\A((?:@[^/@]+/)?[^/@]+)@[^/]*", r"\1", specifier[4:].lstrip("/")), line)
        return
    yield Import("npm", whole(specifier), line)


def _statements(kind: str, root: Node, parsers: Parsers) -> Iterator[Import]:
    matches = parsers.matches(kind, _STATEMENTS, root)
    if kind != "javascript":
        matches += parsers.matches(kind, _REQUIRED, root)
    for match in matches:
        statement = match["statement"][0]
        if any(_is_type(child) for child in statement.children):
            continue
        yield from _import(folded(match["source"][0]), match["source"][0].start_point.row + 1)


def _is_type(child: Node) -> bool:
    """The word ``type`` of a statement; ``export type *`` is an error to the grammar."""
    if child.is_error:
        return child.text == b"type"
    return child.type in ("type", "typeof") and not child.is_named


def _calls(kind: str, root: Node, content: bytes, parsers: Parsers) -> Iterator[Import]:
    for match in parsers.matches(kind, _CALLS, root):
        called, argument = match["called"][0], match["argument"][0]
        if "object" in match and not _is_loader(match["object"][0], text_of(called)):
            continue
        if called.type == "import" and kind != "javascript" and _in_type(called):
            continue
        yield from _import(folded(argument), called.start_point.row + 1)
    names = _names(kind, root, content, parsers)
    if not names:
        return
    for match in [*parsers.matches(kind, _ANY_CALL, root), *parsers.matches(kind, _MEMBER_CALL, root)]:
        called = match["called"][0]
        if _name(called) in names and ("property" not in match or text_of(match["property"][0]) == "resolve"):
            yield from _import(folded(match["argument"][0]), called.start_point.row + 1)


def _is_loader(holder: Node, called: str) -> bool:
    """``require.resolve``, ``import.meta.resolve``, ``module.require`` and ``process.mainModule.require``."""
    told = text_of(holder) if holder.end_byte - holder.start_byte < 60 else ""
    if called == "resolve":
        return told in ("require", "import.meta", "module.require")
    return told in ("module", "process.mainModule", "require.main", "globalThis")


def _name(node: Node) -> str:
    """An identifier may be written with escapes."""
    return _ESCAPED_NAME.sub(lambda found: chr(int(found[1], 16)), text_of(node))


def _names(kind: str, root: Node, content: bytes, parsers: Parsers) -> set[str]:
    """Other names of ``require`` in this source."""
    names: set[str] = set()
    if b"\\u" in content:
        names.add("require")
    if b"createRequire" in content or re.search(rb"=\s*(?:module\s*\.\s*)?require\b(?!\s*[.(\[])", content):
        for match in parsers.matches(kind, _NAMED, root):
            value = match["value"][0]
            if value.type in ("call_expression", "identifier", "member_expression") and _MADE.match(text_of(value)):
                names.add(_name(match["name"][0]))
    return names


def _in_type(node: Node) -> bool:
    """``import("x").T`` as a type loads nothing."""
    above = node.parent
    for _ in range(8):
        if above is None or above.type.endswith(("_statement", "_declarator", "expression_statement")):
            return False
        if above.type in _TYPES or (above.type.endswith("_type") and above.type != "predefined_type"):
            return True
        above = above.parent
    return False


def folded(node: Node) -> str | None:
    """The value of string literals, plain templates and their sums; None when anything else takes part."""
    parts: list[str] = []
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        if each.type in ("string", "template_string"):
            if len(parts) > _MOST_PARTS or any(child.type == "template_substitution" for child in each.children):
                return None
            parts.append(_unescaped(text_of(each)[1:-1]))
        elif each.type in ("parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression"):
            inner = [child for child in each.named_children if child.type != "comment"]
            open_nodes += inner[:1]
        elif each.type == "binary_expression" and any(child.type == "+" for child in each.children):
            open_nodes += [child for child in reversed(each.named_children) if child.type != "comment"]
        else:
            return None
    return "".join(parts) if parts else None


def _unescaped(body: str) -> str:
    if "\\" not in body:
        return body

    def value(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        if number:
            return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
        return chr(int(found[4], 8)) if found[4] else _SIMPLE.get(found[5], found[5])

    return _ESCAPE.sub(value, body)


def _lines(root: Node, content: bytes) -> Iterator[Import]:
    """What looks like an import, for sources that do not parse; not inside strings and comments."""
    text = content.decode("utf-8")
    ascii_only = len(text) == len(content)
    for found in _LINE.finditer(text):
        offset = found.start() if ascii_only else len(text[: found.start()].encode())
        if _TYPES_ONLY.search(text, max(0, text.rfind("\n", 0, found.start()), found.start() - 300), found.start()):
            continue
        node = root.descendant_for_byte_range(offset, offset)
        if node is not None and node.type not in ("string_fragment", "string", "template_string", "comment"):
            yield from _import(found[2], node.start_point.row + 1)
