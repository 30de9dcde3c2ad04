"""Which files of the tree a JavaScript or TypeScript source loads, and which packages of third parties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from supervisor.inspection.decoding import Unreadable, lossy, whole
from supervisor.inspection.script_calls import loaded
from supervisor.inspection.script_literals import folded
from supervisor.inspection.script_modules import Specifiers
from supervisor.inspection.script_source import blocks, lines, sources
from supervisor.vocabulary.content import Reference

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver

_ENDINGS: Final = {"javascript": ".js", "typescript": ".ts", "tsx": ".tsx", "component": ".ts"}
_DECLARATIONS: Final = (b".d.ts", b".d.mts", b".d.cts")
_LISTS: Final = {"import_clause": ("named_imports", "import_specifier"), "export_clause": ("", "export_specifier")}
_MOST = 20_000


def references(
    kind: str, content: bytes, path: bytes, parsers: Parsers, resolver: Resolver
) -> tuple[tuple[Reference, ...], str]:
    """What is imported, exported from elsewhere or required, and why that may not be all. Nothing is told of Node's
    own modules, of types alone, and of files outside of the tree. ``Unreadable`` for what is no text."""
    importer = resolver.relative_of(path)
    if importer is None or path.endswith(_DECLARATIONS):
        return (), ""
    content = lossy(content)
    asked: list[tuple[str | None, int]] = []
    broken = False
    scripts = blocks(content, asked) if kind == "component" else [(kind, content, path)]
    for language, source, name in scripts:
        root = parsers.parse(language, name, source)
        asked += _statements(root, source, parsers)
        asked += loaded(language, root, source, parsers)
        if root.has_error:
            broken = True
            asked += lines(root, source, parsers)
    specifiers = Specifiers(importer, _ENDINGS[kind], resolver)
    found: dict[Reference, None] = {}
    for specifier, line in dict.fromkeys(asked):
        parsers.check()
        for each in _resolved(specifier, line, specifiers, resolver):
            found[each] = None
        if len(found) > _MOST:
            raise Unreadable(f"more than {_MOST} references")
    in_order = sorted(found, key=lambda each: (each.line, each.name, each.to))
    return tuple(in_order), "it does not parse" if broken else ""


def _resolved(specifier: str | None, line: int, specifiers: Specifiers, resolver: Resolver) -> Iterator[Reference]:
    led = specifiers.lead(specifier) if specifier else None
    if led is None or specifier is None:
        return
    name = whole(specifier)
    for to in led.to:
        yield Reference(resolver.canonical(to), name, line)
    if led.external or not led.to:
        yield Reference("", name, line, external=led.external)


def _statements(root: Node, content: bytes, parsers: Parsers) -> Iterator[tuple[str | None, int]]:
    for source, statement in sources(root, content, parsers):
        if not _is_of_types(statement):
            yield folded(source), source.start_point.row + 1


def _is_of_types(statement: Node) -> bool:
    """``import { type A, type B } from "x"``, of which the compiler leaves nothing."""
    for clause in statement.named_children:
        if clause.type not in _LISTS:
            continue
        within, wanted = _LISTS[clause.type]
        lists = [clause] if not within else clause.named_children
        if any(each.type != within for each in lists if within):
            return False
        names = [each for each_list in lists for each in each_list.named_children if each.type == wanted]
        return bool(names) and all(any(sign.type == "type" for sign in each.children) for each in names)
    return False
