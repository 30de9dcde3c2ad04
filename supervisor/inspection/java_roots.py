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
_SUFFIXES = (".java", ".kt", ".scala", ".groovy")
_BUILDS = ("pom.xml", "settings.gradle", "settings.gradle.kts")
_NO_MODULES = frozenset({"src", "target", "build", "node_modules", "out", "bin", "docs"})
_XML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_MODULE = re.compile(r"<module>([^<]{1,500})</module>")
_COMMENT = re.compile(r"(?<![:'\"\w])//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_INCLUDE = re.compile(r"\binclude(Build)?\b[ \t]*\(?((?:\s*+['\"][^'\"\n]*+['\"]\s*+,?)++)")
_QUOTED = re.compile(r"['\"]([^'\"\n]*)['\"]")
_PLACED = re.compile(
    r"project\s*\(\s*['\"]([^'\"\n]+)['\"]\s*\)\s*\.\s*projectDir\s*=[^'\"\n]*['\"]([^'\"\n]+)['\"]"
)


class Place(NamedTuple):
    """Where a name leads. ``known``: it is there; else ``paths`` are those that it may get."""

    paths: tuple[str, ...]
    known: bool


class Roots:
    """``own``: that of the importer. ``package`` is as it is declared there."""

    def __init__(self, place: str, package: Sequence[str], resolver: Resolver) -> None:
        self._resolver = resolver
        self.own = _own_root(folder_of(place), package)
        self.folders = tuple(dict.fromkeys(self._all(folder_of(place))))[:_MOST_ROOTS]
        self._alive: dict[tuple[str, ...], tuple[str, ...]] = {(): self.folders}

    def holding(self, package: tuple[str, ...]) -> tuple[str, ...]:
        """The roots that have a folder for the package."""
        known = self._alive.get(package)
        if known is None:
            above = self.holding(package[:-1])
            known = self._alive[package] = tuple(
                root for root in above if self._resolver.exists_dir(joined(root, *package))
            )
        return known

    def leading(self, name: tuple[str, ...], *, package: int) -> Place:
        """Where a class leads whose package has as many parts, or a package if that is all of them."""
        depth = 0
        while depth < min(len(name), 64) and self.holding(name[: depth + 1]):
            depth += 1
        for length in range(min(depth, len(name) - 1), -1, -1):
            for root in self.holding(name[:length]) if length or package == 0 else ():
                for suffix in _SUFFIXES:
                    path = joined(root, *name[:length]) + f"/{name[length]}{suffix}"
                    if self._resolver.exists_file(path.lstrip("/")):
                        return Place((path.lstrip("/"),), known=True)
            if length <= package:
                break
        if package and depth >= package:
            roots = self.holding(name[:package])
            return Place(tuple(joined(root, *name[:package]) for root in roots[:_MOST_PLACES]), known=True)
        return Place((), known=False)

    def expected(self, name: tuple[str, ...], *, package: int) -> Place:
        """Where it would lie in the importer's module."""
        end = "/".join(name[: package + 1]) + ".java" if package < len(name) else "/".join(name)
        return Place(tuple(dict.fromkeys(joined(root, end) for root in (self.own, *self.folders[:3]))), known=False)

    def _all(self, folder: str) -> Iterator[str]:
        yield self.own
        module = _module_of(self.own)
        yield from self._of_module(module)
        named = self._modules(folder)
        for each in named or self._near():
            if each != module:
                yield from self._of_module(each)

    def _of_module(self, module: str) -> Iterator[str]:
        src = joined(module, "src")
        if not self._resolver.exists_dir(src):
            return
        conventional = False
        for name in ("main", "test", *self._resolver.listdir(src)[:50]):
            if self._resolver.exists_dir(joined(src, name, "java")):
                conventional = True
                yield joined(src, name, "java")
        if not conventional:
            yield src

    def _modules(self, folder: str) -> list[str]:
        """The modules that builds above the importer name, and those that these name in turn."""
        ahead = ancestors(folder)
        found: dict[str, None] = {}
        looked: set[str] = set()
        while ahead and len(found) < _MOST_MODULES:
            home = ahead.pop()
            if home in looked:
                continue
            looked.add(home)
            for build in _BUILDS:
                named = self._resolver.derived("java", joined(home, build), _pom if build == "pom.xml" else _settings)
                for each in named or ():
                    module = reached(home, each)
                    if module is not None and module not in found:
                        found[module] = None
                        ahead.append(module)
        return list(found)

    def _near(self) -> Iterator[str]:
        """Folders at most two below the tree."""
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
