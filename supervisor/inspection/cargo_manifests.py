"""Crates that ``Cargo.toml`` (and ``.cargo/config.toml``, which may patch them) asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located, Path
from supervisor.inspection.toml_entries import toml_document
from supervisor.vocabulary.content import Requirement

_TABLES = frozenset(
    ("dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies")
)
_ORIGINS: Final = ("git", "path", "registry-index", "registry")  # the first that is given counts
_NAME = re.compile(r"[\w-]+", re.ASCII)


def canonical(name: str) -> str:
    """``-`` and ``_`` are the same to the index, and case is too."""
    return name.replace("_", "-").lower()


def cargo(text: str) -> Document:
    entries, problem = toml_document(text)
    members: dict[Path, list[Entry]] = {}
    for entry in entries:
        depth = _depth(entry.path)
        if depth and len(entry.path) > depth:
            members.setdefault(entry.path[: depth + 1], []).append(entry)
    located = [
        Located(requirement, _owners(path, inside))
        for path, inside in members.items()
        for requirement in _required(path, inside)
    ]
    return Document(sorted(located, key=lambda each: each.requirement.line), entries, problem)


def _depth(path: Path) -> int:
    """How many leading keys name a table of crates; 0 for none."""
    match path:
        case (str(table), *_) if table in _TABLES or table == "replace":
            return 1
        case ("target", _, str(table), *_) if table in _TABLES:
            return 3
        case ("workspace", "dependencies", *_) | ("patch", _, *_):
            return 2
    return 0


def _owners(path: Path, entries: list[Entry]) -> tuple[Entry, ...]:
    own = [each for each in entries if len(each.path) == len(path) and each.shape != "missed"]
    return tuple(own or [each for each in entries if each.shape in ("line", "table")])


def _required(path: Path, entries: list[Entry]) -> Iterator[Requirement]:
    """More than one where a key is written twice: all count."""
    key = str(path[-1]).partition(":")[0] if path[0] == "replace" else str(path[-1])
    fields: dict[str, list[str]] = {}
    for each in entries:
        if each.text is not None and len(each.path) <= len(path) + 1:
            fields.setdefault("version" if len(each.path) == len(path) else str(each.path[-1]), []).append(each.text)
    origin = next((_origin(field, fields[field][-1]) for field in _ORIGINS if field in fields), "")
    line = min((each.line for each in entries if each.line), default=0)
    place = ".".join(map(str, path[:-1]))
    for name in dict.fromkeys(fields.get("package", [key])):
        if _NAME.fullmatch(name) is None:
            continue
        for version in dict.fromkeys(fields.get("version", [""])):
            asked = requested(version)
            yield Requirement("cargo", whole(canonical(name)), whole(asked), line, whole(place), origin=whole(origin))


def _origin(field: str, text: str) -> str:
    """Folders are told as relative to the manifest."""
    return f"./{text}" if field == "path" and not text.startswith(("/", ".")) else text


def requested(text: str) -> str:
    """A requirement with the ``^`` that Cargo takes for granted, so that it is told from one exact version."""
    parts = [part.strip() for part in text.split(",")]
    if parts in ([""], ["*"]):
        return ""
    return ", ".join(f"^{part}" if part[:1].isdigit() and "*" not in part else part for part in parts)
