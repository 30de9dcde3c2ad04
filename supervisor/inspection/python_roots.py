"""Where the modules of a Python tree begin: folders that stand on the path of whoever imports, as far as the tree and
its manifests tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.inspection.projects import above, expanded, joined, led, projects

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

_INITS = ("__init__.py", "__init__.pyi", "__init__.pyx")
MODULES = (".py", ".pyi", ".pyx", ".pyw")
_MANIFESTS = frozenset({"pyproject.toml", "setup.py", "setup.cfg"})
_SETUP_DIR = re.compile(rb"""package_dir\s*=\s*\{\s*["']["']\s*:\s*["']([^"']{1,200})["']""")
_SETUP_FIND = re.compile(rb"""find_(?:namespace_)?packages\(\s*(?:where\s*=\s*)?["']([^"']{1,200})["']""")
_MOST_MOUNTS = 256


class Mount(NamedTuple):
    """A folder that the dotted ``prefix`` names; the empty prefix: whose content is imported by its own name."""

    prefix: str
    folder: str


class _Manifest(NamedTuple):
    """What a manifest says, relative to its folder: (prefix, folder) pairs, and patterns of members."""

    mounts: tuple[tuple[str, str], ...] = ()
    members: tuple[str, ...] = ()


def is_regular(folder: str, resolver: Resolver) -> bool:
    """Whether a folder is a package by its ``__init__``."""
    return any(resolver.exists_file(joined(folder, name)) for name in _INITS)


def own_roots(importer: str, resolver: Resolver) -> tuple[Mount, ...]:
    """For the file at ``importer``, the likeliest first: where its own package begins, the folders above that with
    their ``src``, and what the manifests of those name."""
    folder = importer.rpartition("/")[0]
    while folder and is_regular(folder, resolver):
        folder = folder.rpartition("/")[0]
    found: dict[Mount, None] = {}
    for each in above(folder):
        found[Mount("", each)] = None
        if resolver.exists_dir(joined(each, "src")):
            found[Mount("", joined(each, "src"))] = None
    for each in above(importer.rpartition("/")[0]):
        found.update(dict.fromkeys(_configured(each, resolver)))
    return tuple(found)[:_MOST_MOUNTS]


def other_roots(top: str, resolver: Resolver) -> tuple[Mount, ...]:
    """Where other projects of the tree have a module by the name ``top``."""
    return resolver.remembered("python roots", lambda: _index(resolver)).get(top, ())


def _index(resolver: Resolver) -> dict[str, tuple[Mount, ...]]:
    folders = {project.folder for project in projects(resolver) if project.marks & _MANIFESTS}
    for folder in tuple(folders):
        for member in _manifest(folder, resolver).members:
            folders.update(expanded(resolver, folder, member))
    mounts: dict[Mount, None] = {}
    for folder in sorted(folders):
        mounts[Mount("", folder)] = None
        if resolver.holding(folder, ("src",)):
            mounts[Mount("", joined(folder, "src"))] = None
        mounts.update(dict.fromkeys(_configured(folder, resolver)))
    found: dict[str, dict[Mount, None]] = {}
    for mount in mounts:
        names = (mount.prefix,) if mount.prefix else resolver.names_like(mount.folder, MODULES)
        for name in names:
            found.setdefault(name.partition(".")[0], {})[mount] = None
    return {name: tuple(each) for name, each in found.items()}


# ----------------------------------------------------------------------------------------------------- manifests


def _configured(folder: str, resolver: Resolver) -> Iterator[Mount]:
    for prefix, place in _manifest(folder, resolver).mounts:
        found = led(folder, place)
        if found is not None and resolver.exists_dir(found):
            last = prefix.rpartition(".")[2]
            if prefix and "." not in prefix and found.rpartition("/")[2] == last:
                yield Mount("", found.rpartition("/")[0])
            else:
                yield Mount(prefix, found)


def _manifest(folder: str, resolver: Resolver) -> _Manifest:
    mounts: tuple[tuple[str, str], ...] = ()
    members: tuple[str, ...] = ()
    names = resolver.holding(folder, _MANIFESTS)
    for name, reader in (("pyproject.toml", _pyproject), ("setup.cfg", _setup_cfg), ("setup.py", _setup_py)):
        found = resolver.derived("python", joined(folder, name), reader) if name in names else None
        if found is not None:
            mounts, members = (*mounts, *found.mounts), (*members, *found.members)
    return _Manifest(mounts[:_MOST_MOUNTS], members[:_MOST_MOUNTS])


def _pyproject(content: bytes) -> _Manifest:
    import tomllib

    try:
        document = tomllib.loads(content.decode("utf-8", "replace"))
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return _Manifest()
    tool = _table(document, "tool")
    mounts = [*_setuptools(_table(tool, "setuptools")), *_others(tool)]
    uv = _table(tool, "uv")
    members = [*_texts(_table(uv, "workspace").get("members"))]
    for source in _table(uv, "sources").values():
        members += _texts(source.get("path")) if isinstance(source, dict) else []
    return _Manifest(tuple(mounts), tuple(members))


def _setuptools(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for prefix, place in _table(table, "package-dir").items():
        if isinstance(place, str):
            yield prefix, place
    packages = table.get("packages")
    where = _table(packages, "find").get("where") if isinstance(packages, dict) else None
    yield from (("", place) for place in _texts(where))


def _others(tool: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for package in _list(_table(tool, "poetry").get("packages")):
        if isinstance(package, dict) and isinstance(package.get("from"), str):
            yield "", package["from"]
    hatch = _table(_table(tool, "hatch"), "build")
    for table in (hatch, _table(_table(hatch, "targets"), "wheel"), _table(_table(hatch, "targets"), "sdist")):
        for package in _texts(table.get("packages")):
            yield "", package.rstrip("/").rpartition("/")[0] or "."
        sources = table.get("sources")
        if isinstance(sources, dict):
            for place, name in sources.items():
                if isinstance(name, str):
                    yield name.strip("/").replace("/", "."), place or "."
        else:
            yield from (("", place) for place in _texts(sources))
        yield from (("", place) for place in _texts(table.get("dev-mode-dirs")))
    places = (
        _table(_table(tool, "pdm"), "build").get("package-dir"), _table(tool, "pdm").get("package-dir"),
        _table(_table(tool, "uv"), "build-backend").get("module-root"), _table(tool, "maturin").get("python-source"),
        _table(_table(tool, "pytest"), "ini_options").get("pythonpath"), _table(tool, "pyright").get("extraPaths"),
    )  # fmt: skip
    for place in places:
        words = place.split() if isinstance(place, str) else _texts(place)
        yield from (("", each) for each in words)


def _setup_cfg(content: bytes) -> _Manifest:
    import configparser

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(content.decode("utf-8", "replace"))
        told = parser.get("options", "package_dir", fallback="").splitlines()
        where = parser.get("options.packages.find", "where", fallback="").split()
    except configparser.Error:
        return _Manifest()
    pairs = [line.partition("=") for line in told if "=" in line]
    mounts = [(prefix.strip(), place.strip()) for prefix, _, place in pairs]
    return _Manifest((*mounts, *(("", place) for place in where)))


def _setup_py(content: bytes) -> _Manifest:
    found = [*_SETUP_DIR.findall(content), *_SETUP_FIND.findall(content)]
    return _Manifest(tuple(("", place.decode("utf-8", "replace")) for place in found[:_MOST_MOUNTS]))


def _table(table: Any, key: str) -> dict[str, Any]:
    found = table.get(key) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in _list(value) if isinstance(each, str)]
