"""Locks of Cargo, Go, Bundler and Gradle, by the lines that their tools write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from supervisor.inspection.cargo_manifests import canonical
from supervisor.inspection.decoding import Lines, whole
from supervisor.inspection.toml_entries import toml_data
from supervisor.vocabulary.content import Findings, Requirement

_INDEX = re.compile(r"(?:registry|sparse)\+")
_CRATE = re.compile(
    r'^\[\[package\]\]\r?\nname = "([\w-]{1,200})"\r?\nversion = "([^"\\\r\n]*)"\r?\n(?:source = "([^"\\\r\n]*)"\r?$)?',
    re.MULTILINE,
)
_CRATE_HEADER = re.compile(r"^\[\[package\]\]\r?$", re.MULTILINE)
# Headers and keys by which a package could be written otherwise than in such a block.
_CRATE_OTHER = re.compile(
    r"""^[ \t]*(?:\[+[ \t]*["']|\[[ \t]+|\[\[[ \t]|\[\[package(?!\]\]\r?$)|\[(?:package|root)\b"""
    r"""|["'][^"'\n]*["'][ \t]*[=.]|(?:package|root)[ \t]*[=.])""",
    re.MULTILINE,
)
_SUM = re.compile(r"^([^\s]+)[ \t]+(v[^\s/]+)(/go\.mod)?[ \t]+h1:[^\s]*[ \t\r]*$", re.MULTILINE)
_VENDORED = re.compile(r"^# ([^\s#]+)(?: (v[^\s]+))?(?: => ([^\s]+)(?: (v[^\s]+))?)?[ \t\r]*$", re.MULTILINE)
_SPEC = re.compile(
    r"^    ([^\s()]+) \(([^()\n]*)\)[ \t\r]*$|^([A-Z][A-Z ]+)\r?$|^  remote: ([^\n]*?)\r?$", re.MULTILINE
)
_ARTIFACT = re.compile(r"^([^\s:=#]+):([^\s:=#]+):([^\s:=#]+)=[^\n]*$", re.MULTILINE)


def _made(ecosystem: str, name: str, version: str, line: int, place: str, origin: str = "") -> Requirement:
    return Requirement(ecosystem, whole(name), whole(version), line, place, locked=True, origin=whole(origin))


def _cut_off(text: str) -> str:
    return "" if text.endswith("\n") or not text else "it is cut off"


def cargo_lock(text: str) -> Findings:
    """Packages without a source are the workspace's own."""
    lines = Lines(text)
    blocks = list(_CRATE.finditer(text))
    found = [
        _made("cargo", canonical(each[1]), each[2], lines.at(each.start(1)), "package", _source(each[3] or ""))
        for each in blocks
    ]
    if len(blocks) == len(_CRATE_HEADER.findall(text)) and _CRATE_OTHER.search(text) is None:
        return Findings(requirements=tuple(found), pending=_cut_off(text))
    try:
        data = toml_data(text)
    except ValueError as error:
        return Findings(requirements=tuple(found), pending=whole(str(error)))
    known = {(each.name, each.versions): each for each in found}
    listed: list[Requirement] = []
    for key in ("package", "root"):
        packages = data.get(key)
        for package in packages if isinstance(packages, list) else [packages]:
            if isinstance(package, dict) and isinstance(package.get("name"), str):
                version, source = package.get("version"), package.get("source")
                told = version if isinstance(version, str) else ""
                origin = _source(source) if isinstance(source, str) else ""
                made = _made("cargo", canonical(package["name"]), told, 0, "package", origin)
                listed.append(known.get((made.name, made.versions), made))
    return Findings(requirements=tuple(listed), pending=_cut_off(text))


def _source(text: str) -> str:
    """Empty for an index; which one is told by the manifest."""
    return "" if _INDEX.match(text) else text.partition("#")[0].removeprefix("git+")


def go_sum(text: str) -> Findings:
    """Modules whose content was fetched. A line for ``/go.mod`` alone says that somebody asks for the module in the
    graph, and nothing of it is built."""
    lines = Lines(text)
    found = [
        _made("go", each[1].lower(), each[2], lines.at(each.start()), "go.sum")
        for each in _SUM.finditer(text)
        if each[3] is None
    ]
    return Findings(requirements=tuple(found), pending=_cut_off(text))


def modules_txt(text: str) -> Findings:
    """``# module v1.0.0 => replacement v1.0.1`` of ``vendor/modules.txt``."""
    lines = Lines(text)
    found: list[Requirement] = []
    for each in _VENDORED.finditer(text):
        line = lines.at(each.start())
        found.append(_made("go", each[1].lower(), each[2] or "", line, "vendor"))
        if each[3] and not each[3].startswith((".", "/")):
            found.append(_made("go", each[3].lower(), each[4] or "", line, "vendor", each[3]))
    return Findings(requirements=tuple(found), pending=_cut_off(text))


def gemfile_lock(text: str) -> Findings:
    """The specs of each section; those of ``GIT`` and ``PATH`` come from elsewhere."""
    lines = Lines(text)
    found: list[Requirement] = []
    section = origin = ""
    for each in _SPEC.finditer(text):
        if each[3]:
            section, origin = each[3], ""
        elif each[4] is not None:
            remote = each[4].strip()
            origin = "" if section == "GEM" else _folder(remote) if section == "PATH" else remote
        elif section in ("GEM", "GIT", "PATH", "PLUGIN SOURCE"):
            version = re.match(r"\d[0-9A-Za-z.]*", each[2])
            told = version[0] if version is not None else ""
            found.append(_made("rubygems", each[1].lower(), told, lines.at(each.start()), section.lower(), origin))
    return Findings(requirements=tuple(found), pending=_cut_off(text))


def _folder(text: str) -> str:
    return text if text.startswith((".", "/")) else f"./{text}"


def gradle_lock(text: str) -> Findings:
    lines = Lines(text)
    found = [
        _made("maven", f"{each[1]}:{each[2]}".lower(), each[3], lines.at(each.start()), "lock")
        for each in _ARTIFACT.finditer(text)
    ]
    return Findings(requirements=tuple(found), pending=_cut_off(text))


READERS: Final[Mapping[str, Callable[[str], Findings]]] = {
    "Cargo.lock": cargo_lock,
    "go.sum": go_sum,
    "modules.txt": modules_txt,
    "Gemfile.lock": gemfile_lock,
    "gradle.lockfile": gradle_lock,
}
