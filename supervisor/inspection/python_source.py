"""What a Python source imports, and what a setup script or inline script metadata requires."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import Unreadable, decode, whole
from supervisor.inspection.python_calls import called_modules, mentioned
from supervisor.inspection.python_guards import types_only
from supervisor.inspection.python_nodes import dotted, outermost, plain
from supervisor.vocabulary.content import Findings, Import, Requirement

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_IMPORTS = """
(import_statement name: (_) @import)
(import_from_statement module_name: (dotted_name) @from)
(import_from_statement module_name: (dotted_name) @home name: (_) @taken)
"""
_LINE = re.compile(
    r"^[ \t\f]*(?:>>>[ \t]*)?(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*))",
    re.MULTILINE,
)
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_STARTUP = re.compile(r"^(?!import[ \t])[^\n]*", re.MULTILINE)
_SHARED = frozenset({"azure", "backports", "google", "jaraco", "opentelemetry", "ruamel", "sphinxcontrib", "zope"})


def inspect(content: bytes, parsers: Parsers, path: bytes = b"") -> Findings:
    """``path`` names the kept tree, and says whether it is a ``setup.py``."""
    try:
        text = decode(content)
    except Unreadable as error:
        return Findings(refusal=str(error))
    return _inspect(lines_of(text), parsers, path)


def startup_lines(content: bytes, parsers: Parsers) -> Findings:
    """A ``.pth`` file, of which ``site`` executes the lines that begin with ``import``."""
    return _inspect(_STARTUP.sub("", lines_of(decode(content))), parsers, b"")


def lines_of(text: str) -> str:
    """The text as Python splits it into lines: the parser knows no carriage return, and ends at NUL."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _inspect(text: str, parsers: Parsers, path: bytes) -> Findings:
    raw = text.encode("utf-8", "replace")
    root = parsers.parse("python", path, raw)
    found = [*_statements(root, raw, parsers)]
    if mentioned(raw) or (not raw.isascii() and mentioned(plain(text).encode("utf-8", "replace"))):
        found += [made for called in called_modules(root, raw, parsers) if (made := _import(*called)) is not None]
    if root.has_error:
        found += _lines(root, raw, parsers)
    requirements: tuple[Requirement, ...] = ()
    if "# /// script" in text or path.rpartition(b"/")[2] == b"setup.py":
        from supervisor.inspection import python_scripts

        requirements = python_scripts.requirements(root, text, parsers, path)
    return Findings(
        imports=tuple(sorted(set(found), key=lambda each: (each.line, each.module))),
        requirements=requirements,
        pending="it does not parse" if root.has_error else "",
    )


def _import(module: str, line: int) -> Import | None:
    name = unicodedata.normalize("NFKC", module)
    return Import("pypi", whole(name), line) if _MODULE.fullmatch(name) else None


def _statements(root: Node, raw: bytes, parsers: Parsers) -> Iterator[Import]:
    found = parsers.captures("python", _IMPORTS, root)
    excused = types_only(root, raw, parsers) if b"TYPE_CHECKING" in raw else []
    starts = [start for start, _ in excused]

    def counts(node: Node) -> bool:
        at = bisect_right(starts, node.start_byte) - 1
        return at < 0 or node.start_byte >= excused[at][1]

    for node in found.get("import", []) + found.get("from", []):
        if not counts(node):
            continue
        name = node.child_by_field_name("name") if node.type == "aliased_import" else node
        made = _import(dotted(name), node.start_point.row + 1) if name is not None else None
        if made is not None:
            yield made
    for node in found.get("taken", []):
        if counts(node):
            yield from _out_of_namespace(node)


def _out_of_namespace(node: Node) -> Iterator[Import]:
    """``from google.cloud import storage``: what is taken out of a folder that many distributions share is a module."""
    home = node.parent.child_by_field_name("module_name") if node.parent is not None else None
    if home is None or plain(dotted(home)).partition(".")[0] not in _SHARED:
        return
    name = node.child_by_field_name("name") if node.type == "aliased_import" else node
    made = _import(f"{dotted(home)}.{dotted(name)}", node.start_point.row + 1) if name is not None else None
    if made is not None:
        yield made


def _lines(root: Node, raw: bytes, parsers: Parsers) -> Iterator[Import]:
    """Lines that look like imports, for sources that do not parse; not inside strings and comments."""
    nodes = parsers.captures("python", "(string) @text (comment) @text", root).get("text", [])
    prose = outermost((node.start_byte, node.end_byte) for node in nodes)
    starts = [start for start, _ in prose]
    text = raw.decode("utf-8")
    before = offset = line = 0
    for found in _LINE.finditer(text):
        at = found.start(1) if found[1] else found.start(2)
        offset += len(text[before:at].encode())
        line += text.count("\n", before, at)
        before = at
        position = bisect_right(starts, offset) - 1
        if position >= 0 and offset < prose[position][1]:
            continue
        for name in [found[1]] if found[1] else found[2].split(","):
            made = _import(name.strip(), line + 1)
            if made is not None:
                yield made
