"""Names of UNIX sockets, resolved as the process would and pinned.

``/proc/self/fd/N/name`` is how programs get around the 107 bytes of a sockaddr_un; it is taken through the process's
own descriptor (``ownlinks``). Any other magic link of ``/proc`` would mean the supervisor's files: ELOOP.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel.libc import AT_FDCWD, RESOLVE_NO_MAGICLINKS, openat2
from supervisor.surfaces.ownlinks import own_link


class Place(NamedTuple):
    """A UNIX name: what an event says of it (``path``, ``own``), and the handles for the act."""

    path: bytes = b""
    own: bool = False
    file: int = -1
    parent: int = -1
    name: bytes = b""
    cwd: int = -1


def refused(number: int) -> OSError:
    """An errno that the kernel itself would give for the call."""
    return OSError(number, os.strerror(number))


def where(fd: int) -> bytes:
    """The canonical path of an open file (readlink of ``/proc/self/fd/N``)."""
    return os.readlink(b"/proc/self/fd/%d" % fd)


def pin(tid: int, tgid: int, path: bytes, flags: int) -> int:
    """Open ``path`` as thread ``tid`` would find it, following symbolic links but no magic ones. Raises OSError with
    the errno that the process is to see."""
    link = own_link(path, tgid, tid)
    if link is not None and link.entry:
        base = os.open(link.entry, os.O_PATH | os.O_CLOEXEC)
        if not link.rest:
            return base
        try:
            return openat2(base, link.rest.lstrip(b"/") or b".", flags, resolve=RESOLVE_NO_MAGICLINKS)
        finally:
            os.close(base)
    if path.startswith(b"/"):
        return openat2(AT_FDCWD, path, flags, resolve=RESOLVE_NO_MAGICLINKS)
    cwd = _cwd(tid)
    try:
        return openat2(cwd, path, flags, resolve=RESOLVE_NO_MAGICLINKS)
    finally:
        os.close(cwd)


def _cwd(tid: int) -> int:
    return os.open(f"/proc/{tid}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def place_to_bind(tid: int, tgid: int, path: bytes, hold: Callable[[int], int]) -> Place:
    """Where bind(2) would create ``path``: the pinned parent directory, the last component, and the directory that
    the name is relative to. Unnamed and abstract addresses have no place."""
    if path == b"" or path.startswith(b"\0"):
        return Place(path)
    folder, slash, name = path.rpartition(b"/")
    if name in (b"", b".", b".."):
        hold(pin(tid, tgid, path, os.O_PATH))  # ENOENT, or it is there: bind makes no directories
        raise refused(errno.EADDRINUSE)
    cwd = hold(_cwd(tid)) if not path.startswith(b"/") else -1
    parent = hold(pin(tid, tgid, folder or (b"/" if slash else b"."), os.O_PATH | os.O_DIRECTORY))
    if os.fstat(parent).st_nlink == 0:
        raise refused(errno.ENOENT)
    return Place(where(parent).rstrip(b"/") + b"/" + name, parent=parent, name=name, cwd=cwd)
