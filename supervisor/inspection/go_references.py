"""What a Go source imports, as folders of the tree: a package is a folder.

The path that an import leads to follows from the module's name alone, so it is told whether or not it exists yet.
Build constraints are not applied: what any platform compiles counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import lossy
from supervisor.inspection.reference_parts import (
    DOES_NOT_PARSE,
    GO,
    Found,
    ancestors,
    blanked,
    folder_of,
    joined,
    place_of,
    reached,
)

if TYPE_CHECKING:
    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver
    from supervisor.vocabulary.content import Reference

_IMPORT = re.compile(rb'(?<![\w\x80-\xff])import\s*+(?:(\()|(?:[\w\x80-\xff]++|\.)?\s*+(?="))')
_BLOCK = re.compile(rb"[^)]*")
_OTHER = re.compile(rb"^(?:func|type|var|const)\b", re.MULTILINE)  # no import is below the first of them
_LITERAL = re.compile(rb'"([^"\\\n]*+(?:\\.[^"\\\n]*+)*)"|`([^`]*+)`')
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([abfnrtv\\'\"]))")
_PLAIN = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_COMMENT = re.compile(r"//[^\n]*")
_DIRECTIVE = re.compile(r"^[ \t]*(module|use|replace)\b[ \t]*(?:\(([^)]*+)|([^\n(]*))", re.MULTILINE)
_WORD = re.compile(r'"([^"\n]*)"|`([^`\n]*)`|([^\s"`]+)')
_MOST_MODULES = 2_000


class _Manifest(NamedTuple):
    """``go.mod`` or ``go.work``. ``replaced``: pairs of a module and what stands for it."""

    module: str = ""
    used: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()


class _Modules(NamedTuple):
    """``local``: pairs of a module's name and its folder in the tree, the longest name first; ``foreign``: names of
    modules that are replaced by something outside. ``roots``: folders of the importer's module and workspace."""

    local: tuple[tuple[str, str], ...]
    foreign: frozenset[str]
    roots: tuple[str, ...]


def references(content: bytes, path: bytes, parsers: Parsers, resolver: Resolver) -> tuple[tuple[Reference, ...], str]:
    """``path``: its absolute path in the tree. The second is why the file cannot be read whole, or empty."""
    place = place_of(path, resolver)
    text = lossy(content)
    broken = parsers.parse("go", path, text).has_error
    found = Found(text, place, resolver)
    modules: _Modules | None = None
    for name, at in _imports(text):
        if name in ("", "C"):
            continue
        modules = modules or _modules(folder_of(place), resolver)
        to, external = _resolved(name, folder_of(place), modules, resolver)
        if to is None or to != folder_of(place):
            found.add(_package(to, resolver) if to is not None else "", name, at, external=external)
    return found.all(), DOES_NOT_PARSE if broken else ""


def _imports(content: bytes) -> Iterator[tuple[str, int]]:
    """Paths and where they stand. Names, dots and blanks before them change nothing."""
    text = blanked(content, GO)
    at = 0
    while (statement := _IMPORT.search(text, at)) is not None:
        at = statement.end()
        if statement[1] is None:
            yield from _literal(content, at)
            continue
        block = _BLOCK.match(text, at)
        end = len(text) if block is None else block.end()
        other = _OTHER.search(text, at, end)
        end = end if other is None else other.start()
        while (quote := text.find(b'"', at, end)) >= 0:
            yield from _literal(content, quote)
            at = quote + 1
        at = end


def _literal(content: bytes, at: int) -> Iterator[tuple[str, int]]:
    found = _LITERAL.match(content, at)
    if found is None:
        return
    raw = found[2].replace(b"\r", b"") if found[1] is None else _ESCAPE.sub(_unescaped, found[1])
    yield raw.decode("utf-8", "replace"), at


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[5] is not None:
        return _PLAIN.get(found[5], found[5])
    if found[1] is not None or found[2] is not None:
        return bytes([int(found[1], 16) if found[1] is not None else int(found[2], 8) & 0xFF])
    value = int(found[3] or found[4], 16)
    return chr(value).encode("utf-8", "replace") if value < 0x110000 else found[0]


