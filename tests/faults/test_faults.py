"""The supervisor's own means fail: the run is stopped or refused, never let go on unrecorded."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.rule_kit import supervisor_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun

WORK = "for i in $(seq 100000); do echo $i > n; done; echo finished"


@pytest.mark.timeout(180)
def test_journal_cannot_grow(govrun: Govrun, repo: Path) -> None:
    """A file size limit on the supervisor alone: the first event that cannot be recorded ends the run."""
    running = govrun.start("bash", "-c", "touch ready; " + WORK)
    until((repo / "ready").exists, running)
    supervisor = supervisor_of(running)
    supervisor.rlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    outcome = running.wait(120)
    assert outcome.code == 121, outcome.stderr
    assert b"finished" not in outcome.stdout
    assert "journal" in outcome.stderr and "Traceback" not in outcome.stderr
    before = sorted(path.stat().st_mtime_ns for path in repo.iterdir())
    time.sleep(0.3)
    assert sorted(path.stat().st_mtime_ns for path in repo.iterdir()) == before


@pytest.mark.needs("root")
@pytest.mark.timeout(180)
def test_state_on_a_full_disk(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """A small file system in a mount namespace of the test's own holds the state; it fills up during the run."""
    small = tmp_path / "small"
    small.mkdir()
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", "bash", "-c", WORK))
    script = (
        f"mount -t tmpfs -o size=1m,mode=700 none {small} && cd {repo} && {words}; code=$?; cp -r "
        f"{small}/govrun/runs {tmp_path}/kept; exit $code"
    )
    done = govrun.bare("unshare", "-m", "bash", "-c", script, env={"XDG_STATE_HOME": str(small)}, timeout=120)
    assert done.returncode == 121, done.stderr
    assert b"finished" not in done.stdout
    assert b"space" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.needs("root")
