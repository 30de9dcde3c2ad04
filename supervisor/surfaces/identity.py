"""A program by what it is, not by what it is called: a copy of ``kubectl`` under another name is still kubectl.

Names are compared first: only a program whose size is that of an installed tool is hashed, each once.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

_MOST_BYTES = 512 << 20
_MOST_KNOWN = 4096


class _Tool(NamedTuple):
    name: str
    path: bytes


class Identities:
    """``names``: the tools that matter; ``folders``: where they are installed, in which the run cannot write."""

    def __init__(self, names: Iterable[str], folders: Iterable[bytes]) -> None:
        self._names = tuple(names)
        self._folders = tuple(dict.fromkeys(folders))
        self._real = frozenset(map(os.path.realpath, self._folders))
        self._by_size: dict[int, list[_Tool]] | None = None
        self._inodes: dict[tuple[int, int], str] = {}
        self._known: dict[tuple[int, int, int, int], str] = {}
        self._digests: dict[bytes, bytes] = {}

    def of(self, path: bytes) -> str:
        """The tool that the program at ``path`` is a copy, link or new name of; empty when it is none of them. OSError
        where it cannot be read."""
        info = os.stat(path)
        key = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        if key in self._known:
            return self._known[key]
        if self._by_size is None:
            self._by_size = self._installed()
        found = self._inodes.get(key[:2], "")
        same = [] if found else self._by_size.get(info.st_size, [])
        if same and info.st_size <= _MOST_BYTES:
            digest = _digest(path)
            found = next((tool.name for tool in same if self._digest_of(tool.path) == digest), "")
        if found and self._goes_by_name(path, found):
            found = ""
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = found
        return found

    def _goes_by_name(self, path: bytes, found: str) -> bool:
        """Whether it is installed under a name of its own and begins another program by that: version managers put
        one script in many places."""
        folder, name = os.path.split(path)
        if name == found.encode() or folder not in self._real:
            return False
        with open(path, "rb", opener=_plainly) as file:
            return file.read(2) == b"#!"

    def _installed(self) -> dict[int, list[_Tool]]:
        found: dict[int, list[_Tool]] = {}
        for folder in self._folders:
            for name in self._names:
                path = folder + b"/" + name.encode()
                try:
                    info = os.stat(path)
                except OSError:
                    continue
                if stat.S_ISREG(info.st_mode):
                    found.setdefault(info.st_size, []).append(_Tool(name, path))
                    self._inodes[info.st_dev, info.st_ino] = name
        return found

    def _digest_of(self, path: bytes) -> bytes:
        if path not in self._digests:
            try:
                self._digests[path] = _digest(path)
            except OSError:
                return b""
        return self._digests[path]


def _digest(path: bytes) -> bytes:
    with open(path, "rb", opener=_plainly) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
