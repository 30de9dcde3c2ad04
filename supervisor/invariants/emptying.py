"""Folders that may not become empty (``never_empty`` of a ``[[guardrail]]``). Pure."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.invariants.globs import Globs
from supervisor.vocabulary.events import FsEvent, FsOp, Kind

Remaining = Callable[[bytes], int]


def none_left(folder: bytes) -> int:  # noqa: ARG001 - where nobody can tell, the folder would be empty
    return 0


def folder_of(pattern: str) -> str:
    """Whoever writes ``a/**`` or ``a/`` of what may not become empty speaks of the folder ``a``."""
    bare = pattern.rstrip("/")
    while bare.endswith(("/**", "/*")):
        bare = bare.rstrip("*").rstrip("/")
        bare = bare if "/" in bare else f"/{bare}"
    return bare if bare.strip("/") else pattern


def emptied(
    folders: Globs, event: FsEvent, relative: bytes | None, other: bytes | None, remaining: Remaining
) -> bytes | None:
    """The watched folder that the act would leave without entries, or take away; None: none of them. ``relative``,
    ``other``: path and new name in the tree. ``remaining``: how many entries a folder of the tree would keep."""
    if event.op is FsOp.RENAME and event.exchange:
        there = event.other.kind if event.other is not None else Kind.ABSENT
        for path, kind, beneath in (
            (relative, there, event.beneath_other),
            (other, event.target.kind, event.beneath),
        ):
            if path is not None and _watched(folders, path) and (kind is not Kind.DIR or beneath == ()):
                return path
        return None
    if event.op not in (FsOp.UNLINK, FsOp.RENAME) or relative is None:
        return None
    if event.op is FsOp.RENAME and event.target.kind is Kind.DIR:
        found = _moved_away(folders, relative, event.beneath)
        if found is not None:
            return found
    folder = relative.rpartition(b"/")[0]
    stays = event.other is not None and event.other.path.rpartition(b"/")[0] == event.target.path.rpartition(b"/")[0]
    held = _watched(folders, folder) or folders.exact(relative) is not None
    return folder if held and not stays and remaining(folder) < 1 else None


def _watched(folders: Globs, folder: bytes) -> bool:
    return folder != b"" and folders.exact(folder) is not None


def _moved_away(folders: Globs, relative: bytes, beneath: tuple[bytes, ...] | None) -> bytes | None:
    """A watched folder that goes with the one that is moved. More than can be listed may hold one."""
    if beneath is None or _watched(folders, relative):
        return relative
    for name in beneath:
        path = relative + b"/" + name
        if folders.exact(path) is not None:
            return path
    return None
