"""Escape 395: a run leaves its cgroup, or lifts its limits there; as root the files are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import own_group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("landlock", "notify", "one who may make a cgroup")
TRY = """
import os, sys
base = sys.argv[1]
name = open("/proc/self/cgroup").read().split("0::")[1].strip().rsplit("/")[-1]
own = base + "/" + name
assert os.path.isdir(own), own
def attempt(what, act):
    try:
        act()
        print("did", what)
    except OSError as error:
        print("no", what, error.errno)
def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text)
attempt("leave", lambda: write(base + "/cgroup.procs", b"0"))
attempt("thaw", lambda: write(own + "/cgroup.freeze", b"0"))
attempt("lift", lambda: write(own + "/cgroup.max.descendants", b"max"))
attempt("below", lambda: os.mkdir(own + "/below"))
attempt("beside", lambda: os.mkdir(base + "/beside-govrun"))
attempt("rename", lambda: os.rename(own, own + "x"))
attempt("give", lambda: os.chmod(own + "/cgroup.procs", 0o666))
print("in", open("/proc/self/cgroup").read().split("0::")[1].strip().rsplit("/")[-1])
"""


def test_nothing_in_it_can_be_written(repo: Path, govrun: Govrun) -> None:
    base = own_group()
    assert base is not None
    (repo / "govrun.toml").write_text("version = 1\n[scope]\nprocesses = 100\n")
    outcome = govrun("/usr/bin/python3", "-c", TRY, str(base))
    told = outcome.stdout.decode().splitlines()
    assert len(told) == 8 and not [line for line in told if line.startswith("did")], (told, outcome.stderr)
    assert told[-1] == f"in govrun-{outcome.run}"
    assert outcome.denied("scope.write")
    left = [path.name for path in base.iterdir() if outcome.run in path.name or "beside" in path.name]
    assert not left
