"""Every package of a lock file with its exact version.

Locks are large and machine-written, so each is read by patterns of the lines its tool writes. A file that has anything
those patterns could overlook is read whole by a parser instead: slower, and with line numbers only where they are easy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from supervisor.inspection.decoding import whole
from supervisor.inspection.npm_manifests import spec
from supervisor.inspection.requirement_lines import canonical
from supervisor.inspection.toml_entries import toml_data
from supervisor.vocabulary.addresses import named_by
from supervisor.vocabulary.content import Findings, Requirement

_TOML_BLOCK = re.compile(
    r'^\[\[packages?\]\]\r?\nname = "([^"\\\r\n]+)"\r?\n(?:version = "([^"\\\r\n]*)"\r?\n)?', re.MULTILINE
)
_TOML_HEADER = re.compile(r"^\[\[packages?\]\]\r?$", re.MULTILINE)
# Headers and keys by which a package could be written otherwise than in such a block.
_TOML_OTHER = re.compile(
    r"""^[ \t]*(?:\[+[ \t]*["']|\[[ \t]+\[?|\[\[[ \t]|\[\[packages?(?!\]\]\r?$|\.)|\[packages?[ \t]*\]"""
    r"""|["'][^"'\n]*["'][ \t]*[=.]|packages?[ \t]*[=.])""",
    re.MULTILINE,
)
_TOML_ORIGIN = re.compile(r'^source = \{[^\n]*?\b(git|url|path|directory|editable) = "([^"\\]+)"', re.MULTILINE)
_FILE_ORIGIN = re.compile(
    r'^\[package\.source\]\r?\ntype = "(git|url|file|directory)"\r?\nurl = "([^"\\]+)"', re.MULTILINE
)


class _Counter:
    """Line numbers of offsets that only grow."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def at(self, offset: int) -> int:
        self._line += self._text.count("\n", self._at, offset)
        self._at = offset
        return self._line


def _pypi(name: str, version: str, line: int, place: str, origin: str = "") -> Requirement:
    return Requirement("pypi", whole(canonical(name)), whole(version), line, place, locked=True, origin=whole(origin))


def _npm(name: str, version: str, line: int, place: str, origin: str = "") -> Requirement:
    return Requirement("npm", whole(name), whole(version), line, place, locked=True, origin=whole(origin))


# ------------------------------------------------------------------------------------------------------- TOML locks


def toml_lock(text: str) -> Findings:
    """``uv.lock``, ``poetry.lock``, ``pdm.lock``, ``pylock.toml``."""
    found: list[Requirement] = []
    lines = _Counter(text)
    matches = list(_TOML_BLOCK.finditer(text))
    plain = len(matches) == len(_TOML_HEADER.findall(text)) and _TOML_OTHER.search(text) is None
    ends = [match.start() for match in matches[1:]] + [len(text)]
    for match, end in zip(matches, ends, strict=False):
        origin = _TOML_ORIGIN.search(text, match.end(), end) or _FILE_ORIGIN.search(text, match.end(), end)
        line = lines.at(match.start(1))
        found.append(_pypi(match[1], match[2] or "", line, "package", origin[2] if origin is not None else ""))
    if plain and (matches or not text.strip() or "package" not in text):
        return Findings(requirements=tuple(found), pending=_cut_off(text))
    return _toml_whole(text, found)


def _cut_off(text: str) -> str:
    """A last block that only began says that the file is being written."""
    last = _TOML_HEADER.search(text, max(0, text.rfind("\n[[package") + 1))
    return "the last block has no name" if last is not None and not text[last.end() :].strip() else ""


def _toml_whole(text: str, found: list[Requirement]) -> Findings:
    try:
        data = toml_data(text)
    except ValueError as error:
        return Findings(requirements=tuple(found), pending=whole(str(error)))
    known = {(each.name, each.versions): each for each in found}
    listed: list[Requirement] = []
    for key in ("package", "packages"):
        packages = data.get(key)
        for package in packages if isinstance(packages, list) else [packages]:
            if not isinstance(package, dict) or not isinstance(package.get("name"), str):
                continue
            version = package.get("version")
            made = _pypi(package["name"], version if isinstance(version, str) else "", 0, "package")
            listed.append(known.get((made.name, made.versions), made))
    return Findings(requirements=tuple(listed), pending=_cut_off(text))


# ------------------------------------------------------------------------------------------------------- JSON locks


class _Pairs(list[tuple[str, object]]):
    """An object with all its members: of two equal keys both count."""


_KEYED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*:[ \t]*[{\[]')
_NESTED_PACKAGE = re.compile(r"(?:\A|/)node_modules/((?:@[^/]+/)?[^/]+)\Z")
_ENTRY = re.compile(
    r'"(?:[^"\\\n]*/)?node_modules/((?:@[^"/\\]+/)?[^"/\\]+)"\s*:\s*\{(?:\s*"version"\s*:\s*"([^"\\]*)")?'
    r'|"((?:@[^"/\\]+/)?[^"/\\]+)"\s*:\s*\{\s*"version"\s*:\s*"([^"\\]*)"'
)


def _loads(text: str) -> object:
    return json.loads(text, object_pairs_hook=_Pairs)


def _key_lines(text: str) -> dict[str, int]:
    """Key of an object or list -> the line of its first place."""
    found: dict[str, int] = {}
    lines = _Counter(text)
    for match in _KEYED.finditer(text):
        found.setdefault(match[1], lines.at(match.start()))
    return found


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, _Pairs):
        yield from value


def _string(value: object, key: str) -> str:
    """The last string that ``key`` has in an object, else empty."""
    found = [inner for name, inner in _members(value) if name == key and isinstance(inner, str)]
    return found[-1] if found else ""


def _json(text: str, listed: Callable[[object, Mapping[str, int]], Iterator[Requirement]]) -> Findings:
    try:
        data = _loads(text.removeprefix("\ufeff"))
        return Findings(requirements=tuple(listed(data, _key_lines(text))))
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        problem = whole(f"not JSON: {error}", 160)
    lines = _Counter(text)
    found = [
        _npm(match[1] or match[3], match[2] or match[4] or "", lines.at(match.start()), "packages")
        for match in _ENTRY.finditer(text)
    ]
    return Findings(requirements=tuple(found), pending=problem)


def package_lock(text: str) -> Findings:
    """All of npm's versions: ``packages`` by path (2, 3) and nested ``dependencies`` (1, 2)."""
    return _json(text, _package_lock)


def _package_lock(data: object, lines: Mapping[str, int]) -> Iterator[Requirement]:
    for section, value in _members(data):
        if section == "packages":
            for path, package in _members(value):
                own = _NESTED_PACKAGE.search(path)
                name = _string(package, "name") or (own[1] if own is not None else "")
                if name and path:
                    resolved = _string(package, "resolved")
                    line = lines.get(path, 0)
                    version = _string(package, "version")
                    yield _npm(name, version, line, section, _elsewhere(resolved))
                    yield from _published(name, version, resolved, line)
        elif section == "dependencies":
            yield from _nested(value, lines)


def _nested(value: object, lines: Mapping[str, int]) -> Iterator[Requirement]:
    open_values = [value]
    while open_values:
        for name, package in _members(open_values.pop()):
            found = spec(name, _string(package, "version"))
            yield _npm(found.name, found.versions, lines.get(name, 0), "dependencies", found.origin)
            open_values += [inner for key, inner in _members(package) if key == "dependencies"]


def _elsewhere(resolved: str) -> str:
    """``resolved`` when it is no tarball of an index: those are ``https`` and end in ``.tgz``."""
    return "" if not resolved or re.fullmatch(r"https?://[^\s]+/-/[^\s]+\.tgz", resolved) else resolved


def _published(name: str, version: str, url: str, line: int) -> Iterator[Requirement]:
    """The package whose tarball it is, where that is another one."""
    if "/-/" in url and f"/{name}/-/" not in url:
        told = named_by(url)[0]
        if told and told != name.lower():
            yield _npm(told, version, line, "packages")


def pipfile_lock(text: str) -> Findings:
    found = _json(text, _pipfile_lock)
    return found._replace(requirements=tuple(_as_pypi(found.requirements))) if found.pending else found


def _as_pypi(found: Iterable[Requirement]) -> Iterator[Requirement]:
    for each in found:
        yield _pypi(each.name, each.versions.removeprefix("=="), each.line, each.place)


def _pipfile_lock(data: object, lines: Mapping[str, int]) -> Iterator[Requirement]:
    for section, value in _members(data):
        if section == "_meta":
            continue
        for name, package in _members(value):
            origin = next(
                (_string(package, key) for key in ("git", "path", "file", "url") if _string(package, key)), ""
            )
            version = _string(package, "version").strip().removeprefix("==").strip()
            yield _pypi(name, version, lines.get(name, 0), whole(section), origin)


_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


def bun_lock(text: str) -> Findings:
    """``packages``: path -> [``name@version``, …]. JSON with trailing commas."""
    found = _json(_TRAILING_COMMA.sub(r"\1", text), _bun_lock)
    if not found.pending:
        return found
    from supervisor.inspection.json_entries import json_entries

    tolerant = [
        each
        for entry in json_entries(text)
        if entry.path[:1] == ("packages",) and entry.path[2:] == (0,) and entry.text is not None
        for each in _descriptor(entry.text, entry.line, "packages")
    ]
    return Findings(requirements=tuple(tolerant), pending=found.pending)


def _bun_lock(data: object, lines: Mapping[str, int]) -> Iterator[Requirement]:
    for section, value in _members(data):
        if section == "packages":
            for key, package in _members(value):
                first = package[0] if isinstance(package, list) and not isinstance(package, _Pairs) and package else ""
                if isinstance(first, str):
                    yield from _descriptor(first, lines.get(key, 0), section)


_DESCRIPTOR = re.compile(r"((?:@[^/@\s]+/)?[^/@\s]+)@(.*)", re.DOTALL)


def _descriptor(text: str, line: int, place: str) -> Iterator[Requirement]:
    """``name@version``, ``name@npm:version`` or ``name@address``."""
    found = _DESCRIPTOR.fullmatch(text)
    if found is None:
        return
    if re.match(r"npm:\d", found[2]) or ":" not in found[2]:
        yield _npm(found[1], found[2].removeprefix("npm:"), line, place)
        return
    real = spec(found[1], found[2])
    yield _npm(real.name, real.versions, line, place, real.origin)


# ---------------------------------------------------------------------------------------------- yarn, pnpm (lines)

_YARN_BLOCK = re.compile(
    r"^(?![ \t#\r\n])([^\n]+?):[ \t]*\r?\n((?:[ \t][^\n]*(?:\n|\Z)|\r?\n(?=[ \t]))*)", re.MULTILINE
)
_YARN_VERSION = re.compile(r"^[ \t]+\"?version\"?:?[ \t]+\"?([^\"\s]+)\"?", re.MULTILINE)
_YARN_RESOLUTION = re.compile(r"^[ \t]+\"?resolution\"?:[ \t]*[\"']?([^\"'\n]+)", re.MULTILINE)
_YARN_RESOLVED = re.compile(r"^[ \t]+\"?resolved\"?[ \t]+\"?([^\"\s]+)", re.MULTILINE)


def yarn_lock(text: str) -> Findings:
    """Classic (``name@range:`` with ``version "1"``) and later (``resolution: "name@npm:1"``) forms."""
    found: list[Requirement] = []
    lines = _Counter(text)
    pending = ""
    for match in _YARN_BLOCK.finditer(text):
        line = lines.at(match.start())
        if match[1].strip("\"'") in ("__metadata", "# yarn lockfile v1"):
            continue
        version = _YARN_VERSION.search(match[2])
        resolution = _YARN_RESOLUTION.search(match[2])
        told = version[1] if version is not None else ""
        names = {real.name: real.origin for each in match[1].split(",") for real in _ranges(each.strip().strip("\"'"))}
        if resolution is not None:
            resolved = _DESCRIPTOR.fullmatch(resolution[1].strip())
            if resolved is not None:
                names.setdefault(resolved[1], "" if resolved[2].startswith("npm:") else resolved[2])
        url = _YARN_RESOLVED.search(match[2])
        address = url[1].partition("#")[0] if url is not None else ""
        elsewhere = _elsewhere(address)
        found += [_npm(name, told, line, "packages", origin or elsewhere) for name, origin in names.items() if name]
        found += _published(next(iter(names), ""), told, address, line)
        pending = pending or ("" if version is not None else f"the block of line {line} has no version")
    return Findings(requirements=tuple(found), pending=pending)


def _ranges(descriptor: str) -> Iterator[Requirement]:
    found = _DESCRIPTOR.fullmatch(descriptor)
    if found is None:
        return
    # ``npm:^4`` is berry's spelling of a range, ``npm:other@^4`` an alias.
    if found[2].startswith("npm:") and "@" not in found[2][5:]:
        yield Requirement("npm", found[1])
        return
    real = spec(found[1], found[2])
    yield Requirement("npm", real.name, origin=real.origin)


_PNPM_SECTION = re.compile(r"^(packages|snapshots):[ \t]*\r?\n", re.MULTILINE)
_PNPM_KEY = re.compile(
    r"^  (?:'([^'\n]+)'|\"([^\"\\\n]+)\"|([^\s'\"#&*!|>{\[\]}?][^\n]*?)):[ \t]*(\{\})?[ \t]*\r?$", re.MULTILINE
)
_PNPM_OTHER = re.compile(
    r"^(?:[\"'&*!?{]|  <<| (?! )|(?:packages|snapshots)(?:[ \t]+:|:[ \t]*(?!\{\})\S))", re.MULTILINE
)
_PNPM_FIRST = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?:  (?=\S)|(?=\S)|\Z)")
_PNPM_VERSION = re.compile(r"^lockfileVersion:", re.MULTILINE)
_PNPM_TOP = re.compile(r"^\S", re.MULTILINE)
_PNPM_INDENT2 = re.compile(r"^  (?=[^\s#])", re.MULTILINE)
_PNPM_FIELD = re.compile(r"^    (name|version): ['\"]?([^'\"\s]+)", re.MULTILINE)


def pnpm_lock(text: str) -> Findings:
    """``packages`` and ``snapshots``, keys ``/name/1.0.0`` (version 5), ``/name@1.0.0`` (6), ``name@1.0.0`` (9)."""
    found: list[Requirement] = []
    lines = _Counter(text)
    sections = list(_PNPM_SECTION.finditer(text))
    odd = _PNPM_VERSION.search(text) is None or _PNPM_OTHER.search(text) is not None
    for section in sections:
        following = _PNPM_TOP.search(text, section.end())
        end = following.start() if following is not None else len(text)
        keys = list(_PNPM_KEY.finditer(text, section.end(), end))
        odd = odd or len(keys) != len(_PNPM_INDENT2.findall(text, section.end(), end))
        odd = odd or _PNPM_FIRST.match(text, section.end()) is None
        ends = [key.start() for key in keys[1:]] + [end]
        for key, stop in zip(keys, ends, strict=False):
            fields = {each[1]: each[2] for each in _PNPM_FIELD.finditer(text, key.end(), stop)}
            found += _pnpm_key(key[1] or key[2] or key[3], fields, lines.at(key.start()), section[1])
    if not odd or not text.strip():
        return Findings(requirements=tuple(found), pending="" if text.endswith("\n") or not text else "it is cut off")
    return _pnpm_whole(text, found)


def _pnpm_key(key: str, fields: Mapping[str, str], line: int, place: str) -> Iterator[Requirement]:
    key = re.split(r"[(]", key, maxsplit=1)[0]
    found = re.fullmatch(r"/?((?:@[^/@\s]+/)?[^/@\s]+)[@/](\d[^/\s_]*)(?:_.*)?", key)
    if found is not None:
        yield _npm(fields.get("name", found[1]), found[2], line, place)
        return
    named = re.fullmatch(r"/?((?:@[^/@\s]+/)?[^/@\s]+)@(.+)", key)
    name = fields.get("name") or (named[1] if named is not None else "")
    if name:
        yield _npm(name, fields.get("version", ""), line, place, named[2] if named is not None else key)


def _pnpm_whole(text: str, found: list[Requirement]) -> Findings:
    """By YAML's events: the keys of the two sections, with the scalars below them."""
    from supervisor.inspection.yaml_events import told

    fields: dict[tuple[str, str], dict[str, str]] = {}
    lines: dict[tuple[str, str], int] = {}
    problem = ""
    try:
        for each in told(text):
            if len(each.path) < 2 or each.path[0] not in ("packages", "snapshots"):
                continue
            key = (str(each.path[0]), str(each.path[1]))
            lines.setdefault(key, each.line + 1)
            if len(each.path) == 3 and each.value is not None:
                fields.setdefault(key, {})[str(each.path[2])] = each.value
    except ValueError as error:
        problem = str(error)
    known = {(each.name, each.versions) for each in found}
    listed = [each for key, line in lines.items() for each in _pnpm_key(key[1], fields.get(key, {}), line, key[0])]
    more = [each for each in listed if (each.name, each.versions) not in known]
    return Findings(requirements=(*found, *more), pending=problem)


READERS: Final[Mapping[str, Callable[[str], Findings]]] = {
    "package-lock": package_lock,
    "yarn.lock": yarn_lock,
    "pnpm-lock": pnpm_lock,
    "bun.lock": bun_lock,
    "Pipfile.lock": pipfile_lock,
    "uv.lock": toml_lock,
    "poetry.lock": toml_lock,
    "pdm.lock": toml_lock,
    "pylock": toml_lock,
}
