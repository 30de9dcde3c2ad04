"""Reading what lies at a path for a judgement: bounded, and never held up or led away."""

from __future__ import annotations

import os
import stat

_PIECE = 1 << 14


def plain_content(path: bytes, most: int, *, follow: bool = False) -> bytes:
    """The first ``most`` bytes of a regular file; empty for anything else. A FIFO would hold up the loop for good.

    With ``follow`` only for descriptors of ours: what has a name of the run's is read by ``run.readable``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError:
        return b""
    try:
        content = b""
        if stat.S_ISREG(os.fstat(fd).st_mode):
            while len(content) < most and (chunk := os.read(fd, most - len(content))):
                content += chunk
        return content
    except OSError:
        return b""
    finally:
        os.close(fd)


def told_by_kernel(path: str, most: int) -> bytes:
    """A file of proc(5), in pieces: a buffer for as much as there may be would cost more than reading. OSError."""
    pieces, size = [], 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while size < most and (piece := os.read(fd, _PIECE)):
            pieces.append(piece)
            size += len(piece)
    finally:
        os.close(fd)
    return b"".join(pieces)


def names_beside(folder: bytes) -> list[bytes]:
    """Names in a folder; none when it is not there or cannot be listed (then git cannot run them either)."""
    try:
        return os.listdir(folder)
    except OSError:
        return []
