"""What the configuration of JavaScript and TypeScript projects says of names: ``tsconfig.json``, ``package.json``,
workspaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.inspection.projects import above, expanded, joined, led, projects

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?', re.DOTALL)
_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"?|,(?=\s*+[}\]])', re.DOTALL)
_PNPM = re.compile(r"^packages:[ \t]*(\[[^\]]{0,2000}\])?[ \t]*(?:#.*)?$((?:\n[ \t]*(?:-.*|#.*)?$)*)", re.MULTILINE)
_ITEM = re.compile(r"""^[ \t]*-[ \t]+["']?([^"'#\n]+?)["']?[ \t]*(?:#.*)?$""", re.MULTILINE)
_WORD = re.compile(r"""[^\s,\[\]"']+""")
_MOST_EXTENDED = 16
_MOST_CONFIGS = 32
_MOST_TARGETS = 64
_CONFIGS = ("tsconfig.json", "jsconfig.json")


class Config(NamedTuple):
    """A ``tsconfig.json`` with what it extends. ``base``: folder of names that are not relative, None for none.
    ``paths``: (pattern, folders or files), and the folder that those are relative to."""

    base: str | None = None
    paths: tuple[tuple[str, tuple[str, ...]], ...] = ()
    folder: str = ""
    projects: tuple[str, ...] = ()


class Packages(NamedTuple):
    """Packages of the tree by their names. ``listed``: folders that belong to a workspace."""

    folders: dict[str, tuple[str, ...]]
    listed: frozenset[str]


def relaxed_json(content: bytes) -> Any:
    """JSON with comments and trailing commas; None for anything else."""
    import json

    text = content.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    bare = _TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    bare = _COMMA.sub(lambda found: found[0] if found[0].startswith('"') else " ", bare)
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        return None


def document(path: str, resolver: Resolver) -> dict[str, Any]:
    """A JSON file, empty if it is none or no object."""
    found = resolver.derived("json", path, relaxed_json)
    return found if isinstance(found, dict) else {}


# ------------------------------------------------------------------------------------------------------ tsconfig


def configs(folder: str, resolver: Resolver) -> Iterator[Config]:
    """Those for a file in ``folder``: the nearest first, each with the projects that it refers to."""
    left = _MOST_CONFIGS
    for each in above(folder):
        for name in _CONFIGS:
            path = joined(each, name)
            if left <= 0 or not resolver.exists_file(path):
                continue
            ahead, seen = [path], {path}
            while ahead and left > 0:
                left -= 1
                config = _config(ahead.pop(0), resolver)
                yield config
                for project in config.projects:
                    if project not in seen:
                        seen.add(project)
                        ahead.append(project)


def _config(path: str, resolver: Resolver) -> Config:
    """With everything that it extends, the nearest word counting. A circle of them ends where it closes."""
    chain: list[str] = []
    ahead = [path]
    while ahead and len(chain) < _MOST_EXTENDED:
        each = ahead.pop()
        if each in chain:
            continue
        chain.append(each)
        parents = _texts(document(each, resolver).get("extends"))
        # Of several the last one counts most.
        ahead += filter(None, (_extended(each, parent, resolver) for parent in parents))
    found = Config()
    own = path.rpartition("/")[0]
    for each in reversed(chain):
        folder = each.rpartition("/")[0]
        options = document(each, resolver).get("compilerOptions")
        options = options if isinstance(options, dict) else {}
        base = options.get("baseUrl")
        if isinstance(base, str):
            found = found._replace(base=_placed(folder, base, own))
        paths = options.get("paths")
        if isinstance(paths, dict):
            pairs = [(key, tuple(_texts(value))[:_MOST_TARGETS]) for key, value in paths.items()]
            found = found._replace(paths=tuple(pairs), folder=folder)
    given = document(path, resolver).get("references")
    listed = [each.get("path") for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    places = (_placed(own, each, own) for each in listed[:_MOST_CONFIGS] if isinstance(each, str))
    return found._replace(projects=tuple(_file(each, resolver) for each in places if each is not None))


def config_target(config: Config, target: str, own: str) -> str | None:
    """Where a target of ``paths`` leads: from ``baseUrl``, else from the file that says it."""
    return _placed(config.folder if config.base is None else config.base, target, own)


def _placed(folder: str, path: str, own: str) -> str | None:
    if path.startswith("${configDir}"):
        return led(own, path.removeprefix("${configDir}").lstrip("/"))
    return led(folder, path)


def _file(place: str, resolver: Resolver) -> str:
    return joined(place, "tsconfig.json") if resolver.exists_dir(place) else place


def _extended(path: str, parent: str, resolver: Resolver) -> str:
    folder = path.rpartition("/")[0]
    if parent.startswith("."):
        bases = [led(folder, parent)]
    else:
        name, rest = split(parent)
        bases = [joined(found, rest) for found in packages(resolver).folders.get(name, ())]
        bases += [joined(joined(each, "node_modules"), parent) for each in above(folder)]
    for base in bases:
        for place in () if base is None else (base, base + ".json", joined(base, "tsconfig.json")):
            if resolver.exists_file(place):
                return place
    return ""


# ------------------------------------------------------------------------------------------------------ packages


def split(name: str) -> tuple[str, str]:
    """``@scope/name/sub`` -> (``@scope/name``, ``sub``)."""
    parts = name.split("/", 2 if name.startswith("@") else 1)
    size = 2 if name.startswith("@") else 1
    return "/".join(parts[:size]), "/".join(parts[size:])


def packages(resolver: Resolver) -> Packages:
    return resolver.remembered("script packages", lambda: _packages(resolver))


def _packages(resolver: Resolver) -> Packages:
    folders: dict[str, None] = {}
    listed: dict[str, None] = {}
    for project in projects(resolver):
        if "package.json" in project.marks:
            folders[project.folder] = None
        for pattern in _members(project.folder, project.marks, resolver):
            if not pattern.startswith("!"):
                listed.update(dict.fromkeys(expanded(resolver, project.folder, pattern)))
    names: dict[str, tuple[str, ...]] = {}
    for folder in (*listed, *(each for each in folders if each not in listed)):
        name = document(joined(folder, "package.json"), resolver).get("name")
        if isinstance(name, str) and name:
            names[name] = (*names.get(name, ()), folder)
    return Packages(names, frozenset(listed))


def _members(folder: str, marks: frozenset[str], resolver: Resolver) -> list[str]:
    found: list[str] = []
    if "package.json" in marks:
        given = document(joined(folder, "package.json"), resolver).get("workspaces")
        found += _texts(given.get("packages") if isinstance(given, dict) else given)
    if "lerna.json" in marks:
        found += _texts(document(joined(folder, "lerna.json"), resolver).get("packages"))
    if "pnpm-workspace.yaml" in marks:
        found += resolver.derived("pnpm", joined(folder, "pnpm-workspace.yaml"), _pnpm, 1 << 16) or ()
    return found[:_MOST_TARGETS]


def _pnpm(content: bytes) -> tuple[str, ...]:
    found = _PNPM.search(content.decode("utf-8", "replace").replace("\r\n", "\n"))
    if found is None:
        return ()
    words = _WORD.findall(found[1] or "")
    return (*words, *_ITEM.findall(found[2]))


def exported(table: Any, subpath: str) -> list[str]:
    """The targets of ``exports`` or ``imports`` for a subpath (``.``, ``./sub``, ``#name``), under all conditions."""
    if not isinstance(table, dict) or not any(key.startswith((".", "#")) for key in table):
        return _leaves(table, "") if subpath == "." else []
    if subpath in table and "*" not in subpath:
        return _leaves(table[subpath], "")
    best: tuple[int, list[str]] = (-1, [])
    for key, value in table.items():
        head, star, tail = key.partition("*")
        if not star and not key.endswith("/"):
            continue
        fits = len(subpath) >= len(head) + len(tail) and subpath.startswith(head) and subpath.endswith(tail)
        if fits and len(head) > best[0]:
            rest = subpath[len(head) : len(subpath) - len(tail)]
            best = (len(head), _leaves(value, rest) if star else [each + rest for each in _leaves(value, "")])
    return best[1]


def _leaves(value: Any, star: str) -> list[str]:
    found: list[str] = []
    ahead = [value]
    while ahead and len(found) < _MOST_TARGETS:
        each = ahead.pop(0)
        if isinstance(each, str):
            found.append(each.replace("*", star) if star else each)
        elif isinstance(each, dict):
            ahead = [*each.values(), *ahead]
        elif isinstance(each, list):
            ahead = [*each[:_MOST_TARGETS], *ahead]
    return list(dict.fromkeys(found))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
