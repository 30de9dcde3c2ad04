"""Paths that a run has written down, followed as its own programs would follow them."""

from __future__ import annotations

import os
from typing import Final

from supervisor.kernel.libc import file_system

UNTOLD: Final = b""  # no path: where it leads cannot be told
_MOST_LINKS = 40  # path_resolution(7)
_PROC = 0x9FA0  # linux/magic.h
# What they hold depends on who asks. Below /dev some do not, and some is memory like any other.
_ASKED: Final = (b"/proc/", b"/dev/")
_SAME: Final = frozenset((b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom", b"/dev/shm"))


def real(path: bytes) -> bytes:
    """The path (absolute) with every link resolved, as far as there is something; ``UNTOLD`` where it comes by /proc,
    wherever that is mounted, or by a device: a descriptor, a working directory of another process than this one."""
    here, pending, links = b"/", path.split(b"/")[::-1], 0
    while pending:
        part = pending.pop()
        if part == b"..":
            here = os.path.dirname(here)
        elif part not in (b"", b"."):
            full = os.path.join(here, part)
            if full.startswith(_ASKED) and full not in _SAME and not full.startswith(b"/dev/shm/"):
                return UNTOLD
            try:
                target = os.readlink(full)
            except OSError:
                here = full
                continue
            links += 1
            if _of_proc(here):
                return UNTOLD
            if links > _MOST_LINKS:
                return path  # nobody comes there
            here = b"/" if target.startswith(b"/") else here
            pending += target.split(b"/")[::-1]
    return here


def _of_proc(folder: bytes) -> bool:
    try:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return file_system(fd) == _PROC
    finally:
        os.close(fd)
