"""What a command line does not say and its surroundings do: variables, the working directory, small files."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping
from typing import NamedTuple

Environ = Callable[[], Mapping[bytes, bytes]]
Read = Callable[[bytes], "bytes | None"]
_LONGEST = 1 << 18
_MOST_FILES = 64


class Untold(Exception):
    """A file of which nobody can tell what it says: a small one that is not small, or one that the run may not read."""


class Withheld(Untold):
    """A file that the kernel lets nobody of the run read, so that the command does without it too."""


class World(NamedTuple):
    """``environ`` and ``read`` (which may raise ``Untold``) are asked when something depends on them. ``cwd`` is
    absolute. ``told``: whether the variables are those that the command will have."""

    environ: Environ
    cwd: str
    read: Read
    told: bool = True

    def variable(self, name: str) -> str:
        """The variable's value, empty when it is not set."""
        found = self.environ().get(name.encode("utf-8", "surrogateescape"), b"")
        return found.decode("utf-8", "surrogateescape")

    def path(self, name: str, base: str = "") -> str:
        """An absolute path for a name that is relative to ``base``, itself relative to the working directory."""
        if name == "~" or name.startswith("~/"):
            name = self.variable("HOME") + name[1:]
        return posixpath.normpath(posixpath.join(self.cwd, base, name))

    def text(self, path: str) -> str | None:
        """What the file says; None when there is none. Raises ``Untold``, also where nobody would write so much."""
        found = self.read(path.encode("utf-8", "surrogateescape")) if "\0" not in path else None
        if found is None:
            return None
        if len(found) > _LONGEST:
            raise Untold(path)
        return found.decode("utf-8", "surrogateescape")

    def in_folder(self, folder: str) -> World:
        return self if not folder else self._replace(cwd=self.path(folder))


def digest(content: bytes | None) -> bytes:
    """What is remembered of a file; empty for one that says nothing."""
    return hashlib.sha256(content).digest() if content else b""


def noting(world: World, seen: dict[str, bytes]) -> World:
    """The same world; what is read of it is put into ``seen``. ``Untold`` for more files than anybody would name."""

    def read(path: bytes) -> bytes | None:
        found = world.read(path)
        if len(seen) >= _MOST_FILES:
            raise Untold(path)
        seen[path.decode("utf-8", "surrogateescape")] = digest(found)
        return found

    return world._replace(read=read)


class Found(NamedTuple):
    """A value and the file that says so, empty for a value that no file says."""

    value: str
    source: str = ""
