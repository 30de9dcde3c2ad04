"""Requirements in the files that Python's tools read: requirements, pyproject, Pipfile, conda environments.

Each function takes the text and gives a ``Document``; none raises for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supervisor.inspection import ini_manifests
from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located, Path
from supervisor.inspection.requirement_lines import canonical, parse, pypi
from supervisor.inspection.toml_entries import toml_document
from supervisor.inspection.yaml_events import told
from supervisor.vocabulary.content import Requirement

_COMMENT = re.compile(r"(?:\A|(?<=\s))#.*", re.DOTALL)
_COMMENT_LINE = re.compile(r"\s*#")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=|(?<=-e))(.*)", re.DOTALL)
_UV_LISTS = frozenset(
    {"dev-dependencies", "constraint-dependencies", "override-dependencies", "build-constraint-dependencies"}
)
_HATCH_LISTS = frozenset({"dependencies", "extra-dependencies"})
_FLIT_LISTS = frozenset({"requires", "dev-requires"})
_PIXI_TABLES = frozenset({"dependencies", "host-dependencies", "build-dependencies", "run-dependencies",
                          "pypi-dependencies", "constraints"})  # fmt: skip
# What a command line of pip, uv pip … installs, as far as it is told by words alone.
_PIP_COMMAND = re.compile(r"\bpip[\d.]*[ \t]+(?:install|download|wheel)\b([^;&|\n]*)")
_ORIGINS = ("git", "url", "path", "file")
_PIPFILE_OTHERS = frozenset({"source", "requires", "scripts", "pipenv", "pipfile"})
_CONDA = re.compile(
    r"(?:[^\s:]+::)?([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*([^#\[]*)", re.ASCII
)
_ITEM = re.compile(r"[ \t]*-[ \t]+\Z")
_YAML_LINE = re.compile(r"^[ \t]*-[ \t]+[\"']?([^\s#\"'][^#\"'\n]*)", re.MULTILINE)


# ------------------------------------------------------------------------------------------------- requirements


def requirements(text: str) -> Document:
    """The lines of a requirements or constraints file, joined where they end in ``\\`` (pip's ``join_lines``)."""
    located: list[Located] = []
    entries: list[Entry] = []
    for joined, start, end, line in _logical(text):
        written = _COMMENT.sub("", joined).strip()
        if written.startswith("-"):
            editable = _EDITABLE.fullmatch(written)
            if editable is None:
                continue
            written = editable[1]
        entry = Entry((line,), None, start, end, line, "line", -1)
        entries.append(entry)
        located += [Located(each, (entry,)) for each in pypi(written, line, "requirements")]
    return Document(located, entries)


def _logical(text: str) -> Iterator[tuple[str, int, int, int]]:
    """(joined text, start, end, number of the first line) of the lines that pip sees."""
    parts: list[str] = []
    start, at, line, first = 0, 0, 1, 1
    for physical in text.removeprefix("\ufeff").splitlines(keepends=True):
        bare = physical.splitlines()[0] if physical else ""
        if not parts:
            start, first = at, line
        end = at + len(bare)
        at += len(physical)
        line += physical.count("\n")
        comment = _COMMENT_LINE.match(bare) is not None
        if bare.endswith("\\") and not comment:
            parts.append(bare.strip("\\"))
            continue
        parts.append(" " + bare if comment else bare)
        yield "".join(parts), start, end, first
        parts = []
    if parts:
        yield "".join(parts), start, at, first


# ---------------------------------------------------------------------------------------------- pyproject, Pipfile


def _list_place(path: Path) -> str | None:
    """Where a string of a list stands, when the list is one of requirements."""
    if not path or not isinstance(path[-1], int):
        return None
    keys = path[:-1]
    place = ".".join(map(str, keys))
    if place in ("project.dependencies", "build-system.requires", "tool.rye.dev-dependencies"):
        return place
    match keys:
        case ("project", "optional-dependencies", _) | ("dependency-groups", _):
            return place
        case ("tool", "pdm", "dev-dependencies", _) | ("tool", "flit", "metadata", "requires-extra", _):
            return place
        case ("tool", "flit", "metadata", str(name)) if name in _FLIT_LISTS:
            return place
        case ("tool", "uv", *_) if _is_uv_list(keys[2:]):
            return place
        case ("tool", "hatch", *_, str(name)) if name in _HATCH_LISTS:
            return place
        case ("tool", "tox", *_, "deps" | "requires") | ("tool", "cibuildwheel", *_, "test-requires"):
            return place
    return None


def _is_uv_list(keys: Path) -> bool:
    match keys:
        case (str(name),):
            return name in _UV_LISTS
        case ("extra-build-dependencies", _) | ("dependency-metadata", _, "requires-dist"):
            return True
    return False


def _texts(entry: Entry) -> list[tuple[str, str]]:
    """(place, text of a requirement) of what a string says that stands alone."""
    text, path = entry.text, entry.path
    place = _list_place(path)
    if text is None:
        return []
    if place is not None:
        return [(place, text)]
    place = ".".join(map(str, path))
    match path:
        case ("tool", "uv", "extra-build-dependencies", _, int(), "requirement"):
            return [(place, text)]
        case ("tool", "cibuildwheel", *_, "test-requires"):
            return [(place, word) for word in text.split()]
        case ("tool", "cibuildwheel", *rest) if any(str(each).startswith("before-") for each in rest):
            return [(place, word) for word in _installed(text)]
        case ("tool", "tox", "legacy_tox_ini"):
            return [(place, each.requirement.name) for each in ini_manifests.setup_cfg(text).located]
    return []


def _installed(command: str) -> Iterator[str]:
    for found in _PIP_COMMAND.finditer(command):
        for word in found[1].split():
            if not word.startswith("-"):
                yield word.strip("\"'")


def _required_table(path: Path) -> int:
    """How many leading keys of ``path`` name a table of requirements; 0 for none."""
    match path:
        case ("tool", "poetry", "dependencies" | "dev-dependencies" | "requires-plugins", *_):
            return 3
        case ("tool", "poetry", "group", _, "dependencies", *_):
            return 5
        case ("tool", "pdm", "resolution", "overrides", *_):
            return 4
        case ("tool", "pixi", *rest):
            return next((at for at, key in enumerate(rest, 3) if key in _PIXI_TABLES), 0)
    return 0


def _pipfile_table(path: Path) -> int:
    return 1 if path and path[0] not in _PIPFILE_OTHERS else 0


class _Member(NamedTuple):
    """One key of a table of requirements: all entries at and below it."""

    path: Path
    entries: list[Entry]

    def owners(self) -> tuple[Entry, ...]:
        own = [each for each in self.entries if len(each.path) == len(self.path) and each.shape != "missed"]
        return tuple(own or [each for each in self.entries if each.shape in ("line", "table")])

    def requirements(self) -> Iterator[Requirement]:
        name = str(self.path[-1])
        below = len(self.path)
        versions: list[str] = []
        origin = ""
        for each in self.entries:
            last = each.path[-1]
            if each.text is None:
                continue
            if all(isinstance(part, int) for part in each.path[below:]) or last == "version":
                versions.append(each.text)
            elif last in _ORIGINS:
                origin = each.text
        line = min((each.line for each in self.entries if each.line), default=0)
        named = parse(name)
        if named is None or named.origin or named.versions:
            return
        for version in dict.fromkeys(versions or [""]):
            written = "" if version.strip() == "*" else version
            place = ".".join(map(str, self.path[:-1]))
            yield Requirement("pypi", whole(named.name), whole(written), line, whole(place), origin=whole(origin))


def _members(entries: Sequence[Entry], tables: dict[Path, int]) -> list[_Member]:
    found: dict[Path, _Member] = {}
    for entry in entries:
        depth = tables[entry.path]
        if depth and len(entry.path) > depth:
            path = entry.path[: depth + 1]
            found.setdefault(path, _Member(path, [])).entries.append(entry)
    return list(found.values())


def pyproject(text: str) -> Document:
    entries, problem = toml_document(text)
    located: list[Located] = []
    sources = _uv_sources(entries)
    for entry in entries:
        said = [each for place, text in _texts(entry) for each in pypi(text, entry.line, whole(place))]
        owner = () if entry.shape == "missed" or len(said) > 1 else (entry,)
        located += [Located(each, owner) for each in said]
    for member in _members(entries, {each.path: _required_table(each.path) for each in entries}):
        if member.path[-1] != "python":
            located += [Located(each, member.owners()) for each in member.requirements()]
    located = [
        each._replace(requirement=each.requirement._replace(origin=sources[each.requirement.name]))
        if not each.requirement.origin and each.requirement.name in sources
        else each
        for each in located
    ]
    return Document(_in_order(located), entries, problem)


def _uv_sources(entries: Sequence[Entry]) -> dict[str, str]:
    """Canonical name -> the address that uv takes it from."""
    return {
        canonical(str(each.path[3])): whole(each.text)
        for each in entries
        if each.text is not None
        and each.path[:3] == ("tool", "uv", "sources")
        and len(each.path) > 4
        and each.path[-1] in _ORIGINS
    }


def pipfile(text: str) -> Document:
    entries, problem = toml_document(text)
    members = _members(entries, {each.path: _pipfile_table(each.path) for each in entries})
    located = [Located(each, member.owners()) for member in members for each in member.requirements()]
    return Document(_in_order(located), entries, problem)


def _in_order(located: list[Located]) -> list[Located]:
    return sorted(located, key=lambda each: each.requirement.line)


# -------------------------------------------------------------------------------------------------- environment.yml


def environment(text: str) -> Document:
    """``dependencies`` (conda's names, taken for PyPI's) and the ``pip`` list among them."""
    located: list[Located] = []
    entries: list[Entry] = []
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    problem = ""
    try:
        for path, value, first, column, last in told(text):
            if value is None:
                continue
            line = first + 1
            start = starts[first] if first < len(starts) else len(text)  # a value that is left out at the very end
            lead = text[start : start + column] if first < len(starts) else "?"
            end = text.find("\n", starts[min(last, len(starts) - 1)])
            entry = Entry(path, value, start, len(text) if end < 0 else end, line, "line", hash(path[:-1]))
            entries.append(entry)
            owner = (entry,) if _ITEM.fullmatch(lead) else ()
            if len(path) == 2 and path[0] == "dependencies":
                located += [Located(each, owner) for each in _conda(value, line)]
            elif len(path) == 4 and path[0] == "dependencies" and path[2] == "pip":
                located += [Located(each, owner) for each in pypi(value, line, "dependencies.pip")]
    except ValueError as error:
        problem = str(error)
        known = {each.requirement.line for each in located}
        for found in _YAML_LINE.finditer(text):
            line = text.count("\n", 0, found.start(1)) + 1
            if line not in known:
                located += [Located(each) for each in _conda(found[1], line)]
    return Document(_in_order(located), entries, problem)


def _conda(value: str, line: int) -> Iterator[Requirement]:
    found = _CONDA.match(value.strip()[:1000])
    if found is not None and "://" not in value:
        yield Requirement("pypi", whole(canonical(found[1])), whole(found[2].strip()), line, "dependencies")
