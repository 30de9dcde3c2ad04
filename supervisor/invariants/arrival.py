"""What the name of a path says of a package that comes to lie there. Names only: nothing is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from supervisor.invariants.packages import canonical
from supervisor.invariants.unpacked import may_be_unpacked, unpacked

_DEEPEST = 4
_MOST_CUTS = 16
# npm moves a package aside under its name and eight characters of a digest.
_ASIDE = r"\.(.+)-[A-Za-z0-9]{6,}"
# `require("x")` takes the file `node_modules/x.js` where there is no folder of the name.
_MODULE_FILE = r"(.+)\.(?:js|json|node|cjs|mjs|jsx|[cm]?ts|tsx)"
_METADATA = r"(.+?)(?:-([^-]+)(?:-.*)?)?\.(?:dist-info|egg-info|egg|egg-link)"
# What yarn (2 and later) keeps packages in and runs them from: `is-odd-npm-3.0.1-93c3c3f41b-89ee2e353c.zip`. The slash
# of a scoped name is a hyphen there.
_ARCHIVE = r"(.+)-npm-(\d.*?)-[0-9a-f]{8,}(?:-[0-9a-f]+)?\.zip"
# ensurepip brings these with every environment.
INSTALLERS = frozenset(("pip", "setuptools", "wheel", "distribute"))


class Arrival(NamedTuple):
    """A package by its canonical name, with its version where the name tells it, or a ``module`` as an import names
    it (Python's dotted, Go's path), which is no package for certain. ``file``: only if what comes is no folder, as
    there are packages called ``chart.js`` too. ``unsure``: one of several names that it may have."""

    ecosystem: str
    name: str = ""
    version: str = ""
    module: str = ""
    file: bool = False
    unsure: bool = False


def may_arrive(path: bytes) -> bool:
    """The cheap first question about every path: could anything be said of it at all?"""
    if path.endswith(b".zip") and b"-npm-" in path:
        return True
    if b"/node_modules/" in path or b"-packages/" in path or b".dist-info" in path:
        return True
    return may_be_unpacked(path)


def arrivals(path: bytes) -> Iterator[Arrival]:
    """Every package that the path is, or is a part of. Caches that an import writes are no arrival."""
    parts = path.decode("utf-8", "surrogateescape").split("/")
    if "__pycache__" in parts:
        return
    for at, part in enumerate(parts[:-1]):
        if part == "node_modules":
            yield from _npm(parts[at + 1 : at + 4])
        elif part in ("site-packages", "dist-packages"):
            yield from _pypi(parts[at + 1 :])
    archive = re.fullmatch(_ARCHIVE, parts[-1])
    if archive is not None:
        names = tuple(_archived(archive[1]))
        # Where it may be several, it is none of them for certain, and says nothing of what is not allowed.
        yield from (Arrival("npm", name, archive[2], file=len(names) > 1) for name in names)
    for part in parts:
        if part.endswith(".dist-info"):
            yield from _metadata(part)
    if may_be_unpacked(path):
        for found in unpacked("/".join(parts)):
            yield Arrival(found.ecosystem, found.name, found.version, found.module, unsure=found.unsure)


def _npm(parts: list[str]) -> Iterator[Arrival]:
    first, second = parts[0], parts[1] if len(parts) > 1 else ""
    if first == ".pnpm":
        # pnpm: `lodash@4.17.20`, `@scope+name@1.0.0_peers`
        found = re.fullmatch(r"(@[^+]+\+)?([^@]+)@([^_(]+).*", second)
        if found is not None:
            name = (found[1] or "").replace("+", "/") + found[2]
            yield Arrival("npm", canonical("npm", name), found[3])
        return
    scope, last = "", len(parts) == 1
    if first.startswith("@"):
        if not second:
            return
        scope, first, last = first + "/", second, len(parts) == 2
    aside = re.fullmatch(_ASIDE, first)
    name = aside[1] if aside is not None else first
    if name and not name.startswith("."):
        yield Arrival("npm", canonical("npm", scope + name))
        module = re.fullmatch(_MODULE_FILE, first) if last else None
        if module is not None:
            yield Arrival("npm", canonical("npm", scope + module[1]), file=True)


def _archived(name: str) -> Iterator[str]:
    """Every name that yarn writes so."""
    if not name.startswith("@"):
        yield canonical("npm", name)
        return
    cuts = [at for at, sign in enumerate(name) if sign == "-"]
    yield from (canonical("npm", f"{name[:at]}/{name[at + 1 :]}") for at in cuts[:_MOST_CUTS])


def _pypi(parts: list[str]) -> Iterator[Arrival]:
    first = parts[0]
    if first.endswith((".egg-info", ".egg", ".egg-link")):
        yield from _metadata(first)
        return
    if first.endswith((".dist-info", ".pth")) or first == "":
        return
    # `six.py`, `_yaml.cpython-311-x86_64-linux-gnu.so`, `x.abi3.so`: the module is what comes before the first dot.
    stems = takewhile(bool, (part.partition(".")[0] for part in parts[:_DEEPEST]))
    module = ".".join(stems)
    if module:
        yield Arrival("pypi", module=module)


def _metadata(part: str) -> Iterator[Arrival]:
    found = re.fullmatch(_METADATA, part)
    if found is not None:
        yield Arrival("pypi", canonical("pypi", found[1]), found[2] or "")
