"""Content of files, with the state it was read in. Nothing here waits: descriptors are opened without blocking."""

from __future__ import annotations

import hashlib
import os

from supervisor.surfaces.paths import Refused
from supervisor.vocabulary.versions import Identity

MOST = 64 << 20  # bytes of a file that are read; a larger one cannot be judged
MOST_SCRIPT = 4 << 20  # the same where nothing but the first line could make it one
_UNCHANGED = 5  # tries to read a file that changes while it is read


def blob_id(content: bytes) -> str:
    """The id git gives these bytes (SHA-1 of ``blob N\\0`` and the bytes)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def identity_of(info: os.stat_result) -> Identity:
    """The state of an inode that a write would change."""
    return Identity(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def begins_script(fd: int) -> bool:
    """Whether the first line names an interpreter (execve(2))."""
    return os.pread(fd, 2, 0) == b"#!"


def readable(handle: int) -> int:
    """Open for reading what an ``O_PATH`` descriptor stands for. Errors: ``Refused``, OSError."""
    try:
        return os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise Refused("it cannot be read, so its content cannot be judged") from error


def read_whole(fd: int) -> tuple[bytes | None, Identity]:
    """The content, and the state it was read in. None for the content of a file that is too large."""
    info, content = os.fstat(fd), b""
    for _ in range(_UNCHANGED):
        if info.st_size > MOST:
            return None, identity_of(info)
        content = b""
        while len(content) <= MOST and (chunk := os.pread(fd, max(info.st_size - len(content), 0) + 1, len(content))):
            content += chunk
        now = os.fstat(fd)
        if identity_of(now) == identity_of(info):
            break
        info = now
    return content, identity_of(info)
