"""What the name of a path says of a crate, Go module, gem or Maven artifact that comes to lie there.

The tools' own caches count as well as ``vendor/`` in the tree: what is built is taken from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.invariants.packages import canonical

_DEEPEST = 16
_CRATE = re.compile(r"(.+?)-(\d+\.\d+\.\d+[^/]*)", re.DOTALL)
_MODULE = re.compile(r"(.+)@(v\d+\.\d+\.\d+[^/]*)", re.DOTALL)
_ZIP = re.compile(r"(v\d+\.\d+\.\d+.*)\.zip", re.DOTALL)
_GEM = re.compile(r"(.+?)-(\d[0-9A-Za-z.]*)(?:-[a-z][\w.-]*)?", re.DOTALL)
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}", re.IGNORECASE)
_OWN = "govrun/[0-9a-f]{16}"  # the per-repository caches
_GO_ROOT = re.compile(rf"/(?:pkg/mod|{_OWN}/go-mod|cache/download)/(?:cache/download/)?")
_MAVEN_ROOT = re.compile(rf"/(?:\.m2/repository|{_OWN}/maven)/")
_CODE = (".jar", ".aar", ".war", ".ear", ".zip", ".nar", ".klib", ".hpi")
_MARKS = (b"/registry/", b"/vendor/", b"@v", b"/gems/", b"/specifications/", b"/files-2.1/")
_ENDS = (b"/.cargo-checksum.json", b".gem", b".crate", *(each.encode() for each in _CODE))


class Unpacked(NamedTuple):
    """``name`` (canonical) and ``version``, or a Go ``module`` of which only the beginning of the path is known.
    ``unsure``: it may be another name as well, which says nothing of what is not allowed."""

    ecosystem: str
    name: str = ""
    version: str = ""
    module: str = ""
    unsure: bool = False


def may_be_unpacked(path: bytes) -> bool:
    """The cheap first question."""
    return path.endswith(_ENDS) or any(mark in path for mark in _MARKS)


def unpacked(path: str) -> Iterator[Unpacked]:
    """Every package that the path is, or is a part of."""
    parts = path.split("/")
    for at, part in enumerate(parts[:-1]):
        following = parts[at + 1]
        if part == "vendor" and "." in following.strip("."):
            yield Unpacked("go", module="/".join(parts[at + 1 : at + 1 + _DEEPEST]).lower())
        elif part == "registry":
            yield from _crate(parts[at + 1 : at + 4])
        elif part == "gems":
            yield from _gem(following)
        elif part == "specifications" and following.endswith(".gemspec"):
            yield from _gem(following.removesuffix(".gemspec"))
        elif part == "files-2.1" and len(parts) > at + 4:
            yield Unpacked("maven", f"{following}:{parts[at + 2]}".lower(), parts[at + 3])
    yield from _file(parts)
    if "@v" in path:
        yield from _go(parts)


def _crate(parts: list[str]) -> Iterator[Unpacked]:
    """Below ``registry``: ``src/INDEX/serde-1.0.1`` and ``cache/INDEX/serde-1.0.1.crate``."""
    if len(parts) == 3 and parts[0] in ("src", "cache"):
        found = _CRATE.fullmatch(parts[2].removesuffix(".crate"))
        if found is not None:
            yield Unpacked("cargo", canonical("cargo", found[1]), found[2])


def _gem(folder: str) -> Iterator[Unpacked]:
    found = _GEM.fullmatch(folder)
    if found is not None:
        yield Unpacked("rubygems", canonical("rubygems", found[1]), found[2])


def _file(parts: list[str]) -> Iterator[Unpacked]:
    """By the file's own name."""
    last = parts[-1]
    vendored = last == "Cargo.toml" and len(parts) > 2 and parts[-3] == "vendor"
    if (last == ".cargo-checksum.json" or vendored) and len(parts) > 1:
        found = _CRATE.fullmatch(parts[-2])  # `cargo vendor --versioned-dirs`
        name, version = (found[1], found[2]) if found is not None else (parts[-2], "")
        yield Unpacked("cargo", canonical("cargo", name), version)
    elif last.endswith(".gem"):
        yield from _gem(last.removesuffix(".gem"))
    elif last.endswith(_CODE) and len(parts) > 3:
        yield from _artifact(parts)


def _artifact(parts: list[str]) -> Iterator[Unpacked]:
    """``org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar``. Where the repository begins is known of usual places."""
    artifact, version, last = parts[-3:]
    if not last.startswith(f"{artifact}-{version.removesuffix('SNAPSHOT')}"):
        return
    path = "/".join(parts[:-3]) + "/"
    root = next((found.end() for found in _MAVEN_ROOT.finditer(path)), -1)
    if root >= 0:
        group = path[root:].strip("/").replace("/", ".")
        yield Unpacked("maven", f"{group}:{artifact}".lower(), version)
        return
    for at in range(max(0, len(parts) - 3 - _DEEPEST), len(parts) - 3):
        group = ".".join(parts[at:-3])
        if group and parts[at]:
            yield Unpacked("maven", f"{group}:{artifact}".lower(), version, unsure=True)


def _go(parts: list[str]) -> Iterator[Unpacked]:
    """``pkg/mod/github.com/!sirupsen/logrus@v1.9.0`` and ``cache/download/MODULE/@v/v1.9.0.zip``: ``!`` stands before
    what is a capital."""
    for at, part in enumerate(parts):
        archive = _ZIP.fullmatch(parts[at + 1]) if part == "@v" and at + 1 < len(parts) else None
        found = _MODULE.fullmatch(part) if archive is None else None
        if found is None and archive is None:
            continue
        before = parts[:at] if archive is not None else [*parts[:at], found[1] if found is not None else ""]
        version = archive[1] if archive is not None else found[2] if found is not None else ""
        whole = "/".join(before)
        root = max((each.end() for each in _GO_ROOT.finditer(whole)), default=-1)
        if root >= 0:
            yield Unpacked("go", whole[root:].replace("!", "").lower(), version.replace("!", ""))
            continue
        for start in range(max(0, at - _DEEPEST), at):
            if _HOST.fullmatch(before[start]) is not None:
                name = "/".join(before[start:]).replace("!", "").lower()
                yield Unpacked("go", name, version.replace("!", ""), unsure=True)
