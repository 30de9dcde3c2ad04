"""One word of an install command of Cargo, Go, RubyGems or Maven -> the packages it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from supervisor.vocabulary.addresses import BY_ADDRESS
from supervisor.vocabulary.content import Installation, Requirement

_CRATE = re.compile(r"([\w-]+)(?:@(.*)|:(\d.*))?", re.ASCII | re.DOTALL)
_GEM = re.compile(r"([\w.-]+?)(?::(.+))?", re.ASCII | re.DOTALL)
_GEM_FILE = re.compile(r"(?:.*/)?([\w.-]+?)-(\d[0-9A-Za-z.]*)(?:-[a-z][\w.-]*)?\.gem", re.ASCII | re.DOTALL)
_DEFINED = re.compile(r"-D([\w.-]+)=(.*)", re.DOTALL)
_GOAL = re.compile(r"([\w.-]+):([\w.-]+):(?:([\w.-]+):)?[\w-]+(?:@[\w.-]+)?", re.ASCII)
_FETCHES = re.compile(
    r"(?:.*:)?(?:dependency|maven-dependency-plugin)(?::[\w.-]+)?:(?:get|copy|unpack)(?:@.*)?", re.ASCII
)
_CERTAIN = 3  # parts of a Go path up to which it is a module's: host, owner, repository
_MOST_PARTS = 12


def packages(ecosystem: str, words: Iterable[str], options: Iterable[tuple[str, str | None]]) -> list[Requirement]:
    """What the words name, with the version that an option gives for all of them."""
    given = {name: value for name, value in options if value}
    found = [made for word in words for made in _named(ecosystem, word.strip())]
    version = given.get("--version") or given.get("--vers") or given.get("-v") or ""
    if ecosystem == "cargo":
        return [_crate_asked(each, version) for each in found]
    return [each._replace(versions=version) if version and not each.versions else each for each in found]


def _named(ecosystem: str, word: str) -> Iterator[Requirement]:
    if ecosystem == "cargo":
        found = _CRATE.fullmatch(word)
        if found is not None:
            yield Requirement("cargo", found[1].replace("_", "-").lower(), found[2] or found[3] or "", place="argv")
        elif "/" in word or word.startswith("."):
            yield Requirement("cargo", "", place="argv", origin=word)
    elif ecosystem == "go":
        yield from _module(word)
    elif ecosystem == "rubygems":
        file = _GEM_FILE.fullmatch(word)
        if file is not None:
            yield Requirement("rubygems", file[1].lower(), file[2], place="argv", origin=word)
        elif (gem := _GEM.fullmatch(word)) is not None:
            yield Requirement("rubygems", gem[1].lower(), gem[2] or "", place="argv")


def _crate_asked(found: Requirement, version: str) -> Requirement:
    """``^`` is what Cargo adds to a bare version."""
    written = version or found.versions
    if written[:1].isdigit() and "*" not in written:
        written = "^" + written
    return found._replace(versions=written)


def _module(word: str) -> Iterator[Requirement]:
    """``path@version``, or ``old[@v]=new[@v]`` of a replacement. The path may be that of a package in a module."""
    old, equals, new = word.partition("=")
    if equals and re.match(r"[\w.~/-]+(?:@v[\w.+-]+)?\Z", old, re.ASCII) and not old.endswith(("@<", "@>")):
        word = new
    path, _, version = word.partition("@")
    path = path.strip("/").lower()
    if "." not in path.partition("/")[0] or path.startswith(".") or word.startswith("/") or version == "none":
        return
    asked = "" if version in ("latest", "upgrade", "patch") else version
    parts = path.split("/")
    certain = len(parts) <= _CERTAIN
    yield Requirement("go", path, asked, place="argv" if certain else "argv" + BY_ADDRESS)
    for end in range(min(len(parts) - 1, _MOST_PARTS), 1, -1):
        yield Requirement("go", "/".join(parts[:end]), asked, place="argv" + BY_ADDRESS)


def maven(arguments: list[str]) -> Installation | None:
    """What Maven would fetch besides what its documents name: the plugin of a goal that is written out, and the
    artifact that ``dependency:get`` is given."""
    defined: dict[str, str] = {}
    goals: list[str] = []
    joined = [each for at, each in enumerate(arguments) if at == 0 or arguments[at - 1] not in ("-D", "--define")]
    split = [f"-D{value}" for at, value in enumerate(arguments) if at and arguments[at - 1] in ("-D", "--define")]
    for word in (*joined, *split):
        found = _DEFINED.fullmatch(word)
        if found is not None:
            defined[found[1]] = found[2]
        elif not word.startswith("-"):
            goals.append(word)
    made = [
        Requirement("maven", f"{goal[1]}:{goal[2]}".lower(), goal[3] or "", place="argv")
        for goal in map(_GOAL.fullmatch, goals)
        if goal is not None and "." in goal[1]
    ]
    if any(_FETCHES.fullmatch(goal) for goal in goals):
        made += _artifacts(defined)
    return Installation("mvn", "maven", tuple(made)) if made else None


def _artifacts(defined: Mapping[str, str]) -> Iterator[Requirement]:
    origin = defined.get("remoteRepositories", "").rpartition("::")[2]
    parts = defined.get("artifact", "").split(":")
    if len(parts) > 1:
        name, version = f"{parts[0]}:{parts[1]}", parts[2] if len(parts) > 2 else ""
    elif defined.get("artifactId"):
        name, version = f"{defined.get('groupId', '')}:{defined['artifactId']}", defined.get("version", "")
    else:
        return
    yield Requirement("maven", name.lower(), "" if version == "LATEST" else version, place="argv", origin=origin)
