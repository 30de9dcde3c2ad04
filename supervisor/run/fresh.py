"""Whether an object was in a repository before a moment: git does not fetch what it has, so what the run made and
pushed comes back by name alone."""

from __future__ import annotations

import errno
import os
import struct
import time

TICK = 0.05  # seconds: time stamps of files and the start of a process come from different clocks
_MAGIC = b"\xfftOc\0\0\0\2"  # gitformat-pack(5), version 2


def began(start: int) -> float:
    """Seconds since the epoch at which a process began; ``start``: clock ticks since boot (proc(5), stat, field 22)."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def was_there(common: bytes, name: str, moment: float) -> bool:
    """Whether the object ``name`` lies in a file of ``common`` that is older than ``moment`` by its ctime, which nobody
    sets. Unsure means yes."""
    objects, raw = common + b"/objects/", bytes.fromhex(name)
    try:
        if os.stat(objects + name[:2].encode() + b"/" + name[2:].encode()).st_ctime < moment - TICK:
            return True
    except FileNotFoundError:
        pass  # packed, or not there
    except OSError:
        return True
    try:
        packs = [each for each in os.scandir(objects + b"pack") if each.name.endswith(b".idx")]
    except OSError as error:
        return error.errno != errno.ENOENT
    try:
        return any(_holds(each.path, raw) for each in packs if each.stat().st_ctime < moment - TICK)
    except (OSError, struct.error):
        return True


def _holds(index: bytes, name: bytes) -> bool:
    """Whether the pack of ``index`` has the object. Errors: OSError, ``struct.error``."""
    fd = os.open(index, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if os.pread(fd, 8, 0) != _MAGIC:
            return True
        table = os.pread(fd, 1024, 8)
        low = struct.unpack_from(">I", table, (name[0] - 1) * 4)[0] if name[0] else 0
        high = struct.unpack_from(">I", table, name[0] * 4)[0]
        while low < high:
            middle = (low + high) // 2
            found = os.pread(fd, len(name), 1032 + middle * len(name))
            if found == name:
                return True
            low, high = (middle + 1, high) if found < name else (low, middle)
        return False
    finally:
        os.close(fd)
