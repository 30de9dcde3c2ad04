"""Escapes 37, 38: take the supervisor's descriptors, trace it, or write its memory."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
target = supervisor()
pidfd = os.pidfd_open(target)
local = ctypes.create_string_buffer(8)
io = (ctypes.c_uint64 * 2)(ctypes.addressof(local), 8)
far = (ctypes.c_uint64 * 2)(0x400000, 8)
print(json.dumps({
    "attach": sc(101, 16, target, 0, 0),
    "seize": sc(101, 0x4206, target, 0, 0),
    "pidfd_getfd": sc(438, pidfd, 3, 0),
    "vm_readv": sc(310, target, io, 1, far, 1, 0),
    "vm_writev": sc(311, target, io, 1, far, 1, 0),
    "mem": attempt(open, f"/proc/{target}/mem", "r+b"),
    "fd": attempt(os.readlink, f"/proc/{target}/fd/2"),
    "reopened fd": attempt(os.open, f"/proc/{target}/fd/2", os.O_WRONLY),
    "cwd": attempt(os.listdir, f"/proc/{target}/cwd"),
    "root": attempt(os.listdir, f"/proc/{target}/root/etc"),
    "environ": attempt(lambda: open(f"/proc/{target}/environ", "rb").read()),
}))
"""


def test_supervisor_memory(cage: Cage) -> None:
    outcome = cage.run(cage.script(CODE) + '; echo x >> "$OUT/victim"')
    answers = json.loads(outcome.stdout)
    reached = {name for name, answer in answers.items() if answer not in ("EPERM", "EACCES")}
    assert not reached, reached
    cage.refused(outcome, cage.PROCESS)
    cage.refused(outcome, cage.WRITE)  # it still supervises
    assert (cage.outside / "victim").read_text() == "original victim\n"
