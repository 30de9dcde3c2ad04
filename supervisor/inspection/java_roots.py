"""Folders below which Java packages lie, and where a name leads there.

The importer's own root follows from its ``package``; the others are those of the modules that ``pom.xml`` and
``settings.gradle`` name, or, where none are named, of the folders near the tree's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.reference_parts import ancestors, folder_of, joined, reached

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

_MOST_ROOTS = 400
_MOST_MODULES = 300
_MOST_FOLDERS = 200  # that are looked into where no build names its modules
_MOST_PLACES = 8  # that one name may have
_SUFFIXES = (".java", ".kt")  # another language's class leads to its folder
_BUILDS = ("pom.xml", "settings.gradle", "settings.gradle.kts")
_NO_MODULES = frozenset({"src", "target", "build", "node_modules", "out", "bin", "docs"})
_XML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_MODULE = re.compile(r"<module>([^<]{1,500})</module>")
_COMMENT = re.compile(r"(?<![:'\"\w])//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_INCLUDE = re.compile(r"\binclude(Build)?\b[ \t]*\(?((?:\s*+['\"][^'\"\n]*+['\"]\s*+,?)+)")
_QUOTED = re.compile(r"['\"]([^'\"\n]*)['\"]")
_PLACED = re.compile(r"project\s*\(\s*['\"]([^'\"\n]+)['\"]\s*\)\s*\.\s*projectDir\s*=[^'\"\n]*['\"]([^'\"\n]+)['\"]")


class Place(NamedTuple):
    """Where a name leads. ``known``: it is there; else ``paths`` are those that it may get."""

    paths: tuple[str, ...]
    known: bool


class Roots:
    """``own``: that of the importer, which is looked at first, with the others of its module. ``package`` is as it is
    declared there."""

    def __init__(self, place: str, package: Sequence[str], resolver: Resolver) -> None:
        self._resolver = resolver
        self._folder = folder_of(place)
        self.own = _own_root(self._folder, package)
        self._module = _module_of(self.own)
        self.near = tuple(dict.fromkeys((self.own, *self._of_module(self._module, every=True))))
        self._near = _Holders(self.near, resolver)
        self._far: _Holders | None = None

    def leading(self, name: tuple[str, ...], *, package: int, near: bool = False) -> Place:
        """Where a class leads whose package has as many parts, or a package if that is all of them. ``near``: only in
        the importer's module."""
        path = self._near.file(name) or (not near and self._others().file(name))
        if path:
            return Place((path,), known=True)
        # Another class in one of its files, or one that is generated there.
        holding = self._near.folders(name[:package]) or (() if near else self._others().folders(name[:package]))
        return Place(holding[:_MOST_PLACES], known=bool(holding))

    def expected(self, name: tuple[str, ...], *, package: int) -> Place:
        """Where it would lie in the importer's module."""
        end = "/".join(name[: package + 1]) + ".java" if package < len(name) else "/".join(name)
        return Place(tuple(joined(root, end) for root in self.near[:_MOST_PLACES]), known=False)

    def _others(self) -> _Holders:
        """The roots of other modules, which only a name asks for that is not found nearer."""
        if self._far is None:
            named = self._modules() or list(self._beside())
            roots = (root for each in named if each != self._module for root in self._of_module(each))
            kept = [root for root in dict.fromkeys((*roots, *self._siblings())) if root not in self.near]
            self._far = _Holders(tuple(kept[:_MOST_ROOTS]), self._resolver)
        return self._far

    def _of_module(self, module: str, *, every: bool = False) -> Iterator[str]:
        """``every``: also of source sets with names of their own."""
        src = joined(module, "src")
        if not self._resolver.exists_dir(src):
            return
        conventional = False
        for name in ("main", "test", *(self._resolver.listdir(src)[:50] if every else ())):
            if self._resolver.exists_dir(joined(src, name)) and self._resolver.exists_dir(joined(src, name, "java")):
                conventional = True
                yield joined(src, name, "java")
        if not conventional:
            yield src

    def _siblings(self) -> Iterator[str]:
        """Of a module whose packages lie in its own folder, as on ``--module-source-path`` (javac)."""
        if self.own and self.own == self._module:
            above = folder_of(self.own)
            for name in self._resolver.folders(above)[:_MOST_FOLDERS]:
                yield joined(above, name)

    def _modules(self) -> list[str]:
        """The modules that builds above the importer name, and those that these name in turn."""
        ahead, found, looked = ancestors(self._folder), dict[str, None](), set[str]()
        while ahead and len(found) < _MOST_MODULES:
            folder = ahead.pop()
            if folder in looked:
                continue
            looked.add(folder)
            for build in _BUILDS:
                make = _pom if build == "pom.xml" else _settings
                for each in self._resolver.derived("java", joined(folder, build), make) or ():
                    module = reached(folder, each)
                    if module is not None and module not in found:
                        found[module] = None
                        ahead.append(module)
        return list(found)

    def _beside(self) -> Iterator[str]:
        """Where no build names a module: the folders at most two below the tree."""
        yield ""
        looked = 0
        level = [""]
        for _ in range(2):
            below = []
            for home in level:
                for name in self._resolver.listdir(home)[:_MOST_FOLDERS]:
                    folder = joined(home, name)
                    if name.startswith(".") or name in _NO_MODULES or not self._resolver.exists_dir(folder):
                        continue
                    if (looked := looked + 1) > _MOST_FOLDERS:
                        return
                    below.append(folder)
                    yield folder
            level = below


