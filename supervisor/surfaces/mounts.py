"""Other places where the same files are mounted (proc(5), ``/proc/PID/mountinfo``): bind mounts, a disk that is there
twice. A run can make none, and finds those that are there."""

from __future__ import annotations

import re
from typing import NamedTuple

_ESCAPED = re.compile(rb"\\([0-7]{3})")
_MOST = 16 << 20


class _Mount(NamedTuple):
    """``root``: which folder of the file system ``device`` is seen at ``point``."""

    device: bytes
    root: bytes
    point: bytes


class Alias(NamedTuple):
    """What lies at ``path`` and beneath is what lies at ``real``, in the tree."""

    path: bytes
    real: bytes


def aliases(tree: bytes, table: bytes | None = None) -> tuple[Alias, ...]:
    """Where else the tree, or a part of it, is seen; the longest paths first. ``table``: a mountinfo file, that of
    this process unless given. Errors: OSError."""
    if table is None:
        with open("/proc/self/mountinfo", "rb") as file:
            table = file.read(_MOST)
    mounts = _seen(table)
    # The first of the longest, so the latest of those at one point.
    own = max((m for m in reversed(mounts) if _under(tree, m.point)), key=lambda m: len(m.point), default=None)
    if own is None:
        return ()
    inner = _join(own.root, tree[len(own.point.rstrip(b"/")) :])
    found = []
    for mount in mounts:
        if mount.device != own.device or mount == own:
            continue
        if _under(inner, mount.root):
            found.append(Alias(_join(mount.point, inner[len(mount.root.rstrip(b"/")) :]), tree))
        elif _under(mount.root, inner):
            found.append(Alias(mount.point, _join(tree, mount.root[len(inner.rstrip(b"/")) :])))
    return tuple(sorted({a for a in found if a.path != a.real}, key=lambda alias: -len(alias.path)))


def _seen(table: bytes) -> list[_Mount]:
    """Those that no other one covers: it has the one below for its parent, and the same point. Where a folder above was
    mounted over, more than one is left."""
    lines = [fields for line in table.splitlines() if (fields := line.split())]
    covered = {(fields[1], fields[4]) for fields in lines}
    return [
        _Mount(*(_plain(fields[at]) for at in (2, 3, 4))) for fields in lines if (fields[0], fields[4]) not in covered
    ]


def _plain(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)


def _under(path: bytes, base: bytes) -> bool:
    return path == base or path.startswith(base.rstrip(b"/") + b"/")


def _join(base: bytes, rest: bytes) -> bytes:
    return (base.rstrip(b"/") + b"/" + rest.strip(b"/")).rstrip(b"/") or b"/"
