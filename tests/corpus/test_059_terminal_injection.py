"""Escape 59: TIOCSTI types into the terminal that the user gets back (CVE-2017-5226), TIOCLINUX likewise."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
import pty
answers = []
pid, master = pty.fork()
if pid == 0:
    got = [sc(16, 0, 0x5412, c("x")), sc(16, 0, 0x541C, c(chr(2))), sc(16, 0, 0x5412 | 1 << 32, c("x"))]
    os.write(1, json.dumps(got).encode() + b"\\n")
    os._exit(0)
seen = b""
while b"]" not in seen:
    seen += os.read(master, 1000)
os.waitpid(pid, 0)
print(seen.decode().strip())
"""


def test_terminal_injection(cage: Cage) -> None:
    """The third one sets a high bit that the kernel ignores and a 64-bit comparison would not match."""
    assert cage.probe(CODE) == ["EPERM", "EPERM", "EPERM"]
