"""One word of an install command -> the package it asks for: pip's requirements and npm's specifiers."""

from __future__ import annotations

import re

from supervisor.vocabulary.addresses import BY_ADDRESS, named_by
from supervisor.vocabulary.content import Requirement

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_WHEEL = rf"({_NAME})-([^-]+)(?:-[^-]+){{3,4}}\.whl"
_SOURCE = rf"({_NAME}?)-(\d[^-]*)\.(?:tar\.(?:gz|bz2|xz|Z)|tgz|zip)"
_ADDRESS = r"(?i)(?:[a-z][a-z0-9+.-]*://|git@|file:|git\+)"
_GIT_HOSTS = r"(?:github|gitlab|bitbucket|gist):"


def pypi(word: str) -> Requirement | None:
    """A requirement, an address or a path; None for what is neither. Names are canonical."""
    word = word.strip()
    if re.match(_ADDRESS, word) or _is_path(word):
        name, version = _from_address(word)
        return Requirement("pypi", _canonical(name), version, place="argv", origin=word)
    found = re.match(rf"({_NAME})\s*(?:\[[^\]]*\])?\s*(.*)", word, re.DOTALL)
    if found is None:
        return None
    rest = found[2].partition(";")[0].strip()
    if rest.startswith("@"):
        rest = rest[1:].strip()
        if "/" in rest or ":" in rest:
            return Requirement("pypi", _canonical(found[1]), place="argv", origin=rest)
    elif rest and rest[0] not in "<>=!~(^":
        return None
    return Requirement("pypi", _canonical(found[1]), _versions(rest), place="argv")


def _versions(text: str) -> str:
    text = text.removeprefix("(").removesuffix(")").strip()
    return "" if text == "latest" else text


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_path(word: str) -> bool:
    """A folder or an archive is looked for where a word has a slash, begins with a dot, or ends like an archive."""
    before = word.partition("@")[0].partition("[")[0]
    return before.startswith(".") or "/" in before or re.fullmatch(_WHEEL, word) is not None or _is_archive(word)


def _is_archive(word: str) -> bool:
    return "@" not in word and word.endswith((".whl", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"))


def _from_address(address: str) -> tuple[str, str]:
    """Name and version that an address tells: its ``egg=``, the archive's name, the repository's name."""
    egg = re.search(rf"[#&]egg=({_NAME})", address)
    if egg is not None:
        return egg[1], ""
    path = re.split(r"[?#]", address, maxsplit=1)[0]
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    last = path.rstrip("/").rpartition("/")[2]
    for shape in (_WHEEL, _SOURCE):
        found = re.fullmatch(shape, last)
        if found is not None:
            return found[1], found[2]
    if re.match(_ADDRESS, address) is None or address.lower().startswith("file:"):
        return "", ""
    within = path.partition("://")[2].partition("/")[2] if "://" in path else path.partition(":")[2]
    # `…/owner/name/archive/main.zip` of a forge
    within = re.split(r"/(?:-/)?archive/|/tarball/|/zipball/", within, maxsplit=1)[0]
    found = re.fullmatch(_NAME, within.partition("@")[0].rstrip("/").removesuffix(".git").rpartition("/")[2])
    return (found[0], "") if found is not None else ("", "")


def npm(word: str) -> Requirement | None:
    """``name@range``, ``@scope/name``, ``alias@npm:name@range``, an address, ``owner/name`` of a forge, or a path."""
    word = word.strip()
    if not word:
        return None
    alias = re.fullmatch(r"(?:@[^/@]+/)?[^/@]*@(npm:.+)", word, re.DOTALL | re.IGNORECASE)
    word = re.sub(r"\Anpm:", "", alias[1] if alias is not None else word, flags=re.IGNORECASE)
    name, version = _split(word)
    if _is_elsewhere(word, name):
        return Requirement("npm", _repository(word), place="argv", origin=word)
    if _is_elsewhere(version, "") or "/" in version:
        return Requirement("npm", name.lower(), place="argv", origin=version)
    return Requirement("npm", name.lower(), "" if version == "latest" else version, place="argv")


def npm_address(word: str) -> Requirement | None:
    """The package that the address in ``name@address`` tells by itself, if that is another one."""
    name, address = _split(word.strip())
    if not address or _is_elsewhere(word, name) or not (_is_elsewhere(address, "") or "/" in address):
        return None
    told, version = named_by(address)
    if not told or told == name.lower() or address.lower().startswith("npm:"):
        return None
    return Requirement("npm", told, version, place="argv" + BY_ADDRESS)


def _split(word: str) -> tuple[str, str]:
    start = 1 if word.startswith("@") else 0
    name, _, version = word[start:].partition("@")
    return word[:start] + name, version


def _is_elsewhere(word: str, name: str) -> bool:
    if re.match(_ADDRESS, word) or re.match(_GIT_HOSTS, word) or word.startswith((".", "/", "~/", "link:", "portal:")):
        return True
    if (name or word).endswith((".tgz", ".tar.gz", ".tar")) and not word.startswith("@"):
        return True
    return bool(name) and not name.startswith("@") and "/" in name


def _repository(address: str) -> str:
    """The package that an address is likely to hold."""
    path = re.split(r"[?#]", address, maxsplit=1)[0].rstrip("/")
    published = re.search(r"/((?:@[^/]+/)?[^/]+)/-/[^/]+$", path)
    if published is not None:
        return published[1].lower()
    last = re.split(r"[/:]", path)[-1].removesuffix(".git")
    archive = re.fullmatch(r"(.+?)-v?\d[^/]*\.(?:tgz|tar\.gz|tar)", last)
    if archive is not None:
        return archive[1].lower()
    if address.startswith((".", "/", "~/", "file:", "link:", "portal:")):
        return ""
    return last.lower()


def creator(word: str) -> str:
    """The package that ``npm init WORD`` fetches."""
    name, version = _split(word)
    tail = "@" + version if version else ""
    if not name.startswith("@"):
        return word if _is_elsewhere(word, name) else f"create-{name}{tail}"
    scope, slash, rest = name.partition("/")
    return f"{scope}/create-{rest}{tail}" if slash else f"{scope}/create{tail}"
