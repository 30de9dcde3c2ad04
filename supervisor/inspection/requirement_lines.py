"""One requirement as pip and its kin write it: PEP 508, plus addresses and archives without a name of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.inspection.decoding import whole
from supervisor.vocabulary.content import Requirement

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_NAMED = re.compile(rf"\s*({_NAME})\s*(?:\[[^\]]*\]?)?\s*", re.ASCII)
_RUN = re.compile(r"[-_.]+")
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|git@|file:|\.{0,2}/)", re.IGNORECASE)
_EGG = re.compile(rf"[#&]egg=({_NAME})", re.ASCII)
_WHEEL = re.compile(rf"({_NAME})-([^-]+)(?:-[^-]+){{3,4}}\.whl", re.ASCII)
_ARCHIVE = re.compile(r"(.+?)-(\d[^-]*)\.(?:tar\.gz|tar\.bz2|tar\.xz|tgz|zip)", re.DOTALL)
_OPTION = re.compile(r"\s+--?[A-Za-z].*\Z", re.DOTALL)
# Where forges keep archives of a repository, and where Subversion keeps its versions.
_PART = re.compile(
    r"/(?:(?:-/)?(?:archive|tarball|zipball)|(?:legacy\.)?(?:zip|tar\.gz|tar)|trunk|branches|tags)(?:/|\Z)"
)
_MOST = 4000  # characters of one requirement that are looked at; what follows are hashes


class Parsed(NamedTuple):
    name: str
    versions: str
    origin: str


def canonical(name: str) -> str:
    """PEP 503."""
    return _RUN.sub("-", name).lower()


def parse(text: str) -> Parsed | None:
    """None for what names no package. Markers and options after the requirement are left out."""
    text = text.strip()[:_MOST]
    if _ADDRESS.match(text):
        return _address(text)
    if _WHEEL.fullmatch(text):
        return _address(text)
    found = _NAMED.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    if rest.startswith("@"):
        origin = re.split(r"\s", rest[1:].strip(), maxsplit=1)[0]
        return Parsed(canonical(found[1]), "", whole(origin))
    if "/" in found[0] or (rest and rest[0] not in "<>=!~(;,#" and not _OPTION.match(" " + rest)):
        return None
    rest = _OPTION.sub("", " " + re.split(r";|\s#", " " + rest, maxsplit=1)[0])
    return Parsed(canonical(found[1]), whole(rest.strip().removeprefix("(").removesuffix(")").strip()), "")


def _address(text: str) -> Parsed | None:
    """A URL or path: the name is in ``egg=``, in the archive's name, or else the last part of the address."""
    from urllib.parse import unquote

    origin = re.split(r"\s", text, maxsplit=1)[0]
    egg = _EGG.search(unquote(origin))
    if egg is not None:
        return Parsed(canonical(egg[1]), "", whole(origin))
    path = unquote(re.split(r"[?#]", origin, maxsplit=1)[0])
    last = path.rstrip("/").rpartition("/")[2]
    for pattern in (_WHEEL, _ARCHIVE):
        archive = pattern.fullmatch(last)
        if archive is not None:
            named = _NAMED.fullmatch(archive[1])
            return Parsed(canonical(named[1]), whole(archive[2]), whole(origin)) if named is not None else None
    return _repository(origin)


def _repository(origin: str) -> Parsed | None:
    """What an address of a repository, of a version or of an archive of it is likely to hold."""
    from urllib.parse import unquote

    if "://" not in origin and not origin.startswith("git@"):
        return None
    path = unquote(re.split(r"[?#]", origin, maxsplit=1)[0])
    within = path.partition("://")[2].partition("/")[2] if "://" in path else path.partition(":")[2]
    within = _PART.split(within.partition("@")[0], maxsplit=1)[0]
    named = _NAMED.fullmatch(within.rstrip("/").removesuffix(".git").rpartition("/")[2])
    return Parsed(canonical(named[1]), "", whole(origin)) if named is not None else None


def pypi(text: str, line: int, place: str, *, origin: str = "") -> Iterator[Requirement]:
    """What the text of one requirement names: one package, or two where an archive's name and the repository that it
    is of can be one."""
    found = parse(text)
    if found is None:
        return
    yield Requirement("pypi", whole(found.name), found.versions, line, place, origin=found.origin or origin)
    if _PART.search(found.origin) is not None and "egg=" not in found.origin and _ADDRESS.match(text.strip()):
        other = _repository(found.origin)
        if other is not None and other.name != found.name:
            yield Requirement("pypi", whole(other.name), "", line, place, origin=other.origin)
