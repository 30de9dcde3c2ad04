"""Requirements in ``package.json``, and how npm and its kin write what they take a package from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located, Path
from supervisor.inspection.json_entries import json_entries, json_problem
from supervisor.vocabulary.addresses import BY_ADDRESS, named_by
from supervisor.vocabulary.content import Requirement

_SECTIONS = frozenset({"dependencies", "devDependencies", "peerDependencies", "optionalDependencies"})
_BUNDLED = frozenset({"bundledDependencies", "bundleDependencies"})
_NAME = re.compile(r"(?:@[^/@\s]+/)?[^/@\s]+")
_ALIAS = re.compile(r"npm:((?:@[^/@\s]+/)?[^/@\s]+)(?:@(.*))?", re.DOTALL | re.IGNORECASE)
_RANGE = re.compile(r"npm:([\^~<>=*]|v?\d+(?:\.|\Z|[\s-]))", re.IGNORECASE)
_WORKSPACE = re.compile(r"(?:workspace|patch):((?:@[^/@\s]+/)?[^/@\s]+)@(.+)", re.DOTALL | re.IGNORECASE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|git@|\.{0,2}/|~/|[^\s/@]+/[^\s/]+", re.IGNORECASE)
_INDEX = re.compile(r"(?:workspace|catalog|patch):", re.IGNORECASE)
_UNTOLD = re.compile(r"(?:catalog|exec|gist|jsr):|workspace:[\^~*\d]", re.IGNORECASE)


class Spec(NamedTuple):
    """``name`` is that of the package which really comes."""

    name: str
    versions: str
    origin: str


def spec(name: str, written: str) -> Spec:
    """What ``"name": "written"`` brings: a range, an alias (``npm:other@4``), or an address."""
    written = written.strip()
    if _RANGE.match(written):  # yarn and pnpm also write a range so
        return Spec(name, written[4:], "")
    alias = _ALIAS.fullmatch(written)
    if alias is not None:
        return Spec(alias[1], "" if alias[2] in (None, "*", "latest") else alias[2], written)
    if _ELSEWHERE.match(written) is not None and not _INDEX.match(written):
        return Spec(name, "", written)
    return Spec(name, "" if written in ("*", "x", "latest") else written, "")


def _address(written: str) -> Spec | None:
    """The package that an address tells by itself, whatever it is called here."""
    written = written.strip()
    inside = _WORKSPACE.match(written)
    if inside is not None:
        return Spec(inside[1], "", "")
    if _ALIAS.fullmatch(written) or _UNTOLD.match(written) or not (_ELSEWHERE.match(written) or _is_archive(written)):
        return None
    name, version = named_by(written)
    return Spec(name, version, "") if _NAME.fullmatch(name) else None


def _is_archive(written: str) -> bool:
    return written.endswith((".tgz", ".tar.gz", ".tar"))


def package_json(text: str) -> Document:
    entries = json_entries(text)
    located = [Located(requirement, (entry,)) for entry in entries for requirement in _required(entry)]
    return Document(sorted(located, key=lambda each: each.requirement.line), entries, json_problem(text))


def workspace(text: str) -> Document:
    """``pnpm-workspace.yaml`` and ``.yarnrc.yml``: catalogs, overrides and what is added to packages. Nothing can be
    taken out of it singly."""
    from supervisor.inspection.yaml_events import told

    located: list[Located] = []
    problem = ""
    try:
        for each in told(text):
            if each.value is not None:
                entry = Entry(each.path, each.value, 0, 0, each.line + 1, "value", 0)
                located += [Located(requirement) for requirement in _required(entry)]
    except ValueError as error:
        problem = str(error)
    return Document(located, [], problem)


def _required(entry: Entry) -> Iterator[Requirement]:
    place, name, written = _named(entry)
    if not place or _NAME.fullmatch(name) is None:
        return

    def made(found: Spec, place: str) -> Requirement:
        return Requirement(
            "npm", whole(found.name), whole(found.versions), entry.line, whole(place), origin=whole(found.origin)
        )

    real = spec(name, written)
    yield made(real, place)
    other = _address(written)
    if other is not None and other.name.lower() != real.name.lower():
        yield made(other, place + BY_ADDRESS)


def _named(entry: Entry) -> tuple[str, str, str]:
    """(place, name, what is written for it); an empty place for entries that name no package."""
    path, text = entry.path, entry.text
    match path:
        case (str(section), str(name)) if section in _SECTIONS or section == "catalog":
            return section, name, text or ""
        case (str(section), int()) if section in _BUNDLED:
            return section, text or "", ""
        case ("imports", str(), *_) if text is not None and re.match(r"[./#]|[\w+-]+:", text) is None:
            return "imports" + BY_ADDRESS, "/".join(text.split("/")[: 2 if text.startswith("@") else 1]), ""
        case (
            ("workspaces", "catalog", str(name))
            | ("catalogs", str(), str(name))
            | ("workspaces", "catalogs", str(), str(name))
        ):
            return "catalog", name, text or ""
        case (*_, "packageExtensions", str(), str(section), str(name)) if section in _SECTIONS:
            return "packageExtensions", name, text or ""
        case ("overrides", *_) | ("resolutions", *_) | ("pnpm", "overrides", *_):
            return _overridden(path, text)
    return "", "", ""


def _overridden(path: Path, text: str | None) -> tuple[str, str, str]:
    depth = 2 if path[0] == "pnpm" else 1
    keys = [str(key) for key in path[depth:]]
    if text in (None, "-") or not keys:  # pnpm: ``-`` takes it out
        return "", "", ""
    if keys[-1] == "." and len(keys) > 1:
        keys.pop()
    return ".".join(map(str, path[:depth])), last_name(keys[-1]), "" if (text or "").startswith("$") else text or ""


def last_name(key: str) -> str:
    """The package at the end of a key like ``a/**/@s/b@npm:1`` (yarn), ``a>b`` (pnpm) or ``b@1`` (npm)."""
    key = key.rpartition(">")[2].strip()
    found = re.search(r"(?:\A|/)((?:@[^/@]+/)?[^/@]+)(?:@[^@]*)?\Z", key)
    return found[1] if found is not None else ""
