"""What a JavaScript or TypeScript source imports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import whole
from supervisor.inspection.script_calls import loaded
from supervisor.inspection.script_literals import folded
from supervisor.vocabulary.content import Findings, Import

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_STATEMENT = re.compile(rb"(?<![\w$.])(?:import|export)(?![\w$])")
_OWN = re.compile(r"[./~#\\]|[a-zA-Z][a-zA-Z0-9+.-]*:|[A-Za-z]:[\\/]")
_MODULE = re.compile(r"(?:@[^/\s@]+/)?[^\s@/][^\s]*")
_INSTALLED = re.compile(r".*(?:\A|[/\\])node_modules[/\\]+", re.DOTALL)
_GAP = r"(?:\s|/\*[^*]{0,200}\*/)*"
_LINE = re.compile(rf"""(?:\bfrom|\bimport|\brequire{_GAP}\(|\bimport{_GAP}\(){_GAP}(["'])([^"'\\\n]{{1,300}})\1""")
_TYPES_ONLY = re.compile(r"\b(?:import|export)\s+type(?:of)?\s+[\w{*]")
_SCRIPT = re.compile(rb"<script(?=[\s>/])", re.IGNORECASE)
_ATTRIBUTES = re.compile(rb"(?:[^\"'>]|\"[^\"]*\"|'[^']*')*+>")
_SCRIPT_END = re.compile(rb"</script(?=[\s>/])", re.IGNORECASE)
_LANGUAGE = re.compile(rb"\blang\s*=\s*[\"']?([\w-]+)")
_ADDRESS = re.compile(rb"(?<![\w-])src\s*=\s*[\"']([^\"']{1,300})[\"']")
_LANGUAGES = {b"ts": "typescript", b"typescript": "typescript", b"tsx": "tsx"}


def inspect(kind: str, content: bytes, parsers: Parsers, path: bytes = b"") -> Findings:
    """``kind``: ``javascript``, ``typescript``, ``tsx`` or ``component``; ``path`` names the kept tree."""
    if b"\0" in content:
        return Findings(refusal="binary")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Findings(refusal=f"not UTF-8: {error.reason} at byte {error.start}")
    asked: list[tuple[str | None, int]] = []
    broken = False
    scripts = blocks(content, asked) if kind == "component" else [(kind, content, path)]
    for language, source, name in scripts:
        root = parsers.parse(language, name, source)
        asked += ((folded(each), each.start_point.row + 1) for each, _ in sources(root, source, parsers))
        asked += loaded(language, root, source, parsers)
        if root.has_error:
            broken = True
            asked += lines(root, source, parsers)
    found = {each for call in asked for each in _import(*call)}
    return Findings(
        imports=tuple(sorted(found, key=lambda each: (each.line, each.module))),
        pending="it does not parse" if broken else "",
    )


def blocks(content: bytes, asked: list[tuple[str | None, int]]) -> Iterator[tuple[str, bytes, bytes]]:
    """The ``<script>`` blocks of a Vue or Svelte component, each below as many empty lines as there are before it.
    What they name as their ``src`` is put into ``asked``."""
    at, line = 0, 0
    while (tag := _SCRIPT.search(content, at)) is not None:
        attributes = _ATTRIBUTES.match(content, tag.end())
        start = tag.end() if attributes is None else attributes.end()
        line += content.count(b"\n", at, start)
        told = b"" if attributes is None else attributes[0]
        address = _ADDRESS.search(told)
        if address is not None:
            asked.append((address[1].decode("utf-8", "replace"), line + 1))
        language = _LANGUAGE.search(told)
        # What is not closed goes on to the end, also a tag: it is looked for once.
        ending = None if attributes is None else _SCRIPT_END.search(content, start)
        at = len(content) if ending is None else ending.start()
        source = b"\n" * line + content[start:at]
        yield _LANGUAGES.get(language[1].lower() if language is not None else b"", "javascript"), source, b""
        line += content.count(b"\n", start, at)


def _import(specifier: str | None, line: int) -> Iterator[Import]:
    """Relative and absolute paths, ``node:`` and other schemes, and ``#internal`` names no package, unless they lead
    through the folder where packages lie."""
    if specifier is None:
        return
    installed = _INSTALLED.match(specifier) if "node_modules" in specifier else None
    if installed is not None:
        specifier = specifier[installed.end() :]
    if _OWN.match(specifier) or not _MODULE.fullmatch(specifier):
        if specifier.startswith("npm:"):  # Deno, Bun
            yield from _import(re.sub(r"\A((?:@[^/@]+/)?[^/@]+)@[^/]*", r"\1", specifier[4:].lstrip("/")), line)
        return
    yield Import("npm", whole(specifier), line)


def sources(root: Node, content: bytes, parsers: Parsers) -> Iterator[tuple[Node, Node]]:
    """What ``import … from``, ``export … from`` and TypeScript's ``import x = require()`` name, and the statement;
    without those for types alone."""
    for word in _STATEMENT.finditer(content):
        parsers.check()
        leaf = root.descendant_for_byte_range(word.start(), word.end())
        if leaf is None or leaf.type not in ("import", "export"):
            continue
        statement = leaf.parent
        if statement is None or statement.type not in ("import_statement", "export_statement"):
            continue
        source = statement.child_by_field_name("source")
        if source is None:
            clauses = (child for child in statement.children if child.type == "import_require_clause")
            source = next((clause.child_by_field_name("source") for clause in clauses), None)
        if source is not None and not any(_is_type(child) for child in statement.children):
            yield source, statement


def _is_type(child: Node) -> bool:
    """The word ``type`` of a statement; ``export type *`` is an error to the grammar."""
    if child.is_error:
        return child.text == b"type"
    return child.type in ("type", "typeof") and not child.is_named


def lines(root: Node, content: bytes, parsers: Parsers) -> Iterator[tuple[str, int]]:
    """What looks like an import, for sources that do not parse; not inside strings and comments."""
    text = content.decode("utf-8")
    counted, offset = 0, 0
    for found in _LINE.finditer(text):
        parsers.check()
        offset += len(text[counted : found.start()].encode())
        counted = found.start()
        if _TYPES_ONLY.search(text, max(0, text.rfind("\n", 0, found.start()), found.start() - 300), found.start()):
            continue
        node = root.descendant_for_byte_range(offset, offset)
        if node is not None and node.type not in ("string_fragment", "string", "template_string", "comment"):
            yield found[2], node.start_point.row + 1
