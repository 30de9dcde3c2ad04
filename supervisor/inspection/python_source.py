"""What a Python source imports, and what a setup script or inline script metadata requires."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import Unreadable, decode, whole
from supervisor.inspection.requirement_lines import pypi
from supervisor.vocabulary.content import Findings, Import, Requirement

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_IMPORTS = """
(import_statement name: (_) @import)
(import_from_statement module_name: (dotted_name) @from)
(import_from_statement module_name: (dotted_name) @home name: (_) @taken)
"""
_GUARDS = "(if_statement condition: (_) @condition consequence: (block) @block)"
_CALLS = """
(call function: (identifier) @called arguments: (argument_list) @arguments)
(call function: (attribute object: (_) @object attribute: (identifier) @called) arguments: (argument_list) @arguments)
"""
_NAMED = "(assignment left: (identifier) @name right: (_) @value)"

_IMPORTERS = frozenset({"import_module", "__import__"})
_LOADERS = {("pkgutil", "resolve_name"), ("runpy", "run_module")}
_HOMES = {"import_module": "importlib", "resolve_name": "pkgutil", "run_module": "runpy"}
_FIRST_KEYWORD = frozenset({"name", "mod_name"})
_SETUP = frozenset({"install_requires", "setup_requires", "tests_require", "extras_require"})
_DYNAMIC = re.compile("import_module|__import__|resolve_name|run_module")
_REBOUND = re.compile(r"\bTYPE_CHECKING\s*(?::[^=\n]*)?:?=(?![=])(?!\s*False\b)|\bas\s+TYPE_CHECKING\b")
_CONDITION = re.compile(r"\(?\s*(?:[\w.]+\.)?TYPE_CHECKING\s*\)?")
_LINE = re.compile(
    r"^[ \t]*(?:>>>[ \t]*)?(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*))",
    re.MULTILINE,
)
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_SCRIPT = re.compile(r"^# /// script[ \t]*\r?\n((?:#(?:[ \t][^\n]*)?\r?\n)+?)# ///[ \t]*\r?$", re.MULTILINE)
_SHARED = frozenset({"azure", "backports", "google", "jaraco", "opentelemetry", "ruamel", "sphinxcontrib", "zope"})
_MOST_PARTS = 1000  # of one joined literal


def inspect(content: bytes, parsers: Parsers, path: bytes = b"") -> Findings:
    """``path`` names the kept tree, and says whether it is a ``setup.py``."""
    try:
        text = decode(content)
    except Unreadable as error:
        return Findings(refusal=str(error))
    if "\0" in text:
        return Findings(refusal="binary")
    raw = text.encode("utf-8", "replace")
    root = parsers.parse("python", path, raw)
    found = [*_statements(root, text, parsers)]
    if _DYNAMIC.search(unicodedata.normalize("NFKC", text)):
        found += _calls(root, parsers)
    if root.has_error:
        found += _lines(root, raw)
    requirements = list(_inline(text))
    if path.rpartition(b"/")[2] == b"setup.py":
        requirements += _setup(root, parsers)
    return Findings(
        imports=tuple(sorted(set(found), key=lambda each: (each.line, each.module))),
        requirements=tuple(requirements),
        pending="it does not parse" if root.has_error else "",
    )


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _import(module: str, line: int) -> Import | None:
    name = unicodedata.normalize("NFKC", module)
    return Import("pypi", whole(name), line) if _MODULE.fullmatch(name) else None


def _dotted(node: Node) -> str:
    """Names and dots may have spaces, joined lines and comments between them."""
    return ".".join(text_of(part) for part in node.named_children if part.type == "identifier")


def _statements(root: Node, text: str, parsers: Parsers) -> Iterator[Import]:
    found = parsers.captures("python", _IMPORTS, root)
    types_only = _types_only(root, text, parsers) if "TYPE_CHECKING" in text else []
    for node in found.get("import", []) + found.get("from", []):
        if any(start <= node.start_byte < end for start, end in types_only):
            continue
        name = node.child_by_field_name("name") if node.type == "aliased_import" else node
        made = _import(_dotted(name), node.start_point.row + 1) if name is not None else None
        if made is not None:
            yield made
    for node in found.get("taken", []):
        if not any(start <= node.start_byte < end for start, end in types_only):
            yield from _out_of_namespace(node)


def _out_of_namespace(node: Node) -> Iterator[Import]:
    """``from google.cloud import storage``: what is taken out of a folder that many distributions share is a module."""
    home = node.parent.child_by_field_name("module_name") if node.parent is not None else None
    if home is None or _plain(_dotted(home)).partition(".")[0] not in _SHARED:
        return
    name = node.child_by_field_name("name") if node.type == "aliased_import" else node
    made = _import(f"{_dotted(home)}.{_dotted(name)}", node.start_point.row + 1) if name is not None else None
    if made is not None:
        yield made


def _types_only(root: Node, text: str, parsers: Parsers) -> list[tuple[int, int]]:
    """Byte ranges under ``if TYPE_CHECKING:``; none when the name is given another value here."""
    if _REBOUND.search(unicodedata.normalize("NFKC", text)) is not None:
        return []
    return [
        (match["block"][0].start_byte, match["block"][0].end_byte)
        for match in parsers.matches("python", _GUARDS, root)
        if _CONDITION.fullmatch(text_of(match["condition"][0])) and not match["block"][0].has_error
    ]


class _Names:
    """What this source calls the functions that import, and the modules they come from."""

    def __init__(self, root: Node, parsers: Parsers) -> None:
        self.functions = {name: name for name in _IMPORTERS}
        self.modules: dict[str, str] = {}
        for match in parsers.matches("python", _IMPORTS, root):
            if "import" in match:
                self._module(match["import"][0])
            elif "taken" in match:
                self._function(_plain(_dotted(match["home"][0])), match["taken"][0])
        for match in parsers.matches("python", _NAMED, root):
            self._assigned(_plain(text_of(match["name"][0])), match["value"][0])

    def _module(self, node: Node) -> None:
        name, alias = _parts(node)
        if name in _HOMES.values():
            self.modules[alias or name] = name

    def _function(self, home: str, node: Node) -> None:
        name, alias = _parts(node)
        if _HOMES.get(name) == home or name == "__import__":
            self.functions[alias or name] = name

    def _assigned(self, name: str, value: Node) -> None:
        if value.type == "identifier" and _plain(text_of(value)) in self.functions:
            self.functions[name] = self.functions[_plain(text_of(value))]
        elif value.type == "attribute":
            last = value.child_by_field_name("attribute")
            called = _plain(text_of(last)) if last is not None else ""
            if called in _HOMES or called in _IMPORTERS:
                self.functions[name] = called

    def importer(self, called: str, home: str | None) -> str | None:
        """The function that ``home.called`` (or plain ``called``) is, when it imports."""
        if home is None:
            return self.functions.get(called)
        if called in _IMPORTERS or (self.modules.get(home, home), called) in _LOADERS:
            return called
        return None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _parts(node: Node) -> tuple[str, str]:
    """(name, alias or empty) of one imported thing."""
    if node.type != "aliased_import":
        return _plain(_dotted(node)), ""
    name, alias = node.child_by_field_name("name"), node.child_by_field_name("alias")
    return (
        _plain(_dotted(name)) if name is not None else "",
        _plain(text_of(alias)) if alias is not None else "",
    )


def _calls(root: Node, parsers: Parsers) -> Iterator[Import]:
    names = _Names(root, parsers)
    for match in parsers.matches("python", _CALLS, root):
        called = match["called"][0]
        home = _plain(text_of(match["object"][0])) if "object" in match else None
        function = names.importer(_plain(text_of(called)), home)
        if function is None:
            continue
        module = _argument(match["arguments"][0])
        if module is None:
            continue
        made = _import(module.partition(":")[0] if function == "resolve_name" else module, called.start_point.row + 1)
        if made is not None:
            yield made


def _argument(arguments: Node) -> str | None:
    """The constant string that is the first argument, or is given as ``name=``."""
    for position, node in enumerate(each for each in arguments.named_children if each.type != "comment"):
        if node.type == "keyword_argument":
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            if name is not None and value is not None and _plain(text_of(name)) in _FIRST_KEYWORD:
                return folded(value)
        elif position == 0:
            return folded(node)
    return None


def folded(node: Node) -> str | None:
    """The value of string literals that stand side by side or are added; None when anything else takes part."""
    import ast

    parts: list[str] = []
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        if each.type == "string":
            if len(parts) > _MOST_PARTS or any(child.type == "interpolation" for child in each.children):
                return None
            try:
                value = ast.literal_eval(re.sub(r"\A[fF]([rR]?)|\A([rR])[fF]", r"\1\2", text_of(each)))
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return None
            if not isinstance(value, str):
                return None
            parts.append(value)
        elif each.type in ("concatenated_string", "parenthesized_expression") or (
            each.type == "binary_operator" and any(child.type == "+" for child in each.children)
        ):
            open_nodes += [child for child in reversed(each.named_children) if child.type != "comment"]
        else:
            return None
    return "".join(parts) if parts else None


def _lines(root: Node, raw: bytes) -> Iterator[Import]:
    """Lines that look like imports, for sources that do not parse; not inside strings and comments."""
    text = raw.decode("utf-8")
    ascii_only = len(text) == len(raw)
    for found in _LINE.finditer(text):
        at = found.start(1) if found[1] else found.start(2)
        offset = at if ascii_only else len(text[:at].encode())
        node = root.descendant_for_byte_range(offset, offset)
        if node is None or node.type in ("string_content", "string", "comment", "escape_sequence"):
            continue
        for name in [found[1]] if found[1] else found[2].split(","):
            made = _import(name.strip(), node.start_point.row + 1)
            if made is not None:
                yield made


def _inline(text: str) -> Iterator[Requirement]:
    """PEP 723: dependencies in a comment block, which ``uv run`` and ``pipx run`` install."""
    from supervisor.inspection.toml_entries import toml_entries

    for block in _SCRIPT.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        body = re.sub(r"^# ?", "", block[1], flags=re.MULTILINE)
        for entry in toml_entries(body):
            if entry.text is not None and len(entry.path) == 2 and entry.path[0] == "dependencies":
                yield from pypi(entry.text, first + entry.line - 1, "script.dependencies")


def _setup(root: Node, parsers: Parsers) -> Iterator[Requirement]:
    """The literals of ``install_requires=`` and its kin, also through one name."""
    named = {
        text_of(match["name"][0]): match["value"][0]
        for match in parsers.matches("python", _NAMED, root)
    }  # fmt: skip
    keywords = parsers.matches("python", "(keyword_argument name: (identifier) @name value: (_) @value)", root)
    for match in keywords:
        place = text_of(match["name"][0])
        if place not in _SETUP:
            continue
        value = match["value"][0]
        yield from _listed(named.get(text_of(value), value) if value.type == "identifier" else value, place)


def _listed(node: Node, place: str, depth: int = 0) -> Iterator[Requirement]:
    if node.type in ("list", "tuple", "set", "dictionary", "pair", "parenthesized_expression") and depth < 8:
        children = node.named_children if node.type != "pair" else node.children_by_field_name("value")
        for child in children:
            yield from _listed(child, place, depth + 1)
        return
    value = folded(node)
    for line in (value or "").split("\n"):
        yield from pypi(line, node.start_point.row + 1, place)
