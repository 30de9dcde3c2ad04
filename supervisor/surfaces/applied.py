"""Files and folders whose names come from the run, as they are while it is held.

They are opened here by name, from the working directory of whoever executes, and never through a magic link of
``/proc``, which would lead to something else in this process (openat2(2), RESOLVE_NO_MAGICLINKS). The supervisor may
read more than the run may: whoever calls says what the run may not.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel.leases import has_writer, sees_mappings
from supervisor.kernel.libc import AT_FDCWD, RESOLVE_NO_MAGICLINKS, file_system, openat2

_MOST_NAMES = 2000
_MOST_LINKS = 40  # path_resolution(7)
_DESCRIPTOR = "it is read through a descriptor, a device, or links that lead nowhere"
_NOT_FILES = (b"/proc/", b"/sys/", b"/dev/")
# linux/magic.h: proc, sysfs, cgroup2, debugfs, tracefs, securityfs, wherever they are mounted.
_NO_DISKS = frozenset((0x9FA0, 0x62656572, 0x63677270, 0x64626720, 0x74726163, 0x73636673))
_HIDDEN = "it is hidden from this run"


class Seen(NamedTuple):
    """What lies at a name. ``path``: with every link resolved, empty where nothing can be told; ``names``: of a folder,
    sorted, those of folders with a ``/`` at the end; ``content`` is None for one. ``why``: what cannot be told, and
    ``absent``: because nothing is there; ``withheld``: because the kernel lets nobody of the run read it."""

    path: bytes = b""
    content: bytes | None = None
    names: tuple[bytes, ...] = ()
    why: str = ""
    absent: bool = False
    inode: tuple[int, int] = (0, 0)
    withheld: bool = False


class Limits(NamedTuple):
    """What the run may not read. ``folder``: whether a path lies where it may learn nothing, not even what is absent;
    ``file``: whether it may not read what a descriptor is open on, by a name of that. ``writes``: whether its rules let
    it write to that."""

    folder: Callable[[bytes], bool]
    file: Callable[[bytes, int], bool]
    writes: Callable[[bytes, int], bool] = lambda _path, _fd: True


def look(path: bytes, most: int, limits: Limits, *, settled: bool = True, listing: bool = True) -> Seen:
    """At most ``most`` bytes of the file at ``path`` (absolute), or the names in the folder there, left out unless
    ``listing``. ``settled``: what somebody has open for writing is not told, nor what the run may have open so."""
    if b"\0" in path:
        return Seen(why="it is no name of a file")
    plain = os.path.normpath(path)
    if plain.lstrip(b"/").startswith(tuple(each[1:] for each in _NOT_FILES)):  # of this process, or of nobody
        return Seen(why=_DESCRIPTOR)
    # Before it is opened, so that what is absent there is answered like what is not.
    if limits.folder(os.path.realpath(path)):
        return Seen(why=_HIDDEN, withheld=True)
    if any(map(limits.folder, named := (plain, *links(path)))):
        return Seen(why=_HIDDEN)
    try:
        # O_NONBLOCK: a FIFO would hold up the loop for good.
        fd = openat2(AT_FDCWD, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, 0, RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Seen(why=_DESCRIPTOR)
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return Seen(why="it is not there" if absent else f"it cannot be read: {error.strerror}", absent=absent)
    try:
        real = os.readlink(b"/proc/self/fd/%d" % fd)
        if any(limits.file(name, fd) for name in (real, *named)):
            return Seen(why=_HIDDEN)
        info = os.fstat(fd)
        mode = info.st_mode
        if real.startswith(_NOT_FILES) or file_system(fd) in _NO_DISKS:
            return Seen(why="it is no plain file")
        if stat.S_ISDIR(mode):
            return _folder(real, fd) if listing else Seen(real)
        if not stat.S_ISREG(mode):
            return Seen(why="it is no plain file")
        if settled and (why := _unsettled(real, fd, info, limits)):
            return Seen(real, why=why)
        return _file(real, fd, most)._replace(inode=(info.st_dev, info.st_ino))
    except OSError as error:
        return Seen(why=f"it cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def _unsettled(real: bytes, fd: int, info: os.stat_result, limits: Limits) -> str:
    """Why it may be another one in a moment without an open; empty where it cannot."""
    written = has_writer(fd)
    if written:
        return "it is open for writing"
    if written is False and sees_mappings(fd):
        return ""
    # The owner may give himself any right; what an access control list grants is in the bits of the group (acl(5)).
    granted = info.st_uid == os.geteuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return "whether it is open for writing cannot be told" if granted and limits.writes(real, fd) else ""


def _file(real: bytes, fd: int, most: int) -> Seen:
    content = b""
    while len(content) <= most and (chunk := os.read(fd, most + 1 - len(content))):
        content += chunk
    if len(content) > most:
        return Seen(real, why=f"it has more than {most} bytes")
    return Seen(real, content)


def _folder(real: bytes, fd: int) -> Seen:
    names: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if len(names) >= _MOST_NAMES:
                return Seen(real, why=f"it holds more than {_MOST_NAMES} names")
            names.append(os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b""))
    return Seen(real, names=tuple(sorted(names)))


def links(path: bytes) -> tuple[bytes, ...]:
    """The symbolic links on the way to a path (absolute), each by where it lies."""
    found: list[bytes] = []
    here, pending = b"/", list(reversed(path.split(b"/")))
    while pending and len(found) <= _MOST_LINKS:
        part = pending.pop()
        if part == b"..":
            here = os.path.dirname(here)
        elif part not in (b"", b"."):
            full = os.path.join(here, part)
            try:
                target = os.readlink(full)
            except OSError:
                here = full
                continue
            found.append(full)
            here = b"/" if target.startswith(b"/") else here
            pending += reversed(target.split(b"/"))
    return tuple(found)
