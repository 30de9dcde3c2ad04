"""Single system calls of the supervisor fail, one at a time: a refusal or a stopped run, never an unjudged act."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import supervisor_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun

SCRIPT = """
touch ready; while [ ! -e go ]; do sleep 0.02; done
echo x > $HOME/outside; mkdir d; echo y > d/f; mv d/f d/g; rm -r d; echo x > $HOME/outside; /bin/true
ln -s $HOME/outside l; echo x > l; chmod 777 $HOME/victim; git commit -q --allow-empty -m one
echo x > .git/hooks/pre-commit; echo x > $HOME/outside; cat $HOME/.ssh/id; echo finished
"""
FAULTS = [
    ("write", "ENOSPC"),
    ("openat", "EMFILE"),
    ("openat2", "EMFILE"),
    ("newfstatat", "EIO"),
    ("fstat", "EIO"),
    ("readlinkat,readlink", "EACCES"),
    ("process_vm_readv", "EPERM"),
    ("pread64,read", "EIO"),
    ("ptrace", "EPERM"),
    ("pidfd_open", "ESRCH"),
    ("pidfd_getfd", "EPERM"),
    ("ioctl", "EINVAL"),  # not ENOENT: it says that the caller is gone, and then the caller is not waited for
    ("mkdirat,renameat2,unlinkat,symlinkat", "EIO"),
    ("clone,fork,vfork,clone3", "EAGAIN"),
    ("mmap", "ENOMEM"),
]


@pytest.mark.needs("strace", "root")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("calls", "error"), FAULTS)
@pytest.mark.parametrize("when", ["1", "3", "7+11"])
def test_failing_call(govrun: Govrun, repo: Path, home: Path, calls: str, error: str, when: str) -> None:
    """strace, attached to the supervisor alone, lets the n-th of the named calls fail."""
    (home / "victim").write_text("original\n")
    (home / "victim").chmod(0o644)
    (home / ".ssh").mkdir()
    (home / ".ssh/id").write_text("not-a-real-key\n")
    running = govrun.start("bash", "-c", SCRIPT)
    until((repo / "ready").exists, running)
    supervisor = supervisor_of(running)
    inject = f"inject={calls}:error={error}:when={when}"
    words = ["strace", "-q", "-o", "/dev/null", "-p", str(supervisor.pid), "-e", f"trace={calls}", "-e", inject]
    tracer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + 20
    status = Path(f"/proc/{supervisor.pid}/status")
    # Gone already: the first call that failed ended the run.
    while status.exists() and f"TracerPid:\t{tracer.pid}" not in _text(status) and tracer.poll() != 0:
        assert tracer.poll() is None and time.monotonic() < end, "strace did not attach"
        time.sleep(0.02)
    (repo / "go").touch()
    try:
        outcome = running.wait(90)
    finally:
        tracer.terminate()
        tracer.communicate(timeout=20)
    assert not (home / "outside").exists()
    assert (home / "victim").stat().st_mode & 0o777 == 0o644
    assert not (repo / ".git/hooks/pre-commit").exists()
    assert b"not-a-real-key" not in outcome.stdout
    assert "Traceback" not in outcome.stderr
    assert outcome.code in (0, 121) or outcome.code < 128, outcome.stderr
    assert outcome.code == 121 or b"finished" in outcome.stdout or outcome.code != 0, outcome.stderr


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
