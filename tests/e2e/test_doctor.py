"""`govrun doctor` against what a run then does: in children whose kernel refuses, on small and read-only mounts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_bad_input import ENOSYS, EOPNOTSUPP, EPERM, LANDLOCK, SECCOMP, WITHOUT

if TYPE_CHECKING:
    from tests.conftest import Govrun

RESTRICT_SELF, PIDFD_OPEN, PIDFD_GETFD, VM_READV, PTRACE = 446, 434, 438, 310, 101
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of two calls are those of x86_64")


def without(govrun: Govrun, call: int, error: int, first: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    line = [os.fsdecode(word) for word in govrun.argv(*words)]
    return govrun.bare("/usr/bin/python3", "-I", "-c", WITHOUT, str(call), str(error), first, *line)


def told(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    assert b"Traceback" not in done.stderr and b"BUG" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("call", "error", "first", "name", "words"),
    [
        (LANDLOCK, ENOSYS, "", "landlock", "CONFIG_SECURITY_LANDLOCK=y"),
        (LANDLOCK, EOPNOTSUPP, "", "landlock", "GRUB_CMDLINE_LINUX"),
        (LANDLOCK, EPERM, "", "landlock", "--security-opt seccomp="),
        (RESTRICT_SELF, EPERM, "", "calls", "landlock_restrict_self: EPERM"),
        (PIDFD_OPEN, EPERM, "", "calls", "pidfd_open: EPERM"),
        (PIDFD_GETFD, EPERM, "", "calls", "--cap-add SYS_PTRACE"),
        (VM_READV, EPERM, "", "calls", "process_vm_readv: EPERM"),
        (PTRACE, EPERM, "", "calls", "ptrace: EPERM"),
        (SECCOMP, ENOSYS, "", "notify", "use 6.2 or newer"),
        (SECCOMP, EPERM, "1", "wait-killable", "use 6.2 or newer"),
        (SECCOMP, 16, "1", "wait-killable", "use 6.2 or newer"),
    ],
)
def test_kernel_that_refuses(
    govrun: Govrun, repo: Path, call: int, error: int, first: str, name: str, words: str
) -> None:
    """What the doctor calls missing stops a run, and nothing runs."""
    done = without(govrun, call, error, first, "doctor", "--json")
    found = told(done)
    assert done.returncode == 1 and found["can_start"] is False
    gap = next(each for each in found["gaps"] if each["name"] == name)
    assert gap["blocks"] and words in gap["what"] + gap["fix"], gap
    if call == LANDLOCK:  # the table is the same for all
        text = without(govrun, call, error, first, "doctor")
        assert text.returncode == 1 and f"missing: {gap['what']}".encode() in text.stdout
    real = without(govrun, call, error, first, "--", "touch", "mark")
    assert real.returncode in (125, 126) and not (repo / "mark").exists(), real.stderr
    assert b"BUG" not in real.stderr and b"fix: " in real.stderr, real.stderr


def test_here(govrun: Govrun) -> None:
    """And where nothing is missing a run starts."""
    done = govrun.cli("doctor", "--json").ok()
    found = json.loads(done.stdout)
    assert found["can_start"] is True
    assert found["premises"]["state"] == str(govrun.state) and not govrun.state.exists()
    govrun("true").ok()


@pytest.mark.needs("userns")
@pytest.mark.parametrize(
    ("mount", "name", "blocks"),
    [
        ("-o size=900k", "room", True),
        ("-o size=32m", "room", False),
        ("-o ro", "state", True),
        ("-o noexec", "", False),
    ],
)
def test_state_folder_on_other_mounts(
    govrun: Govrun, repo: Path, tmp_path: Path, mount: str, name: str, blocks: bool
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    script = f"mount -t tmpfs {mount} none {place} && cd {repo} && {line}"
    env = {"XDG_STATE_HOME": str(place)}
    done = govrun.bare("unshare", "-rm", "bash", "-c", f"{script} doctor --json", env=env)
    found = told(done)
    gaps = {gap["name"]: gap["blocks"] for gap in found["gaps"] if gap["name"] in ("room", "state")}
    assert gaps == ({name: blocks} if name else {})
    assert done.returncode == int(blocks) and found["premises"]["filesystem"] == "tmpfs"
    if mount != "-o size=900k":  # which holds a short run, and no longer one
        real = govrun.bare("unshare", "-rm", "bash", "-c", f"{script} -- true", env=env)
        assert real.returncode == (125 if blocks else 0), real.stderr


@pytest.mark.needs("bwrap", "userns")
def test_inside_bubblewrap(govrun: Govrun, repo: Path) -> None:
    """Another sandbox around it: a read-only home folder is told; with a state folder of its own runs start."""
    line = [os.fsdecode(word) for word in govrun.argv()]
    box = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--chdir", str(repo)]
    done = govrun.bare(*box, *line, "doctor", "--json")
    assert done.returncode == 1, done.stdout
    assert [gap["name"] for gap in told(done)["gaps"] if gap["blocks"]] == ["state"]
    box += ["--bind", str(repo), str(repo), "--tmpfs", str(govrun.home)]
    assert told(govrun.bare(*box, *line, "doctor", "--json"))["can_start"] is True
    assert govrun.bare(*box, *line, "--quiet", "--", "true").returncode == 0