class _Holders:
    """Which of some roots have a package."""

    def __init__(self, roots: tuple[str, ...], resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {(): roots}

    def folders(self, package: tuple[str, ...]) -> tuple[str, ...]:
        if not package:
            return ()
        known = self._known.get(package)
        if known is None:
            above = self.folders(package[:-1]) if len(package) > 1 else self._known[()]
            places = (joined(each, package[-1]) for each in above)
            known = self._known[package] = tuple(each for each in places if self._resolver.exists_dir(each))
        return known

    def file(self, name: tuple[str, ...]) -> str:
        """That of a class, or of the one that it lies in: in the innermost folder that there is. Empty for none."""
        depth = 0
        while depth < len(name) - 1 and self.folders(name[: depth + 1]):
            depth += 1
        for folder in self.folders(name[:depth]) if depth else self._known[()]:
            for suffix in _SUFFIXES:
                path = joined(folder, name[depth] + suffix)
                if self._resolver.exists_file(path):
                    return path
        return ""


def _own_root(folder: str, package: Sequence[str]) -> str:
    """The folder without the package; where it does not end with that, the conventional one above, or itself."""
    parts = folder.split("/") if folder else []
    if not package or parts[-len(package) :] == list(package):
        return "/".join(parts[: len(parts) - len(package)])
    for end in range(len(parts), 2, -1):
        if parts[end - 1] == "java" and parts[end - 3] == "src":
            return "/".join(parts[:end])
    return folder


def _module_of(root: str) -> str:
    """``core`` of ``core/src/main/java`` and of ``core/src``."""
    parts = root.split("/") if root else []
    if len(parts) >= 3 and parts[-3] == "src":
        return "/".join(parts[:-3])
    return "/".join(parts[:-1]) if parts[-1:] == ["src"] else root


def _pom(content: bytes) -> tuple[str, ...]:
    text = _XML_COMMENT.sub("", content.decode("utf-8", "replace"))
    named = (found[1].strip() for found in _MODULE.finditer(text))
    return tuple(folder_of(each) if each.endswith(".xml") else each for each in named)[:_MOST_MODULES]


def _settings(content: bytes) -> tuple[str, ...]:
    text = _COMMENT.sub("", content.decode("utf-8", "replace"))
    placed = {found[1].strip(":"): found[2] for found in _PLACED.finditer(text)}
    named: list[str] = []
    for found in _INCLUDE.finditer(text):
        for each in _QUOTED.findall(found[2]):
            bare = each.strip(":")
            named.append(each if found[1] else placed.get(bare, bare.replace(":", "/")))
    return tuple(named[:_MOST_MODULES])
