"""`govrun recover`: what a killed run left half-done is brought to an end; live runs are left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from supervisor.journal.store import new_run, read_meta, state_dir, write_meta
from supervisor.journal.writer import Journal

if TYPE_CHECKING:
    from tests.conftest import Govrun, Running

PROFILE = """
version = 1
[[dependency]]
id   = "one-http-client"
why  = "one client"
deny = ["pypi:requests"]
"""
# Every write breaks the rule, in many files at once.
WRITER = """
import os, sys
number = 0
while True:
    for name in range(20):
        with open(f"src/f{name}.py", "w") as file:
            file.write(f"import requests  # {number}\\n")
    os.stat("/bin/true"); os.system(":")
    number += 1
"""


def kill(running: Running) -> None:
    """Everything of it at once: guard, supervisor and agent."""
    guard = psutil.Process(running.process.pid)
    family = [guard, *guard.children(recursive=True)]
    for member in family:
        try:
            member.send_signal(signal.SIGSTOP)
        except psutil.NoSuchProcess:
            continue
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    running.process.communicate(timeout=20)
    psutil.wait_procs(family, timeout=10)


def reverts(running: Running) -> int:
    return sum(1 for each in running.journal() if each.get("outcome") == "reverted")


def documents(govrun: Govrun, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in govrun.cli("recover", "--json", *words).ok().stdout.splitlines()]


def ours(tree: Path) -> list[Path]:
    return list(tree.rglob(".govrun-*"))


@pytest.mark.parametrize("elsewhere", [False, True], ids=["staging", "beside"])
def test_killed_in_the_middle_of_reverts(repo: Path, govrun: Govrun, elsewhere: bool) -> None:
    if elsewhere:
        govrun.env["XDG_STATE_HOME"] = f"/dev/shm/govrun-test-{os.getpid()}"
        os.makedirs(govrun.env["XDG_STATE_HOME"], exist_ok=True)
    try:
        _killed(repo, govrun)
    finally:
        if elsewhere:
            subprocess.run(["rm", "-rf", govrun.env["XDG_STATE_HOME"]], check=True)


def _killed(repo: Path, govrun: Govrun) -> None:
    (repo / "govrun.toml").write_text(PROFILE)
    for number in range(20):
        (repo / "src" / f"f{number}.py").write_text(f"accepted = {number}\n")
    (repo / "writer.py").write_text(WRITER)
    for round_ in range(2):
        running = govrun.start("python3", "writer.py")
        end = time.monotonic() + 60
        # The newest journal is that of the round before until this one begins.
        while (
            len(list((govrun.state / "runs").glob("*/journal.jsonl"))) <= round_ or reverts(running) < 20 + 13 * round_
        ):
            assert running.process.poll() is None, running.wait().stderr
            assert time.monotonic() < end
            time.sleep(0.01)
        kill(running)
        folder = sorted((govrun.state / "runs").iterdir())[-1]
        scratch = [Path(base) / f"govrun-{folder.name[-12:].lower()}" for base in ("/tmp", "/var/tmp", "/dev/shm")]
        left = [path for path in scratch if path.exists()]
        assert len(left) == 1
        assert "end" not in read_meta(folder)
        (found,) = documents(govrun)
        assert found["run"] == folder.name
        assert found["state"] == "recovered"
        assert not found["failed"]
        assert any(str(left[0]) in line for line in found["told"])
        assert not left[0].exists()
        assert not ours(repo)
        assert not ours(folder / "staging")
        end = read_meta(folder)["end"]
        assert isinstance(end, dict) and end.pop("counts")["attempted"] > 0
        assert end == {"status": "UNKNOWN", "reason": "crash", "exit": None, "code": 121}
        for number in range(20):
            # The accepted version, or the whole rejected one: no revert had begun there, or none was finished.
            text = (repo / "src" / f"f{number}.py").read_text()
            assert text in ("", f"accepted = {number}\n") or text.startswith("import requests  #"), text
        before = {path: path.read_bytes() for path in repo.rglob("*.py")}
        assert documents(govrun) == []
        assert govrun.cli("recover").ok().stdout == b"nothing to recover\n"
        assert b"it has ended" in govrun.cli("recover", folder.name).ok().stdout
        assert {path: path.read_bytes() for path in repo.rglob("*.py")} == before
        for number in range(20):
            (repo / "src" / f"f{number}.py").write_text(f"accepted = {number}\n")
        rows = [json.loads(line) for line in govrun.cli("runs", "--json").stdout.splitlines()]
        assert (rows[-1]["status"], rows[-1]["reason"]) == ("UNKNOWN", "crash")


def test_a_live_run_is_left_alone(repo: Path, govrun: Govrun) -> None:
    running = govrun.start("sh", "-c", "touch src/ready; sleep 30")
    while not (repo / "src" / "ready").exists():
        time.sleep(0.02)
    assert documents(govrun) == []
    assert b"it goes on" in govrun.cli("recover", "latest").ok().stdout
    (run,) = os.listdir(govrun.state / "runs")
    assert "end" not in read_meta(govrun.state / "runs" / run)
    assert Path(f"/tmp/govrun-{run[-12:].lower()}").is_dir()
    os.kill(running.process.pid, signal.SIGTERM)
    running.wait()
    assert documents(govrun) == []


def test_runs_that_only_begin_or_begun_long_ago(govrun: Govrun) -> None:
    state = state_dir(govrun.env)
    starting, folder = new_run(state)
    write_meta(folder, {"run": starting, "tree": "/t", "pid": os.getpid()})
    fresh, _ = new_run(state)
    dead = subprocess.Popen(["true"])
    dead.wait()
    crashed, folder = new_run(state)
    write_meta(folder, {"run": crashed, "tree": "/t\x1b[2J", "pid": dead.pid})
    held, folder = new_run(state)
    write_meta(folder, {"run": held, "tree": "/t", "pid": dead.pid})
    journal = Journal(folder, held)
    assert [each["run"] for each in documents(govrun)] == [crashed]
    for run in (starting, fresh, held):
        assert documents(govrun, run)[0]["state"] == "live"
    journal.close()
    shown = govrun.cli("recover").ok().stdout.decode()
    assert held in shown
    assert "marked UNKNOWN" in shown
    assert "\x1b" not in shown
    assert documents(govrun) == []


def test_somebody_elses_temporary_folder_stays(govrun: Govrun, tmp_path: Path) -> None:
    state = state_dir(govrun.env)
    run, folder = new_run(state)
    write_meta(folder, {"run": run, "tree": "/t", "pid": 2**22 + 1})
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    place = Path("/tmp") / f"govrun-{run[-12:].lower()}"
    place.symlink_to(tmp_path / "kept")
    try:
        assert [each["run"] for each in documents(govrun)] == [run]
        assert place.is_symlink()
        assert (tmp_path / "kept" / "file").exists()
    finally:
        place.unlink()


def test_unknown_and_none(govrun: Govrun) -> None:
    assert govrun.cli("recover").ok().stdout == b"nothing to recover\n"
    outcome = govrun.cli("recover", "ZZZ")
    assert outcome.code != 0
    assert "Traceback" not in outcome.stderr
