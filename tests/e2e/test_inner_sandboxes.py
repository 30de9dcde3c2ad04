"""Programs that want other rights or other namespaces than the run has: refused by the kernel, with a reason of ours;
and terminal multiplexers, which would be a way out if they were the user's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

RIGHTS = "gains no rights in a run"
SPACES = "gets no new namespaces, mounts or roots in a run"
WANTS = {
    "su nobody -s /bin/sh -c true": RIGHTS,
    "sudo -n true": RIGHTS,
    "ping -c1 -W1 127.0.0.1": RIGHTS,
    "fusermount3 -u src": RIGHTS,
    "bwrap --ro-bind / / true": SPACES,
    "unshare -r true": SPACES,
    "unshare --net true": SPACES,
    "mount -t tmpfs x src": SPACES,
    "nsenter -t 1 -m true": SPACES,
    "/usr/sbin/chroot . true": SPACES,
}


@pytest.mark.parametrize("words", WANTS)
def test_refused_with_a_reason(govrun: Govrun, repo: Path, words: str) -> None:
    name = words.split(maxsplit=1)[0]
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    outcome = govrun("bash", "-c", f"for i in 1 2 3; do {words} </dev/null; done; echo $?; ls src")
    assert outcome.stdout.splitlines()[-1] == b"app.py"
    if name != "ping":  # which needs no rights where the host lets everybody ping
        assert outcome.stdout.splitlines()[-2] != b"0", outcome.stderr
    assert outcome.stderr.count(f"govrun: note: {os.path.basename(name)} {WANTS[words]}") == 1, outcome.stderr


def test_nothing_is_said_of_those_that_work(govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "mount > /dev/null; bash -c true; /usr/bin/env true").ok()
    assert "govrun: note:" not in outcome.stderr


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name, for a socket in it (108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.needs("tmux")
def test_tmux_is_the_runs_own(govrun: Govrun, repo: Path, short: Path) -> None:
    """By its usual name: a server of the run's, governed like everything else; the user's own is not reached."""
    env = {"TMUX_TMPDIR": str(short)}
    assert (
        govrun.bare("tmux", "-f", "/dev/null", "new-session", "-d", "-s", "users", "sleep 60", env=env).returncode == 0
    )
    script = (
        "tmux -f /dev/null new-session -d "
        "'echo in > inside; echo out > $HOME/outside; tmux wait-for -S ended; sleep 9';"
        "tmux wait-for ended; tmux list-sessions -F '#{session_name}'"
    )
    try:
        outcome = govrun("bash", "-c", script, env=env, timeout=30).ok()
    finally:
        subprocess.run(["tmux", "kill-server"], env=govrun.env | env, check=False, capture_output=True)
    assert outcome.stdout == b"0\n"
    assert (repo / "inside").read_text() == "in\n"
    assert not (govrun.home / "outside").exists()
    assert outcome.denied("scope.write")


@pytest.mark.needs("user")  # as root it hands its terminal to the group tty, which a run may not
@pytest.mark.skipif(shutil.which("screen") is None, reason="needs screen")
def test_screen_is_the_runs_own(govrun: Govrun, repo: Path) -> None:
    script = (
        "screen -dmS x bash -c 'echo in > inside; echo out > $HOME/outside; sleep 60';"
        "until [ -s inside ]; do sleep 0.05; done; screen -ls | grep -c '\\.x'; screen -S x -X quit"
    )
    outcome = govrun("bash", "-c", script, timeout=30)
    assert outcome.stdout.splitlines()[0] == b"1", outcome.stderr
    assert not (govrun.home / "outside").exists()
