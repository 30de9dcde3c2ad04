"""The projects of a tree: folders with a manifest, near its root or listed by a workspace."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

_MARKS = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "package.json", "pnpm-workspace.yaml", "lerna.json"})
_VENV = "pyvenv.cfg"
_LOOKED_FOR = _MARKS | {_VENV}
_DEEPEST = 3  # folders below the root that are listed
_MOST_LISTED = 5000
_MOST_FOUND = 2000
_MOST_LOOKS = 5000
_FOREIGN = frozenset({"node_modules", "__pycache__", "site-packages", "bower_components"})
_SOURCES = frozenset({"src", "lib", "dist", "build", "test", "tests", "__tests__", "docs"})
_BRACES = re.compile(r"\{([^{}]*)\}")


class Project(NamedTuple):
    """``marks``: the manifests that lie in ``folder``."""

    folder: str
    marks: frozenset[str]


def projects(resolver: Resolver) -> tuple[Project, ...]:
    """Folders with a manifest at most four names below the root, the nearest first. Not in virtual environments, where
    packages are installed, and among the sources of another project, and not beyond the first 5,000 folders."""
    return resolver.remembered("projects", lambda: tuple(_found(resolver)))


def _found(resolver: Resolver) -> Iterator[Project]:
    ahead = deque([("", 0)])
    for _ in range(_MOST_LISTED):
        if not ahead:
            break
        folder, depth = ahead.popleft()
        marks = resolver.holding(folder, _LOOKED_FOR)
        if _VENV in marks:
            continue
        if marks:
            yield Project(folder, marks)
        passed = _SOURCES if marks and folder else ()
        inner = resolver.folders(folder) if depth < _DEEPEST else ()
        ahead += ((joined(folder, name), depth + 1) for name in inner if name not in passed)


def is_foreign(name: str) -> bool:
    """Whether a folder by this name holds nobody's sources."""
    return name.startswith(".") or name in _FOREIGN


def joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def above(folder: str) -> Iterator[str]:
    """``a/b``: ``a/b``, ``a``, and the tree itself."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def led(folder: str, path: str) -> str | None:
    """Where ``path`` (``../x``, ``./src``) leads from ``folder``; None for out of the tree."""
    if path.startswith("/") or "\0" in path or len(path) > _MOST_LOOKS:
        return None
    found = posixpath.normpath(joined(folder, path) or ".")
    if found == "..":
        return None
    if found.startswith("../"):
        return None
    return "" if found == "." else found


def expanded(resolver: Resolver, folder: str, pattern: str) -> tuple[str, ...]:
    """The folders below ``folder`` that a pattern of a workspace names (``packages/*``, ``apps/**``, ``{a,b}/*``)."""
    found: dict[str, None] = {}
    left = [_MOST_LOOKS]
    for plain in _alternatives(pattern):
        base = led(folder, "")
        parts = [part for part in plain.split("/") if part not in ("", ".")]
        while parts and parts[0] == ".." and base:
            base = base.rpartition("/")[0]
            del parts[0]
        if base is not None and ".." not in parts:
            found.update(dict.fromkeys(_matching(resolver, base, parts, left)))
    return tuple(found)[:_MOST_FOUND]


def _alternatives(pattern: str) -> list[str]:
    done: list[str] = []
    ahead = [pattern[:500]]
    while ahead and len(done) + len(ahead) <= 64:
        each = ahead.pop()
        braces = _BRACES.search(each)
        if braces is None:
            done.append(each)
        else:
            ahead += [each[: braces.start()] + one + each[braces.end() :] for one in braces[1].split(",")]
    return done


def _matching(resolver: Resolver, base: str, parts: list[str], left: list[int]) -> Iterator[str]:
    ahead = [(base, 0, 0)]
    while ahead and left[0] > 0:
        left[0] -= 1
        folder, at, depth = ahead.pop()
        if at == len(parts):
            yield folder
            continue
        part = parts[at]
        if part == "**":
            ahead.append((folder, at + 1, depth))
            if depth < _DEEPEST + 1:
                ahead += [(joined(folder, name), at, depth + 1) for name in resolver.folders(folder)]
        elif any(sign in part for sign in "*?["):
            names = (name for name in resolver.folders(folder) if fnmatchcase(name, part))
            ahead += [(joined(folder, name), at + 1, depth) for name in names]
        elif resolver.exists_dir(joined(folder, part)):
            ahead.append((joined(folder, part), at + 1, depth))
