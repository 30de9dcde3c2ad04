"""Escape 34: FS_IOC_SETFLAGS needs ownership only, so a descriptor opened for reading is enough."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
fd = os.open(VICTIM, os.O_RDONLY)
old = struct.unpack("l", fcntl.ioctl(fd, 0x80086601, bytes(8)))[0]
print(attempt(fcntl.ioctl, fd, 0x40086602, struct.pack("l", old | 0x40)))
"""


def test_inode_flags(cage: Cage) -> None:
    """The flag is `nodump`, which any owner may set where the file system has flags at all."""
    probe = subprocess.run(["lsattr", "-d", str(cage.outside)], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("the file system under the test has no inode flags")
    cage.escape(cage.script(CODE), None)