def _resolved(name: str, folder: str, modules: _Modules, resolver: Resolver) -> tuple[str | None, bool]:
    """Where an import leads (None: out of the tree), and whether it is of a third party."""
    if name.startswith(("./", "../")) or name in (".", ".."):
        return reached(folder, name), False
    for module, root in modules.local:
        if name == module or name.startswith(module + "/"):
            return reached(root, name[len(module) :].lstrip("/")), False
    for root in modules.roots:
        if resolver.exists_dir(joined(root, "vendor", name)):
            return joined(root, "vendor", name), True
    if any(name == module or name.startswith(module + "/") for module in modules.foreign):
        return None, True
    legacy = _below_src(name, folder, resolver) if not modules.local else None
    if legacy is not None:
        return legacy, False
    return None, "." in name.partition("/")[0]


def _below_src(name: str, folder: str, resolver: Resolver) -> str | None:
    """Without a module: below the next folder ``src`` above the importer, which may be above the tree (GOPATH)."""
    tree = resolver.tree.decode("utf-8", "surrogateescape")
    here = f"{tree}/{folder}/"
    at = here.rfind("/src/")
    while at >= 0:
        target = f"{here[:at]}/src/{name}"
        if target.startswith(tree + "/") and resolver.exists_dir(target[len(tree) + 1 :]):
            return target[len(tree) + 1 :]
        at = here.rfind("/src/", 0, at)
    return None


def _package(folder: str, resolver: Resolver) -> str:
    """The tree itself has no name, so one of its files stands for the package there."""
    if folder:
        return folder
    names = resolver.names_like("", (".go",))
    files = [name for name in names if name.endswith(".go") and not name.endswith("_test.go")]
    return files[0] if files else "."


def _modules(folder: str, resolver: Resolver) -> _Modules:
    above = ancestors(folder)
    local: dict[str, str] = {}
    foreign: set[str] = set()
    roots: list[str] = []
    for home, name in ((home, name) for name in ("go.work", "go.mod") for home in above):
        if name in [each.rpartition("/")[2] for each in roots]:
            continue
        manifest = _manifest(joined(home, name), resolver)
        if manifest is None:
            continue
        roots.append(joined(home, name))
        for used in (home, *(reached(home, each) for each in manifest.used[:_MOST_MODULES])):
            module = _manifest(joined(used, "go.mod"), resolver) if used is not None else None
            if used is not None and module is not None and module.module:
                local.setdefault(module.module, used)
                _replace(used, module, local, foreign)
        _replace(home, manifest, local, foreign)
    kept = sorted(local.items(), key=lambda each: -len(each[0]))
    places = [folder_of(each) for each in roots] or above  # without a module every folder may have a vendor folder
    return _Modules(tuple(kept), frozenset(foreign), tuple(places))


def _replace(home: str, manifest: _Manifest, local: dict[str, str], foreign: set[str]) -> None:
    for old, new in manifest.replaced[:_MOST_MODULES]:
        place = reached(home, new) if new.startswith(("./", "../")) or new in (".", "..") else None
        if place is None:
            foreign.add(old)
        else:
            local.setdefault(old, place)


def _manifest(relative: str, resolver: Resolver) -> _Manifest | None:
    return resolver.derived("go", relative, _read)


def _read(content: bytes) -> _Manifest:
    text = _COMMENT.sub("", content.decode("utf-8", "replace"))
    module, used, replaced = "", [], []
    for found in _DIRECTIVE.finditer(text):
        for line in (found[2] or found[3] or "").split("\n"):
            words = [word[1] or word[2] or word[3] or "" for word in _WORD.finditer(line)]
            if not words:
                continue
            if found[1] == "module":
                module = module or words[0]
            elif found[1] == "use":
                used.append(words[0])
            elif "=>" in words[:-1]:
                replaced.append((words[0], words[words.index("=>") + 1]))
    return _Manifest(module, tuple(used), tuple(replaced))
