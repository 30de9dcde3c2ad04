"""Requirements in ``package.json``, and how npm and its kin write what they take a package from."""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located, Path
from supervisor.inspection.json_entries import json_entries, json_problem
from supervisor.vocabulary.content import Requirement

_SECTIONS = frozenset({"dependencies", "devDependencies", "peerDependencies", "optionalDependencies"})
_BUNDLED = frozenset({"bundledDependencies", "bundleDependencies"})
_NAME = re.compile(r"(?:@[^/@\s]+/)?[^/@\s]+")
_ALIAS = re.compile(r"npm:((?:@[^/@\s]+/)?[^/@\s]+)(?:@(.*))?", re.DOTALL)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|git@|\.{0,2}/|~/|[^\s/@]+/[^\s/]+", re.IGNORECASE)
_INDEX = re.compile(r"(?:workspace|catalog|patch):", re.IGNORECASE)


class Spec(NamedTuple):
    """``name`` is that of the package which really comes."""

    name: str
    versions: str
    origin: str


def spec(name: str, written: str) -> Spec:
    """What ``"name": "written"`` brings: a range, an alias (``npm:other@4``), or an address."""
    written = written.strip()
    alias = _ALIAS.fullmatch(written)
    if alias is not None:
        return Spec(alias[1], "" if alias[2] in (None, "*", "latest") else alias[2], written)
    if _ELSEWHERE.match(written) is not None and not _INDEX.match(written):
        return Spec(name, "", written)
    return Spec(name, "" if written in ("*", "x", "latest") else written, "")


def package_json(text: str) -> Document:
    entries = json_entries(text)
    located: list[Located] = []
    for entry in entries:
        place, name, written = _named(entry)
        found = _NAME.fullmatch(name) if place else None
        if found is None:
            continue
        real = spec(name, written)
        requirement = Requirement(
            "npm", whole(real.name), whole(real.versions), entry.line, whole(place), origin=whole(real.origin)
        )
        located.append(Located(requirement, (entry,)))
    return Document(sorted(located, key=lambda each: each.requirement.line), entries, json_problem(text))


def _named(entry: Entry) -> tuple[str, str, str]:
    """(place, name, what is written for it); an empty place for entries that name no package."""
    path, text = entry.path, entry.text
    match path:
        case (str(section), str(name)) if section in _SECTIONS:
            return section, name, text or ""
        case (str(section), int()) if section in _BUNDLED:
            return section, text or "", ""
        case ("overrides", *_) | ("resolutions", *_) | ("pnpm", "overrides", *_):
            return _overridden(path, text)
    return "", "", ""


def _overridden(path: Path, text: str | None) -> tuple[str, str, str]:
    depth = 2 if path[0] == "pnpm" else 1
    keys = [str(key) for key in path[depth:]]
    if text is None or not keys:
        return "", "", ""
    if keys[-1] == "." and len(keys) > 1:
        keys.pop()
    return ".".join(map(str, path[:depth])), last_name(keys[-1]), "" if text.startswith("$") else text


def last_name(key: str) -> str:
    """The package at the end of a key like ``a/**/@s/b@npm:1`` (yarn), ``a>b`` (pnpm) or ``b@1`` (npm)."""
    key = key.rpartition(">")[2].strip()
    found = re.search(r"(?:\A|/)((?:@[^/@]+/)?[^/@]+)(?:@[^@]*)?\Z", key)
    return found[1] if found is not None else ""
