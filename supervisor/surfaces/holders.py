"""Which process has a file open for writing (proc(5): fd, fdinfo)."""

from __future__ import annotations

import os
from collections.abc import Iterator


def processes() -> Iterator[int]:
    """All that are there, as far as this user sees them."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def is_held(pid: int, inode: tuple[int, int]) -> bool:
    """Whether the process has ``inode`` (device, number) open for writing. What cannot be seen is not."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            found = os.stat(f"/proc/{pid}/fd/{name}")
            if (found.st_dev, found.st_ino) == inode and _flags(pid, name) & os.O_ACCMODE != os.O_RDONLY:
                return True
        except (OSError, ValueError):
            continue  # closed meanwhile
    return False


def _flags(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/fdinfo/{name}") as file:
        return int(next(line for line in file if line.startswith("flags:")).split()[1], 8)
