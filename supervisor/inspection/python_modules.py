"""From the names of Python modules to files of the tree.

Which of several folders stands on the path of a program, its sources do not tell. A name therefore leads to every
module by that name which the importer could get from its own project, and if there is none, to those of the other
projects. A module that is not there yet, in a package that is, leads to the paths that it may get.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.inspection.projects import joined
from supervisor.inspection.python_roots import MODULES, Mount, is_regular, other_roots, own_roots

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

# Names that are gone from newer versions are still nobody's packages.
STDLIB: Final = frozenset(sys.stdlib_module_names) | frozenset(
    ("__future__", "__main__", "_typeshed", "asynchat", "asyncore", "distutils", "imp", "lib2to3", "parser", "smtpd")
)
_BUILTIN: Final = frozenset(sys.builtin_module_names) | {"__future__", "__main__"}
_MOST_PLACES = 16  # for one name
_MOST_FOLDERS = 32  # that are looked at to tell whether there is Python in a folder
_LONGEST_NAME = 250
_FOUND: Final = 2  # a module that is there
_LIKELY: Final = 1  # one that is not there yet, in a package that is
_DOUBTFUL: Final = 0  # a folder by that name, which need not be a package


class Place(NamedTuple):
    """``to``: paths, of which several are told where a module can get either. ``module``: what is taken out of the
    home is a module itself."""

    to: tuple[str, ...]
    sure: int
    module: bool = False


class Led(NamedTuple):
    places: tuple[Place, ...] = ()
    external: bool = False


class _Walk(NamedTuple):
    """``at``: the module's file or the folder; empty when ``missing`` is what is not there below ``folder``."""

    at: str
    folder: bool
    base: str = ""
    missing: tuple[str, ...] = ()
    depth: int = 0