def test_state_on_a_disk_that_is_full_already(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", "touch", "mark"))
    fill = f"head -c 2m /dev/zero > {small}/full 2>/dev/null"
    script = f"mount -t tmpfs -o size=64k,mode=700 none {small} && ({fill}; cd {repo} && {words})"
    done = govrun.bare("unshare", "-m", "bash", "-c", script, env={"XDG_STATE_HOME": str(small)}, timeout=60)
    assert done.returncode in (121, 125), done.stderr
    assert b"Traceback" not in done.stderr and b"fix: " in done.stderr
    assert not (repo / "mark").exists()


def test_full_tree(govrun: Govrun, repo: Path) -> None:
    """What the run's own disk lacks is the run's own error: as bare, and no verdict."""
    script = "ulimit -f 1; head -c 100000 /dev/zero > big; echo $?"
    bare = govrun.bare("bash", "-c", script)
    outcome = govrun("bash", "-c", script)
    assert outcome.stdout == bare.stdout
    assert (repo / "big").stat().st_size == 1024
    assert not outcome.denied()


@pytest.mark.timeout(180)
def test_supervisor_out_of_descriptors(govrun: Govrun, repo: Path) -> None:
    """EMFILE in the supervisor: acts are refused or the run is stopped; nothing slips through unjudged."""
    script = (
        "touch ready; while [ ! -e go ]; do sleep 0.02; done; for i in $(seq 50); do echo x > "
        "$HOME/outside; echo x > README.md; done; echo finished"
    )
    running = govrun.start("bash", "-c", script)
    until((repo / "ready").exists, running)
    supervisor = supervisor_of(running)
    (repo / "go").touch()
    supervisor.rlimit(resource.RLIMIT_NOFILE, (8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    outcome = running.wait(120)
    assert not (govrun.home / "outside").exists()
    assert "Traceback" not in outcome.stderr
    assert outcome.code == 121 or b"finished" in outcome.stdout, outcome.stderr
    assert govrun("true").code == 0


def test_few_descriptors_from_the_start(govrun: Govrun, repo: Path) -> None:
    """`ulimit -n 64` in the user's shell is enough, and the command sees the limit it was given."""
    words = " ".join(
        f"'{os.fsdecode(word)}'"
        for word in govrun.argv("--", "bash", "-c", "ulimit -n; echo x > f; git status --porcelain")
    )
    done = govrun.bare("bash", "-c", f"ulimit -n 64; {words}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == b"64"


def test_many_open_files(govrun: Govrun, repo: Path) -> None:
    """The run opens all the files it may; the supervisor keeps judging."""
    code = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.mkdir("d"); held = []
try:
    while True: held.append(open(f"d/{len(held)}", "w"))
except OSError as error: print(error.errno, len(held) > 900)
for each in held: each.close()
print(len(os.listdir("d")) - len(held))
try: open(os.environ["HOME"] + "/outside", "w")
except OSError as error: print(error.errno)
"""
    outcome = govrun("/usr/bin/python3", "-c", code)
    assert outcome.ok().stdout == b"24 True\n0\n13\n", outcome.stdout
    assert outcome.denied("scope.write")


def publisher_of(supervisor: psutil.Process) -> psutil.Process | None:
    for child in supervisor.children(recursive=True):
        try:
            if any("publish" in word for word in child.cmdline()):
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def writers_of_notes(run_dir: Path | None) -> list[int]:
    """Processes whose arguments name the run's folder."""
    found = []
    for each in psutil.process_iter(["cmdline", "status"]):
        if each.info["status"] != psutil.STATUS_ZOMBIE and str(run_dir) in (each.info["cmdline"] or []):
            found.append(each.pid)
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_publisher_lost(govrun: Govrun, repo: Path, number: signal.Signals) -> None:
    """The writer of notes dies or hangs: the agent is not held, and the loss is told, not passed over."""
    script = (
        "git commit -q --allow-empty -m one; touch ready; while [ ! -e go ]; do sleep 0.02; done; "
        "git commit -q --allow-empty -m two; echo finished"
    )
    running = govrun.start("bash", "-c", script)
    until((repo / "ready").exists, running)
    supervisor = supervisor_of(running)
    found = None
    end = time.monotonic() + 20
    while found is None and time.monotonic() < end:
        found = publisher_of(supervisor)
        time.sleep(0.02)
    assert found is not None, "no publisher was started after the first commit"
    found.send_signal(number)
    (repo / "go").touch()
    outcome = running.wait(120)
    assert b"finished" in outcome.stdout
    assert outcome.code in (0, 121), outcome.stderr
    assert "Traceback" not in outcome.stderr
    shown = govrun.bare("git", "log", "-2", "--notes=govrun").stdout.decode()
    if number == signal.SIGKILL:  # what it owed is written from the journal
        assert shown.count("govrun/1 PASSED") == 2 and "not all notes" not in outcome.stderr, (outcome.stderr, shown)
    assert "note" in outcome.stderr or shown.count("govrun/1 PASSED") == 2, (outcome.stderr, shown)
    assert govrun.bare("git", "fsck").returncode == 0
    if found.is_running():
        found.kill()


def test_state_folder_removed_during_the_run(govrun: Govrun, repo: Path) -> None:
    """By somebody outside: what was opened goes on being written; the end may fail to be stored, and says so."""
    running = govrun.start(
        "bash",
        "-c",
        "touch ready; while [ ! -e go ]; do sleep 0.02; done; echo x > $HOME/outside; echo x > f; echo finished",
    )
    until((repo / "ready").exists, running)
    subprocess.run(["rm", "-rf", str(govrun.state / "runs")], check=True)
    (repo / "go").touch()
    process = running.process
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1, 121), err
    assert not (govrun.home / "outside").exists()
    assert b"Traceback" not in err


@pytest.mark.parametrize("stays", [False, True])
def test_repository_locked_for_notes(govrun: Govrun, repo: Path, stays: bool) -> None:
    """By a lock that a killed git has left, or by what nobody can take away: the run is not held, and a note that is
    missing is told."""
    lock = repo / ".git/refs/notes/govrun.lock"
    (lock / "x" if stays else lock.parent).mkdir(parents=True)
    if not stays:
        lock.touch()
    outcome = govrun("bash", "-c", "git commit -q --allow-empty -m one; echo finished", timeout=100)
    assert outcome.stdout == b"finished\n"
    assert ("note" in outcome.stderr) == stays, outcome.stderr
    assert stays or outcome.run in govrun.bare("git", "notes", "--ref=govrun", "show").stdout.decode()
    assert "Traceback" not in outcome.stderr
    left = writers_of_notes(outcome.run_dir)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "the writer of notes outlives the run"
