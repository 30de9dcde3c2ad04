"""NODE_OPTIONS as node reads it, and the modules that it has node load before anything else (node(1))."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Final

from supervisor.surfaces.contents import plain_content

_LOADS: Final = frozenset((b"-r", b"--require", b"--import", b"--loader", b"--experimental-loader"))
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
# A module of --import is an address: parts of it are no name of a file, or another one than is written.
_ADDRESS: Final = re.compile(rb"[\t\r\n%?#]|\A[\0- ]|[\0- ]\Z")
_LARGEST = 1 << 20


def words(value: bytes) -> list[bytes]:
    """Split at spaces, but not between double quotes. Backslashes are the caller's matter."""
    parts = value.split(b'"')
    parts[::2] = [part.replace(b" ", b"\0") for part in parts[::2]]
    return [word for word in b"".join(parts).split(b"\0") if word]


def modules(value: bytes) -> Iterator[bytes | None]:
    """What it has node load: a path, or the name of a package with what follows it. None: that cannot be told."""
    given = words(value)
    for word, after in zip(given, [*given[1:], b""], strict=True):
        option, equals, rest = word.partition(b"=")
        named = rest if equals else after
        if option.replace(b"_", b"-") not in _LOADS or not named or named.startswith(b"node:"):
            continue
        named = named[7:] if named.startswith(b"file:///") else named
        yield None if _ADDRESS.search(named) or _SCHEME.match(named) else named


def is_path(module: bytes) -> bool:
    """Or else it is looked for in the folders of packages."""
    return module.startswith((b"/", b"./", b"../")) or module in (b".", b"..")


def package(module: bytes) -> bytes:
    """Its name in such a folder; empty where the module leads out of it."""
    parts = module.split(b"/")
    return b"" if b".." in parts else b"/".join(parts[: 2 if module.startswith(b"@") else 1])


def upwards(folder: bytes) -> list[bytes]:
    """The folder, and those that it lies in."""
    found = [folder]
    while (folder := os.path.dirname(found[-1])) != found[-1]:
        found.append(folder)
    return found


def names_itself(folder: bytes, name: bytes) -> bool:
    """Whether the package that a folder belongs to has that name: node finds it there first."""
    for at in upwards(folder):
        if os.path.lexists(file := os.path.join(at, b"package.json")):
            content = plain_content(file, _LARGEST)
            try:
                told = json.loads(content or b"")
            except (ValueError, RecursionError):
                return True
            return isinstance(told, dict) and told.get("name") == name.decode("utf-8", "replace") and "exports" in told
    return False