class Modules:
    """The modules that the file at ``importer`` can name."""

    def __init__(self, importer: str, resolver: Resolver) -> None:
        self._importer = importer
        self._resolver = resolver
        self._own: tuple[Mount, ...] | None = None
        self._walks: dict[tuple[str, tuple[str, ...]], _Walk] = {}
        self._tops: dict[tuple[Mount, str], bool] = {}
        self._pythonic: dict[str, bool] = {}

    def absolute(self, name: str, taken: str = "") -> Led:
        """``import name``, or ``from name import taken``."""
        parts = tuple(name.split("."))
        top = parts[0]
        if top in _BUILTIN or not all(parts):
            return Led()
        if any(len(part) > _LONGEST_NAME for part in parts):
            return Led(external=top not in STDLIB)
        if self._own is None:
            self._own = own_roots(self._importer, self._resolver)
        mounts = self._own
        if top in STDLIB:
            near = {mounts[0].folder, "", "src"}
            mounts = tuple(mount for mount in mounts if mount.folder in near or mount.prefix)
        own = [place for mount in mounts if (place := self._from(mount, parts, taken)) is not None]
        if top in STDLIB:
            return Led(_best([place for place in own if place.to[0] != self._importer], _LIKELY))
        if sure := _best(own, _LIKELY):
            return Led(sure)
        others = [place for mount in other_roots(top, self._resolver)
                  if (place := self._from(mount, parts, taken)) is not None]  # fmt: skip
        if sure := _best(others, _LIKELY):
            return Led(sure)
        return Led(_best([*own, *others], _DOUBTFUL), external=True)

    def relative(self, level: int, name: str, taken: str = "") -> Led:
        """``from ..name import taken``, with as many dots as ``level``. Nothing for what leads out of the tree."""
        folder = self._importer.rpartition("/")[0]
        for _ in range(level - 1):
            if not folder:
                return Led()
            folder = folder.rpartition("/")[0]
        parts = tuple(name.split(".")) if name else ()
        if not all(parts) or any(len(part) > _LONGEST_NAME for part in parts):
            return Led()
        return Led((self._taken(self._walk(folder, parts), taken),))

    def _from(self, mount: Mount, parts: tuple[str, ...], taken: str) -> Place | None:
        folder = mount.folder
        if mount.prefix:
            prefix = tuple(mount.prefix.split("."))
            if parts[: len(prefix)] != prefix:
                return None
            return self._taken(self._walk(folder, parts[len(prefix) :]), taken)
        if not self._has(mount, parts[0]):
            return None
        walk = self._walk(folder, parts)
        place = self._taken(walk, taken)
        first = joined(folder, parts[0])
        if not self._resolver.exists_dir(first) or is_regular(first, self._resolver):
            return place
        # A folder without an `__init__` is a package of its own if there is Python in it, and no other one by the name.
        if place.sure == _FOUND and self._resolver.exists_file(place.to[0]):
            return place
        if walk.depth > 1:
            return place
        return place._replace(sure=_DOUBTFUL) if self._is_pythonic(first) else None

    def _has(self, mount: Mount, top: str) -> bool:
        known = self._tops.get((mount, top))
        if known is None:
            path = joined(mount.folder, top)
            known = self._resolver.exists_dir(path) or self._module(path) != ""
            self._tops[mount, top] = known
        return known

    def _walk(self, folder: str, parts: tuple[str, ...]) -> _Walk:
        known = self._walks.get((folder, parts))
        if known is None:
            known = self._walks[folder, parts] = self._walked(folder, parts)
        return known

    def _walked(self, folder: str, parts: tuple[str, ...]) -> _Walk:
        at = folder
        for depth, part in enumerate(parts):
            path = joined(at, part)
            is_folder = self._resolver.exists_dir(path)
            file = "" if is_folder and is_regular(path, self._resolver) else self._module(path)
            if file:
                return _Walk(file, folder=False, depth=depth + 1)
            if not is_folder:
                return _Walk("", folder=False, base=at, missing=parts[depth:], depth=depth)
            at = path
        return _Walk(at, folder=True, depth=len(parts))

    def _taken(self, walk: _Walk, taken: str) -> Place:
        if walk.missing:
            return Place(_to_be(joined(walk.base, "/".join(walk.missing))), _LIKELY, module=True)
        if not walk.folder:
            return Place((walk.at,), _FOUND)
        home = self._init(walk.at)
        if not taken or taken == "*" or len(taken) > _LONGEST_NAME:
            return Place((home,), _FOUND)
        inner = self._walk(walk.at, (taken,))
        if not inner.missing:
            return Place((self._init(inner.at) if inner.folder else inner.at,), _FOUND, module=True)
        there = joined(walk.at, taken)
        if home == walk.at:  # without an `__init__` there is nothing in it but modules
            return Place(_to_be(there), _LIKELY, module=True)
        return Place((home,) if self._gives(home, taken) else (home, *_to_be(there)), _FOUND)

    def _gives(self, init: str, taken: str) -> bool:
        """Whether a package could have what is taken by itself: else it is a module that is still to be written."""
        text = self._resolver.text(init)
        if text is None or b"*" in text or b"__getattr__" in text or b"globals" in text:
            return True
        return re.search(rb"(?<!\w)" + re.escape(taken.encode("utf-8", "replace")) + rb"(?!\w)", text) is not None

    def _init(self, folder: str) -> str:
        """What stands for a package: its ``__init__``, or the folder itself."""
        return self._module(joined(folder, "__init__")) or folder

    def _module(self, path: str) -> str:
        return next((path + ending for ending in MODULES if self._resolver.exists_file(path + ending)), "")

    def _is_pythonic(self, folder: str) -> bool:
        known = self._pythonic.get(folder)
        if known is None:
            inner = (joined(folder, name) for name in self._resolver.folders(folder)[:_MOST_FOLDERS])
            known = any(
                name.endswith(MODULES) for each in (folder, *inner) for name in self._resolver.names_like(each, MODULES)
            )
            self._pythonic[folder] = known
        return known


def _best(places: list[Place], least: int) -> tuple[Place, ...]:
    """All that are there; else the first of what may come to be there."""
    found = [place for place in places if place.sure == _FOUND]
    if found:
        return tuple(dict.fromkeys(found))[:_MOST_PLACES]
    return tuple(place for place in places if place.sure >= least)[:1]


def _to_be(path: str) -> tuple[str, str]:
    return path + ".py", path
