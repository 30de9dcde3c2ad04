"""All refs of a repository at one moment, read from its files."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor.git.layout import is_object_id, is_ref_name, packed, read_small
from supervisor.vocabulary.errors import UsageError

MAX_REFS = 1_000_000
_DEPTH = 32
_SYMREF_DEPTH = 5


def snapshot(common_dir: Path) -> dict[str, str]:
    """Ref name -> object id: loose over packed, symbolic refs (``refs/remotes/x/HEAD``) resolved, broken ones left out.

    Symlinked folders below ``refs`` are not entered. Raises ``UsageError`` beyond a million refs.
    """
    loose: dict[str, str] = {}
    signature = _signature(common_dir)
    values = packed(common_dir)
    _walk(common_dir, b"refs", loose, 0)
    # git packs a ref before it unlinks the loose file: one that vanished during the walk is in the newer packed file.
    if _signature(common_dir) != signature:
        values |= packed(common_dir)
    values |= loose
    if len(values) > MAX_REFS:
        raise _too_many(common_dir)
    found: dict[str, str] = {}
    for name in values:
        value = values[name]
        depth = 0
        while value.startswith("ref:") and depth < _SYMREF_DEPTH:
            value = values.get(value.removeprefix("ref:").strip(), "")
            depth += 1
        if is_ref_name(name) and is_object_id(value):
            found[name] = value
    return found


def _signature(common: Path) -> tuple[int, int, int]:
    try:
        info = os.stat(common / "packed-refs")
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns


def _too_many(common: Path) -> UsageError:
    return UsageError(f"more than {MAX_REFS} refs", str(common), "delete refs that are not needed")


def _walk(common: Path, folder: bytes, found: dict[str, str], depth: int) -> None:
    try:
        entries = list(os.scandir(os.path.join(os.fsencode(common), folder)))
    except OSError:
        return
    for entry in entries:
        path = folder + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth < _DEPTH:
                _walk(common, path, found, depth + 1)
            continue
        name = os.fsdecode(path)
        if is_ref_name(name):  # not a lock, not a temporary file
            found[name] = (read_small(common / name) or "").strip()
        if len(found) > MAX_REFS:
            raise _too_many(common)
