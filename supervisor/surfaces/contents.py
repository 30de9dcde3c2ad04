"""Reading what lies at a path for a judgement: bounded, and never held up or led away."""

from __future__ import annotations

import os
import stat


def plain_content(path: bytes, most: int, *, follow: bool = False) -> bytes:
    """The first ``most`` bytes of a regular file; empty for anything else. A FIFO would hold up the loop for good."""
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


def names_beside(folder: bytes) -> list[bytes]:
    """Names in a folder; none when it is not there or cannot be listed (then git cannot run them either)."""
    try:
        return os.listdir(folder)
    except OSError:
        return []
