"""Which files of the tree a Python source imports, and which packages of third parties."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import Unreadable, decode, whole
from supervisor.inspection.python_calls import called_modules, mentioned
from supervisor.inspection.python_guards import parts, types_only
from supervisor.inspection.python_modules import Led, Modules
from supervisor.inspection.python_nodes import dotted, folded, outermost, plain, text_of
from supervisor.inspection.python_source import lines_of
from supervisor.vocabulary.content import Reference

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver

_STATEMENTS = "(import_statement) @import (import_from_statement) @from"
_TEXTS = "(string) @text (comment) @text"
_CALLS = "(call function: (_) @callee arguments: (argument_list) @arguments)"
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_NAME = r"[\w.]++(?:[ \t]++as[ \t]++\w++)?"
_LINE = re.compile(
    r"^(?P<gap>[ \t\f]*)(?:from[ \t]+(?P<dots>\.*+)(?P<home>[\w.]*+)[ \t]*+import\b[ \t]*\(?(?P<taken>[\w, \t*]*+)"
    rf"|import[ \t]+(?P<names>{_NAME}(?:[ \t]*+,[ \t]*+{_NAME})*+)[ \t]*+(?:$|[;#]))",
    re.MULTILINE,
)
_GUARD = re.compile(rb"^([ \t]*)if[ \t]+(?:\w+\.)?TYPE_CHECKING[ \t]*:[^\n]*\n", re.MULTILINE)
_BOUND = re.compile(rb"TYPE_CHECKING[ \t]*(?::[^=\n]{0,80})?=(?!=)|\bas[ \t]+(?:TYPE_CHECKING|typing)\b")
_ASKS = frozenset({"get", "getattr", "getenv", "setattr", "hasattr", "pop", "join", "format", "replace", "split"})
_OWN = ("__package__", "__name__", "__spec__")
_MOST = 20_000


class _Asked(NamedTuple):
    """``level`` counts the dots before ``home``. ``certain``: that it is a module at all."""

    level: int
    home: str
    taken: str
    line: int
    certain: bool = True


def references(content: bytes, path: bytes, parsers: Parsers, resolver: Resolver) -> tuple[tuple[Reference, ...], str]:
    """What is imported, and why that may not be all. Nothing is told of the standard library, of what only type
    checkers read (stubs too), and of files outside of the tree. ``Unreadable`` for what is no text."""
    importer = resolver.relative_of(path)
    if importer is None or importer.endswith(".pyi"):
        return (), ""
    raw = lines_of(decode(content)).encode("utf-8", "replace")
    root = parsers.parse("python", path, raw)
    modules = Modules(importer, resolver)
    found: dict[Reference, None] = {}
    for asked in dict.fromkeys(_asked(root, raw, parsers)):
        parsers.check()
        for each in _resolved(asked, modules, resolver):
            found[each] = None
        if len(found) > _MOST:
            raise Unreadable(f"more than {_MOST} references")
    in_order = sorted(found, key=lambda each: (each.line, each.name, each.to))
    return tuple(in_order), "it does not parse" if root.has_error else ""


def _resolved(asked: _Asked, modules: Modules, resolver: Resolver) -> Iterator[Reference]:
    written = "." * asked.level + asked.home
    led: Led
    if asked.level:
        led = modules.relative(asked.level, asked.home, asked.taken)
        if not led.places:
            yield Reference("", whole(written), asked.line)
    else:
        led = modules.absolute(asked.home, asked.taken)
    for place in led.places:
        name = written
        if asked.taken and place.module:
            name += asked.taken if written.endswith(".") else "." + asked.taken
        for to in place.to:
            yield Reference(resolver.canonical(to), whole(name), asked.line)
    if led.external and asked.certain:
        yield Reference("", whole(written), asked.line, external=True)


def _asked(root: Node, raw: bytes, parsers: Parsers) -> Iterator[_Asked]:
    excused = types_only(root, raw, parsers) if b"TYPE_CHECKING" in raw else []
    if root.has_error and b"TYPE_CHECKING" in raw:
        excused = outermost([*excused, *_unfinished(raw)])
    starts = [start for start, _ in excused]

    def counts(offset: int) -> bool:
        at = bisect_right(starts, offset) - 1
        return at < 0 or offset >= excused[at][1]

    nodes = parsers.captures("python", _STATEMENTS, root)
    for node in nodes.get("import", []):
        if counts(node.start_byte):
            yield from _imported(node)
    for node in nodes.get("from", []):
        if counts(node.start_byte):
            yield from _taken(node)
    if mentioned(raw) or (not raw.isascii() and mentioned(plain(raw.decode("utf-8")).encode("utf-8", "replace"))):
        yield from _called(root, raw, parsers)
    if root.has_error:
        yield from (asked for asked, offset in _lines(root, raw, parsers) if counts(offset))


def _unfinished(raw: bytes) -> Iterator[tuple[int, int]]:
    """Blocks under ``if TYPE_CHECKING:`` by their indentation, where the tree has no such block because of an error."""
    if _BOUND.search(raw) is not None:
        return
    end = 0
    for guard in _GUARD.finditer(raw):
        if guard.start() < end:
            continue
        end, depth = guard.end(), guard.end(1) - guard.start(1)
        while end < len(raw):
            line_end = raw.find(b"\n", end) + 1 or len(raw)
            line = raw[end:line_end]
            if line.strip() and len(line) - len(line.lstrip(b" \t")) <= depth:
                break
            end = line_end
        yield guard.end(), end


def _imported(node: Node) -> Iterator[_Asked]:
    """``import a.b, c as d``; of a statement with an error what stands there whole."""
    for each in node.children_by_field_name("name"):
        name, _ = parts(each)
        if not each.has_error and not each.is_missing and _MODULE.fullmatch(name):
            yield _Asked(0, name, "", each.start_point.row + 1)


def _taken(node: Node) -> Iterator[_Asked]:
    """``from ..a import b, c as d`` and ``from a import *``."""
    module = node.child_by_field_name("module_name")
    if module is None or module.has_error or module.is_missing:
        return
    level, home = 0, module
    if module.type == "relative_import":
        prefix = next((child for child in module.children if child.type == "import_prefix"), None)
        level = text_of(prefix).count(".") if prefix is not None else 0
        inner = next((child for child in module.children if child.type == "dotted_name"), None)
        name = plain(dotted(inner)) if inner is not None else ""
    else:
        name = plain(dotted(home))
    if name and not _MODULE.fullmatch(name):
        return
    line = node.start_point.row + 1
    given = [each for each in node.children_by_field_name("name") if not each.has_error and not each.is_missing]
    if not given and (name or any(child.type == "wildcard_import" for child in node.children)):
        yield _Asked(level, name, "*", line)
    for each in given:
        taken, _ = parts(each)
        yield _Asked(level, name, taken.partition(".")[0], each.start_point.row + 1)


def _called(root: Node, raw: bytes, parsers: Parsers) -> Iterator[_Asked]:
    """``import_module("a.b")``. Whether a literal in such a call names a module at all is certain only where it is the
    first argument of a call that does not fetch a value by a name."""
    first: set[tuple[str, int]] = set()
    for match in parsers.matches("python", _CALLS, root):
        arguments = [child for child in match["arguments"][0].named_children if child.type != "comment"]
        callee = text_of(match["callee"][0])[-40:].rpartition(".")[2]
        value = folded(arguments[0]) if arguments and callee not in _ASKS else None
        if value is None:
            continue
        line = arguments[0].start_point.row + 1
        first.add((value.partition(":")[0], line))
        if value.startswith(".") and len(arguments) > 1 and "import" in callee:
            yield from _anchored(value, arguments[1], line)
        elif value.startswith(".") and "import" in callee:
            yield from _dotted(value, line)
    for module, line in called_modules(root, raw, parsers):
        name = plain(module)
        if _MODULE.fullmatch(name):
            yield _Asked(0, name, "", line, certain=(module, line) in first)


def _anchored(value: str, package: Node, line: int) -> Iterator[_Asked]:
    """``import_module("..x", "a.b")``, or ``__package__`` for the importer's own."""
    given = package.named_children[-1] if package.type == "keyword_argument" else package
    home = folded(given)
    if home is None:
        if text_of(given).startswith(_OWN):  # of any other variable the value is not known
            yield from _dotted(value, line)
        return
    level = len(value) - len(value.lstrip("."))
    anchor = home.split(".")[: len(home.split(".")) - level + 1]
    name = ".".join((*anchor, *filter(None, (value[level:],))))
    if anchor and _MODULE.fullmatch(name):
        yield _Asked(0, name, "", line)


