"""Capabilities are gone, stay gone after an exec, and an ordinary user loses nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernel.subproc import run

AFTER_EXEC = """
caps.drop_all()
import subprocess
lines = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout.splitlines()
after = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("Cap", "NoNewPrivs"))}
print(json.dumps([list(caps.read()), after, os.getuid(), os.getgroups(), libc.prctl(27)]))
"""
EMPTY = "0" * 16


@pytest.mark.needs("root")
def test_root_keeps_its_uid_and_nothing_else() -> None:
    before = run("print(json.dumps([list(caps.read()), os.getgroups()]))")
    assert before[0][1] != 0, "this test needs capabilities to lose"
    here, after, uid, groups, securebits = run(AFTER_EXEC)
    assert here == [0, 0, 0, 0, 0]
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert after == dict.fromkeys(names, EMPTY) | {"NoNewPrivs": "1"}
    assert (uid, groups) == (0, before[1])
    assert securebits & 0b1110_1111 == 0b1110_1111


@pytest.mark.needs("root")
def test_what_is_lost_cannot_be_used_or_taken_back(tmp_path: Path) -> None:
    snippet = f"""
    place = {str(tmp_path)!r}
    os.chown(place, 12345, 12345)
    os.chmod(place, 0o700)
    caps.drop_all()
    print(json.dumps([attempt(os.listdir, place), attempt(os.chown, "/tmp", 1, 1), attempt(os.setuid, 12345),
        attempt(os.kill, 1, 0) in ("ok", "EPERM"), attempt(libc.prctl, 28, 0), attempt(caps._capset, 1, 1, 0),
        attempt(libc.prctl, 47, 2, 5, 0)]))
    os._exit(sys.stdout.flush() or 0)
    """
    told = run(snippet)
    os.chown(tmp_path, 0, 0)
    assert told == ["EACCES", "EPERM", "EPERM", True, "EPERM", "EPERM", "EPERM"]


@pytest.mark.needs("root")
def test_root_without_setpcap_still_ends_empty() -> None:
    """Containers drop CAP_SETPCAP: the bounding set stays, no_new_privs keeps an exec from gaining from it."""
    snippet = "sets = caps.read(); caps._capset(sets.permitted & ~(1 << 8), sets.effective & ~(1 << 8), 0)\n"
    here, after, _, _, _ = run(snippet + AFTER_EXEC)
    assert here[:3] == [0, 0, 0]
    assert here[3] != 0
    assert (after["CapPrm"], after["CapEff"], after["NoNewPrivs"]) == (EMPTY, EMPTY, "1")


@pytest.mark.needs("user")
def test_an_ordinary_user_is_left_alone() -> None:
    here, after, uid, _, _ = run(AFTER_EXEC)
    assert here[:3] == [0, 0, 0]
    assert (after["CapPrm"], after["CapEff"], after["NoNewPrivs"]) == (EMPTY, EMPTY, "1")
    assert uid == os.getuid()


@pytest.mark.needs("root")
def test_effective_alone_can_be_raised_again() -> None:
    snippet = """
    full = caps.read()
    caps.set_effective(0)
    none = caps.read()
    caps.set_effective(1 << caps.CAP_KILL)
    print(json.dumps([none.effective, none.permitted == full.permitted, caps.read().effective]))
    """
    assert run(snippet) == [0, True, 1 << 5]


def test_a_capability_that_stays_is_an_error() -> None:
    """A capset that pretends to work (another sandbox answering for it) is noticed."""
    snippet = """
    from supervisor.vocabulary.errors import HostError
    caps._capset = lambda *sets: None
    caps.read = lambda process="self": caps.CapSets(0, 1, 1, 1, 0)
    caps._empty_bounding = lambda: None
    caps.prctl = lambda *args: 1
    try:
        caps.drop_all()
        print(json.dumps("dropped"))
    except HostError as error:
        print(json.dumps(error.what))
    """
    assert run(snippet) == "capabilities could not be given up"
