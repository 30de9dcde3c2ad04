"""Escape 381: `debug = true` lets a run trace its own processes; nobody else's: not the supervisor, not the guard, not
another program of the same user. Nor does it make govrun the tracer of the run."""

from __future__ import annotations

import json
import platform
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64"),
    pytest.mark.needs("yama"),
]

CODE = """
import time
libc.ptrace.argtypes = [ctypes.c_long] * 4
def parent(pid):
    with open(f"/proc/{pid}/stat") as source:
        return int(source.read().rsplit(")", 1)[1].split()[1])
target_memory = ctypes.create_string_buffer(8)  # at the same address in a child
def ways(target):
    pidfd = os.pidfd_open(target)
    local = ctypes.create_string_buffer(8)
    io = (ctypes.c_uint64 * 2)(ctypes.addressof(local), 8)
    far = (ctypes.c_uint64 * 2)(ctypes.addressof(target_memory), 8)
    return {
        "seize": sc(101, 0x4206, target, 0, 0),
        "attach": sc(101, 16, target, 0, 0),
        "pidfd_getfd": sc(438, pidfd, 0, 0),
        "vm_readv": sc(310, target, io, 1, far, 1, 0),
        "vm_writev": sc(311, target, io, 1, far, 1, 0),
        "madvise": sc(440, pidfd, far, 1, 20, 0),
        "mem": attempt(open, f"/proc/{target}/mem", "r+b"),
    }
keeper = supervisor()
child = os.fork()
if child == 0:
    time.sleep(60)
found = {"own": ways(child), "supervisor": ways(keeper), "guard": ways(parent(keeper)), "foreign": ways(FOREIGN)}
for name in filter(str.isdecimal, os.listdir("/proc")):
    try:
        if int(name) not in (child, os.getpid()) and parent(name) == keeper:
            found["helper " + name] = ways(int(name))
    except FileNotFoundError:
        continue  # ended meanwhile
os.kill(child, 9)
print(json.dumps(found))
"""
PLAIN = 'version = 1\n[[dependency]]\nid = "d"\nwhy = "w"\ndeny = ["pypi:x"]\n'  # so that there is an inspector


def test_only_processes_of_the_run(cage: Cage) -> None:
    cage.profile("[scope]\ndebug = true\n" + PLAIN.partition("\n")[2])
    with subprocess.Popen(["sleep", "60"]) as foreign:
        try:
            code = CODE.replace("FOREIGN", str(foreign.pid))
            # `exec`: the probe is the agent itself, so its siblings are govrun's own helpers.
            outcome = cage.run("exec " + cage.script(code) + '; echo x >> "$OUT/victim"')
        finally:
            foreign.kill()
    assert outcome.stdout, outcome.stderr
    answers = json.loads(outcome.stdout)
    own = answers.pop("own")
    assert [own[name] for name in ("seize", "pidfd_getfd", "vm_readv", "vm_writev")] == ["ok"] * 4, own
    assert any(name.startswith("helper") for name in answers), answers.keys()
    for who, ways in answers.items():
        assert {name for name, answer in ways.items() if answer not in ("EPERM", "EACCES")} == set(), (who, ways)
    cage.refused(outcome, cage.PROCESS)
    assert "does not belong to this run (ptrace)" in outcome.stderr


TRACEME = """
import subprocess, time
libc.ptrace.argtypes = [ctypes.c_long] * 4
answer = sc(101, 0, 0, 0, 0)
print(json.dumps(answer), flush=True)
os.execv("/bin/echo", ["echo", '"went on"'])
"""


def test_govrun_becomes_nobodys_tracer(cage: Cage) -> None:
    """A process traced by a parent that does not know stops for ever at its next signal."""
    cage.profile("[scope]\ndebug = true\n")
    outcome = cage.run("exec " + cage.script(TRACEME), timeout=20)
    assert outcome.stdout.split(b"\n")[:2] == [b'"EPERM"', b'"went on"'], outcome.stderr
    cage.refused(outcome, cage.PROCESS)
