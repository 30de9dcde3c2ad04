"""What a command line does not say and its surroundings do: variables, the working directory, small files."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import NamedTuple

Environ = Callable[[], Mapping[bytes, bytes]]
Read = Callable[[bytes], "bytes | None"]
_LONGEST = 1 << 18


class TooLong(Exception):
    """A small file that is not small."""


class World(NamedTuple):
    """``environ`` and ``read`` are asked when something depends on them. ``cwd`` is absolute. ``told``: whether the
    variables are those that the command will have."""

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
        """What the file says; None when it cannot be read. Raises ``TooLong`` where nobody would write so much."""
        found = self.read(path.encode("utf-8", "surrogateescape")) if "\0" not in path else None
        if found is None:
            return None
        if len(found) > _LONGEST:
            raise TooLong(path)
        return found.decode("utf-8", "surrogateescape")

    def in_folder(self, folder: str) -> World:
        return self if not folder else self._replace(cwd=self.path(folder))


class Found(NamedTuple):
    """A value and the file that says so, empty for a value that no file says."""

    value: str
    source: str = ""
