"""What lay at a path at one moment, as values: enough to put it there again."""

from __future__ import annotations

from typing import NamedTuple

from supervisor.vocabulary.events import Kind


class Identity(NamedTuple):
    """One inode at one moment. ``size`` in bytes, times in nanoseconds since the epoch."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Version(NamedTuple):
    """What lay at a path; for ``Kind.ABSENT`` nothing else is set.

    ``mode``: permission bits (07777). ``xattrs``: (name, value) pairs, POSIX ACLs among them. ``text``: where a
    symbolic link points. ``size``: bytes of a file. ``offset``: where its content begins in the frame file, -1 without
    one. ``sha1``: git's name for the content (sha1 of ``blob N\\0`` and the bytes), hexadecimal; empty for a file that
    was kept whole beside the frames, whose name there is ``large``. ``links``: other known paths of the same inode.
    ``unsettled``: it was being written while it was read, so the bytes may be a mixture.
    """

    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    atime_ns: int = 0
    mtime_ns: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    text: bytes = b""
    size: int = 0
    offset: int = -1
    sha1: str = ""
    links: tuple[bytes, ...] = ()
    large: str = ""
    unsettled: bool = False


class Entry(NamedTuple):
    """A file as a git tree has it: ``mode`` as written there, ``blob`` the sha1 of its content as a git blob."""

    mode: str
    blob: str


ABSENT = Version(Kind.ABSENT)