def _dotted(value: str, line: int) -> Iterator[_Asked]:
    name = value.lstrip(".")
    if _MODULE.fullmatch(name):
        yield _Asked(len(value) - len(name), plain(name), "", line)


def _lines(root: Node, raw: bytes, parsers: Parsers) -> Iterator[tuple[_Asked, int]]:
    """Lines that look like imports, for sources that do not parse, with their offsets; not inside strings and
    comments."""
    nodes = parsers.captures("python", _TEXTS, root).get("text", [])
    prose = outermost((node.start_byte, node.end_byte) for node in nodes)
    starts = [start for start, _ in prose]
    text = raw.decode("utf-8")
    before = offset = line = 0
    for found in _LINE.finditer(text):
        at = found.end("gap")
        offset += len(text[before:at].encode())
        line += text.count("\n", before, at)
        before = at
        position = bisect_right(starts, offset) - 1
        if position >= 0 and offset < prose[position][1]:
            continue
        if found["names"] is not None:
            for each in found["names"].split(","):
                words = each.split()
                name = plain(words[0]) if words else ""
                if _MODULE.fullmatch(name):
                    yield _Asked(0, name, "", line + 1), offset
            continue
        home = plain(found["home"])
        if (home and not _MODULE.fullmatch(home)) or not (home or found["dots"]):
            continue
        taken = [words[0] for each in found["taken"].split(",") if (words := each.split())]
        for each in taken or ["*"]:
            yield _Asked(len(found["dots"]), home, plain(each), line + 1), offset
