"""Crates of the tree, as ``Cargo.toml`` tells them: the names that a path can begin with, and where each leads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.inspection.reference_parts import RUST, ancestors, blanked, folder_of, joined, reached

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

_MOST_MEMBERS = 500
_MOST_PARTS = 32  # of a path
_TABLES = ("dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies")
_SEVERAL = ("bin", "test", "example", "bench")
_SINGLE = frozenset({"tests", "examples", "benches"})  # folders in which each file is a crate of its own
_DECLARED = re.compile(rb"(?<![\w#$\x80-\xff])mod\s++(?:r#)?([A-Za-z_\x80-\xff][\w\x80-\xff]*+)\s*+;")
_PLACED = re.compile(
    rb'\bpath\s*+=\s*+"([^"\\\n]{1,500})"\s*+\]\s*+(?:#\[[^\]]{0,200}\]\s*+){0,9}(?:pub\s*+(?:\([^)]{0,200}\)\s*+)?)?'
    rb"mod\s++(?:r#)?([A-Za-z_\x80-\xff][\w\x80-\xff]*+)\s*+;"
)
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff]*")
_ALL_OF = re.compile(rb"(?:::|[{,])\s*+\*")


class Dependency(NamedTuple):
    """``package``: its name in the registry, ``path`` as written, ``shared`` when the workspace says more."""

    package: str
    path: str = ""
    shared: bool = False
    renamed: bool = False


class Manifest(NamedTuple):
    """One ``Cargo.toml``. Paths are as written."""

    package: str = ""
    edition: str = ""
    library: str = ""
    library_path: str = "src/lib.rs"
    targets: tuple[str, ...] = ()
    dependencies: Mapping[str, Dependency] = MappingProxyType({})
    workspace: bool = False
    members: tuple[str, ...] = ()
    shared: Mapping[str, Dependency] = MappingProxyType({})
    patched: Mapping[str, str] = MappingProxyType({})
    shared_edition: str = ""
    broken: bool = False

    @property
    def name(self) -> str:
        """As sources spell it."""
        return (self.library or self.package).replace("-", "_")


class Declared(NamedTuple):
    """What the root file of a crate says: modules that lie in files, and every word, among which a path may begin."""

    modules: frozenset[str]
    words: frozenset[str]
    open: bool  # a glob import brings in names that do not stand here
    placed: Mapping[str, str]  # modules that are said to lie elsewhere


class Crate(NamedTuple):
    """The crate that a file is a part of. ``folder``: where its top modules lie; ``root``: its first file, empty where
    that is not known; ``module``: where the file stands in it; ``is_root``: the modules it declares lie beside it.
    ``names``: other crates -> the folder of the crate, None for third parties."""

    folder: str
    root: str
    module: tuple[str, ...]
    is_root: bool
    names: Mapping[str, str | None]
    old: bool  # edition 2015
    workspace: str | None  # its folder
    problem: str  # why not all names are known, or empty


def manifest(folder: str, resolver: Resolver) -> Manifest | None:
    return resolver.derived("cargo", joined(folder, "Cargo.toml"), _read)


def crate_of(place: str, resolver: Resolver) -> Crate:
    """``place``: the path of a source in the tree."""
    above = ancestors(folder_of(place))
    home, found, problem = "", None, ""
    for folder in above:
        told = manifest(folder, resolver)
        if told.broken if told is not None else resolver.exists_file(joined(folder, "Cargo.toml")):
            problem = f"{joined(folder, 'Cargo.toml')} cannot be read"
        if told is not None and told.package:
            home, found = folder, told
            break
    if found is None:
        found = Manifest()
        home = _without_manifest(above, resolver)
    workspace = next((each for each in ancestors(home) if _is_workspace(each, resolver)), None)
    shared = manifest(workspace, resolver) if workspace is not None else None
    folder, root, module, is_root = _position(place, home, found, resolver)
    edition = shared.shared_edition if found.edition == "workspace" and shared is not None else found.edition
    base = home if workspace is None else workspace
    names = dict(_names(home, found, base, shared or Manifest(), resolver))
    if found.package:
        names.setdefault(found.name, home)
    old = bool(found.package) and edition in ("", "2015")
    return Crate(folder, root, module, is_root, names, old, workspace, problem)


def library(folder: str, resolver: Resolver) -> str:
    """The root file of the library of the crate in ``folder``."""
    told = manifest(folder, resolver)
    return reached(folder, told.library_path if told is not None else "src/lib.rs") or joined(folder, "src/lib.rs")


def members(crate: Crate, resolver: Resolver) -> Mapping[str, str]:
    """Names and folders of the crates of the same workspace, also of those that are not (yet) dependencies."""
    shared = manifest(crate.workspace, resolver) if crate.workspace is not None else None
    found: dict[str, str] = {}
    if crate.workspace is None or shared is None:
        return found
    patterns = shared.members[:_MOST_MEMBERS]
    folders = (folder for each in patterns for folder in _expanded(crate.workspace, each, resolver))
    for folder in islice(folders, _MOST_MEMBERS):
        told = manifest(folder, resolver)
        if told is not None and told.package:
            found.setdefault(told.name, folder)
    return found


def deepest(folder: str, parts: tuple[str, ...], resolver: Resolver) -> str:
    """The file of the innermost module of a path that there is; empty when not even the first is a file."""
    found, base = "", folder
    for part in parts[:_MOST_PARTS]:
        base = joined(base, part)
        if resolver.exists_file(base + ".rs"):
            found = base + ".rs"
        elif resolver.exists_file(base + "/mod.rs"):
            found = base + "/mod.rs"
        elif not resolver.exists_dir(base):
            break
    return found


def may_become(folder: str, root: str, parts: tuple[str, ...], resolver: Resolver) -> tuple[str, ...]:
    """Paths that a module may get for which there is no file, unless the root file speaks of it otherwise."""
    told = declared(root, resolver)
    first = parts[0]
    if told is not None and first not in told.modules and (first in told.words or told.open):
        return ()
    if not first[:1].islower() or (len(parts) < 2 and (told is None or first not in told.modules)):
        return ()
    found = [joined(folder, first) + ".rs", joined(folder, first, "mod.rs")]
    if len(parts) > 2:
        found.append(joined(folder, *parts[:2]) + ".rs")
    return tuple(found)


def placed(root: str, parts: tuple[str, ...], resolver: Resolver) -> str:
    """The file of a module that the root file says to lie elsewhere; empty for others."""
    told = declared(root, resolver)
    written = told.placed.get(parts[0]) if told is not None and parts else None
    place = reached(folder_of(root), written) if written else None
    if not place or not resolver.exists_file(place):
        return ""
    inside = folder_of(place) if place.endswith("/mod.rs") else place.removesuffix(".rs")
    return deepest(inside, parts[1:], resolver) or place


def declared(root: str, resolver: Resolver) -> Declared | None:
    """Of ``lib.rs`` and ``main.rs``, others are not read: what is remembered of a tree is held to these names."""
    if root.rpartition("/")[2] not in ("lib.rs", "main.rs"):
        return None
    return resolver.derived("rust", root, _declared)


def _declared(content: bytes) -> Declared:
    text = blanked(content, RUST)
    words = frozenset(each.decode("utf-8", "replace") for each in set(_WORD.findall(text)))
    modules = frozenset(each.decode("utf-8", "replace") for each in _DECLARED.findall(text))
    elsewhere = {
        name.decode("utf-8", "replace"): path.decode("utf-8", "replace") for path, name in _PLACED.findall(content)
    }
    return Declared(modules, words, _ALL_OF.search(text) is not None, elsewhere)


def _is_workspace(folder: str, resolver: Resolver) -> bool:
    told = manifest(folder, resolver)
    return told is not None and told.workspace


def _without_manifest(above: list[str], resolver: Resolver) -> str:
    for folder in above:
        if any(resolver.exists_file(joined(folder, name)) for name in ("lib.rs", "main.rs")):
            return folder_of(folder) if folder.rpartition("/")[2] == "src" else folder
    return above[0]


def _position(place: str, home: str, told: Manifest, resolver: Resolver) -> tuple[str, str, tuple[str, ...], bool]:
    """(folder of the top modules, root file, module, whether it is a root)."""
    below = place[len(home) + 1 if home else 0 :].split("/")
    targets = [reached(home, each) for each in (told.library_path, "src/main.rs", "lib.rs", "main.rs", *told.targets)]
    if place in targets:
        return folder_of(place), place, (), True
    first = 2 if below[:2] == ["src", "bin"] else 1 if below[0] in _SINGLE else 0
    if first:
        inner = joined(home, *below[: first + 1])
        if len(below) > first + 1 and resolver.exists_file(inner + "/main.rs"):
            folder, root = inner, inner + "/main.rs"
        else:
            folder, root = joined(home, *below[:first]), place if len(below) == first + 1 else ""
    else:
        roots = [each for each in targets if each is not None and resolver.exists_file(each)]
        holding = [each for each in roots if f"{folder_of(place)}/".startswith(f"{folder_of(each)}/".lstrip("/"))]
        root = max(holding, key=lambda each: len(folder_of(each)), default="")
        folder = folder_of(root) if root else joined(home, "src") if below[0] == "src" else home
    if place == root or below == ["build.rs"]:
        return folder_of(place), place, (), True
    inside = place[len(folder) + 1 if folder else 0 :].removesuffix(".rs").split("/")
    if inside[-1] == "mod":
        return folder, root, tuple(inside[:-1]), True
    return folder, root, tuple(inside), False


def _names(
    home: str, told: Manifest, workspace: str, shared: Manifest, resolver: Resolver
) -> Iterator[tuple[str, str | None]]:
    for key, written in told.dependencies.items():
        each, base = written, home
        if each.shared:
            common = shared.shared.get(key)
            each, base = (common, workspace) if common is not None else (each, home)
        path, base = (each.path, base) if each.path else (shared.patched.get(each.package, ""), workspace)
        folder = reached(base, path) if path else None
        name = key
        if folder is not None and not each.renamed:
            other = manifest(folder, resolver)
            name = other.name if other is not None and other.package else key
        yield name.replace("-", "_"), folder


def _expanded(base: str, pattern: str, resolver: Resolver) -> list[str]:
    folders = [base]
    for part in pattern.strip("/").split("/")[:_MOST_PARTS]:
        if part in (".", ""):
            continue
        if not any(sign in part for sign in "*?["):
            folders = [place for each in folders if (place := reached(each, part)) is not None]
            continue
        names = [(each, name) for each in folders for name in resolver.listdir(each) if fnmatchcase(name, part)]
        folders = [joined(each, name) for each, name in names if resolver.exists_dir(joined(each, name))]
        folders = folders[:_MOST_MEMBERS]
    return folders


# ------------------------------------------------------------------------------------------------- Cargo.toml


_NO_TABLE: Final[Mapping[str, object]] = MappingProxyType({})


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else _NO_TABLE


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read(content: bytes) -> Manifest:
    """What does not parse names no package: nothing is then known of other crates."""
    import tomllib

    try:
        told = tomllib.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return Manifest(broken=True)
    package, lib, workspace = (_table(told.get(name)) for name in ("package", "lib", "workspace"))
    package = package or _table(told.get("project"))
    listed = (each for name in _SEVERAL for each in _several(told.get(name)))
    targets = (*(_text(each.get("path")) for each in listed), _text(package.get("build")))
    patched: dict[str, str] = {}
    for source in _table(told.get("patch")).values():
        for key, value in _table(source).items():
            path = _text(_table(value).get("path"))
            if path:
                patched[_text(_table(value).get("package")) or key] = path
    edition = package.get("edition", "")
    return Manifest(
        _text(package.get("name")),
        _text(edition) or ("workspace" if edition else ""),
        _text(lib.get("name")),
        _text(lib.get("path")) or "src/lib.rs",
        tuple(each for each in targets if each),
        dict(_dependencies(told)),
        "workspace" in told,
        _texts(workspace.get("members")),
        dict(_listed(workspace.get("dependencies"))),
        patched,
        _text(_table(workspace.get("package")).get("edition")),
    )


def _several(value: object) -> Iterator[Mapping[str, object]]:
    return (_table(each) for each in (value if isinstance(value, list) else ()))


def _dependencies(told: Mapping[str, object]) -> Iterator[tuple[str, Dependency]]:
    tables = [told, *(_table(each) for each in _table(told.get("target")).values())]
    for table in tables:
        for name in _TABLES:
            yield from _listed(table.get(name))


def _listed(value: object) -> Iterator[tuple[str, Dependency]]:
    for key, written in _table(value).items():
        each = _table(written)
        package = _text(each.get("package"))
        yield key, Dependency(package or key, _text(each.get("path")), each.get("workspace") is True, bool(package))
