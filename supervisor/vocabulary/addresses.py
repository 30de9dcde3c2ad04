"""What the address of an npm package tells of its name."""

from __future__ import annotations

import re

# Ends the ``place`` of a requirement that is one by its address alone: under its name it may be something else.
BY_ADDRESS = " address"

_PUBLISHED = re.compile(
    r"(?:\A|/)((?:@[^/]+/)?[^/@]+)/-/(?!.*/-/)(?:.*/)?[^/]*?-?(\d[^/]*?)?\.(?:tgz|tar\.gz)\Z", re.DOTALL
)
_ARCHIVE = re.compile(r"(.+?)(?:[-@]v?(\d[^/]*))?\.(?:tgz|tar\.gz|tar)\Z", re.DOTALL)
# `…/owner/name/archive/main.zip` of a forge
_WITHIN_FORGE = re.compile(
    r"/(?:-/)?archive/|/(?:legacy\.)?(?:tarball|zipball|tar\.gz|zip)/|/releases/download/|/tree/"
)
_NAME = re.compile(r"[\w.-]*\w")
_SCOPED = re.compile(r"(?:.*/)?(@[\w.-]+/[\w.-]*\w)/*\Z", re.DOTALL)


def named_by(address: str) -> tuple[str, str]:
    """Name and version, empty where the address does not tell them: of a tarball of an index, an archive, a
    repository, or a folder."""
    path = re.split(r"[?#]", address.strip()[:2000], maxsplit=1)[0]
    path = re.sub(r"%([2-7][0-9a-fA-F])", lambda found: chr(int(found[1], 16)), path)
    published = _PUBLISHED.search(path)
    if published is not None:
        return published[1].lower(), published[2] or ""
    path = _WITHIN_FORGE.split(path.rstrip("/"), maxsplit=1)[0]
    scoped = _SCOPED.match(path)
    if scoped is not None:
        return scoped[1].lower(), ""
    last = re.split(r"[/:\\]", path)[-1]
    if last.endswith(".git"):
        last = last.removesuffix(".git")
    archive = _ARCHIVE.fullmatch(last)
    if archive is not None:
        return archive[1].lower(), archive[2] or ""
    last = last[:1] + last[1:].partition("@")[0]
    return (last.lower(), "") if _NAME.fullmatch(last) is not None else ("", "")
