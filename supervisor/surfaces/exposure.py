"""Acts that make a git directory of an ordinary folder: what git would then run was never judged as more than a file.

To git (setup.c, is_git_directory) a folder is one that holds ``objects`` and ``refs``, or a ``commondir`` that leads to
such a folder. Its configuration and hooks count; ``HEAD`` may lie elsewhere, beside the ``commondir``. So whatever
brings the second of a pair completes it, in whichever order and from however far away git is led there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from supervisor.surfaces.contents import names_beside, plain_content
from supervisor.vocabulary.events import FsEvent, FsOp, Kind

CONFIG_MOST = 1 << 20
PAIRS = ((b"objects", b"refs"), (b"HEAD", b"commondir"))
_PARTNER = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
_CONFIGS = (b"config", b"config.worktree")
_ALTERNATES = (b"info/alternates", b"info/http-alternates")
_ODD = "this would make a git directory of a folder whose {} is no plain {}"


class Exposed(NamedTuple):
    """``refusal``: why the folder must not become one. ``settled``: path and judged content of configuration files that
    get an inode of their own first, since somebody may hold the present one open for writing."""

    refusal: str = ""
    settled: tuple[tuple[bytes, bytes], ...] = ()


_NOTHING = Exposed()
_FROM_TEMPORARY = Exposed("a repository from temporary space is cloned, not moved: nobody judged what it holds")


class Exposure:
    """``executable`` gives the keys of a configuration that make git run something (second argument: a submodule's),
    ValueError when it cannot be read. ``is_temporary``: whether a path lies where a run may do as it likes."""

    def __init__(
        self, executable: Callable[[bytes, bool], tuple[str, ...]], is_temporary: Callable[[bytes], bool]
    ) -> None:
        self._executable = executable
        self._is_temporary = is_temporary

    def of(self, event: FsEvent) -> Exposed:
        """What the act would complete."""
        if event.op not in (FsOp.CREATE, FsOp.LINK, FsOp.RENAME):
            return _NOTHING
        for path, source in _landing(event):
            folder, _, name = path.rpartition(b"/")
            partner = _PARTNER.get(name)
            if partner is None or not os.path.lexists(folder + b"/" + partner) or self._is_temporary(path):
                continue
            if name in PAIRS[1] and not (event.git_tool and _is_worktree(folder)):
                return Exposed("only git makes a folder whose commondir leads to a repository, in worktrees/ of that")
            objects = source if name == b"objects" and source else folder + b"/objects"
            return self._folder(folder, objects)
        return self._moved(event)

    def _folder(self, folder: bytes, objects: bytes) -> Exposed:
        hooks = folder + b"/hooks"
        if os.path.lexists(hooks):
            if os.path.islink(hooks) or not os.path.isdir(hooks):
                return Exposed(_ODD.format("hooks", "folder"))
            if any(not hook.endswith(b".sample") for hook in names_beside(hooks)):
                return Exposed("this would make a git directory of a folder that holds hooks")
        if any(os.path.lexists(objects + b"/" + name) for name in _ALTERNATES):
            return Exposed("this would make a git directory of a folder with foreign objects")
        settled = []
        for path in (folder + b"/" + name for name in _CONFIGS):
            if not os.path.lexists(path):
                continue
            try:
                found = os.lstat(path)
                if stat.S_ISDIR(found.st_mode):
                    continue
                if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > CONFIG_MOST:
                    return Exposed(_ODD.format("config", "file with one name"))
                content = plain_content(path, CONFIG_MOST)
                keys = ", ".join(self._executable(content, b"/modules/" in path))
            except (ValueError, OSError):
                return Exposed("this would make a git directory of a folder whose config cannot be read")
            if keys:
                return Exposed(f"this would make a git directory of a folder whose config makes git run {keys}")
            settled.append((path, content))
        return Exposed(settled=tuple(settled))

    def _moved(self, event: FsEvent) -> Exposed:
        """A folder that leaves temporary space, where nobody judged what was put beside what."""
        moves = [(event.target, event.other, event.beneath)]
        if event.exchange and event.other is not None:
            moves.append((event.other, event.target, event.beneath_other))
        for source, place, beneath in moves:
            if not beneath or place is None or self._is_temporary(place.path) or not self._is_temporary(source.path):
                continue
            names = {b"/" + name for name in beneath}
            if any(name.endswith(b"/.git") and name + b"/HEAD" not in names for name in names):
                return _FROM_TEMPORARY  # a file that says where the repository lies
            for one, other in PAIRS:
                ends = (name[: -len(one)] for name in names if name.endswith(b"/" + one))
                if any(start + other in names for start in ends):
                    return _FROM_TEMPORARY
        return _NOTHING


def _landing(event: FsEvent) -> Iterator[tuple[bytes, bytes]]:
    """(name at which something new will lie, where that comes from)."""
    other = event.other
    if other is None:
        if event.target.kind is Kind.ABSENT:
            yield event.target.path, b""
    elif other.kind is Kind.ABSENT or event.makes is Kind.DIR or event.exchange:
        yield other.path, event.target.path
    if other is not None and event.exchange:
        yield event.target.path, other.path


def _is_worktree(folder: bytes) -> bool:
    """Whether this is where git keeps a linked worktree: ``REPOSITORY/worktrees/NAME`` (git-worktree(1), DETAILS)."""
    above, _, _ = folder.rpartition(b"/")
    common, _, name = above.rpartition(b"/")
    return name == b"worktrees" and all(os.path.lexists(common + b"/" + part) for part in PAIRS[0])
