"""Accepted versions of what a run changes: the contents (``frames``) and an index by path beside them.

``accepted.jsonl`` holds one line per kept version (``records``). It is written with one call per entry, the frame
before its line, so a kill leaves at most a torn last line; opening the folder again drops it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from supervisor.trees import frames
from supervisor.trees.frames import Frames, Unkept
from supervisor.trees.records import line, parse
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.versions import ABSENT, Version

INDEX = "accepted.jsonl"

__all__ = ["INDEX", "Accepted", "Unkept"]


class Accepted:
    """The index in ``folder`` (the run's own, 0700), over ``contents``, else a store of its own there of at most
    ``limit`` bytes.

    What an earlier process left there is taken over. Raises ``StopRun`` when the folder cannot be used.
    """

    def __init__(self, folder: Path, limit: int = 2 << 30, contents: Frames | None = None) -> None:
        self._latest: dict[bytes, Version] = {}
        self._frames = contents or Frames(folder, limit)
        self._owned = contents is None
        self._index = -1
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._index = os.open(folder / INDEX, flags, 0o600)
            self._resume()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            fix = "check the state folder: space, owner, mode"
            raise StopRun("cannot open the store of accepted versions", str(error), fix) from error

    def keep(self, path: bytes, fd: int, links: tuple[bytes, ...] = (), content: bytes | None = None) -> Version:
        """Keep what is behind a read-only descriptor, as ``Frames.take`` does, with its errors."""
        return self._keep(path, self._frames.take(fd, links, content))

    def keep_link(self, path: bytes, fd: int) -> Version:
        """Keep the symbolic link behind an ``O_PATH | O_NOFOLLOW`` descriptor. Errors as ``keep``."""
        return self._keep(path, frames.link_at(fd))

    def keep_folder(self, path: bytes, fd: int) -> Version:
        """Keep the attributes of a folder, not what is in it. ``O_PATH`` will do. Errors as ``keep``."""
        return self._keep(path, frames.attributes(fd, os.fstat(fd)))

    def absent(self, path: bytes = b"") -> Version:
        """The version of nothing; with a ``path`` it is kept that nothing lay there."""
        return self._keep(path, ABSENT) if path else ABSENT

    def latest(self, path: bytes) -> Version | None:
        """The version kept last for ``path``."""
        return self._latest.get(path)

    def versions(self) -> Mapping[bytes, Version]:
        """The version kept last for every path."""
        return self._latest

    def content(self, version: Version) -> bytes:
        """The bytes of a kept file, checked. Raises ``StopRun`` when the store does not hold them (any more)."""
        return self._frames.content(version)

    def source(self, version: Version) -> bytes | int:
        """What ``Reverter.restore`` takes, as ``Frames.source`` gives it."""
        return self._frames.source(version)

    def close(self) -> None:
        """Release the descriptors."""
        if self._owned:
            self._frames.close()
        if self._index >= 0:
            os.close(self._index)
        self._index = -1

    def _keep(self, path: bytes, version: Version) -> Version:
        frames.write(self._index, line(path, version), b"", None)
        self._latest[path] = version
        return version

    def _resume(self) -> None:
        raw = bytearray()
        while piece := os.pread(self._index, 1 << 20, len(raw)):
            raw += piece
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            os.ftruncate(self._index, whole)
        for each in bytes(raw[:whole]).splitlines():
            # A line whose frame was torn off cannot be: the frame is written first.
            path, version = parse(each)
            self._latest[path] = version
