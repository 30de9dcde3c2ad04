"""SIGKILL at random moments of a run with commits and reverts: afterwards the record is whole, the tree is in a state
that it tells of, and no note is lost. ``GOVRUN_KILLS`` sets how many moments each way of killing is tried at."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from supervisor.trees.looking import look
from supervisor.trees.states import read_states
from tests.e2e.rule_kit import command_line

if TYPE_CHECKING:
    from tests.conftest import Govrun, Running

KILLS = int(os.environ.get("GOVRUN_KILLS", "3"))
PROFILE = """version = 1
[[dependency]]
id = "one-http"
why = "one client"
deny = ["pypi:requests"]
then = "revert"
"""
WORK = """i=0
while [ $i -lt 40 ]; do
  i=$((i + 1))
  echo "x = $i" > src/m$i.py
  echo "import requests" > src/bad.py
  mv src/m$i.py src/n$i.py; rm -f src/n$((i - 2)).py
  git add src/n$i.py; git commit -qm "c$i"
done
"""


def git(repo: Path, *words: str) -> str:
    named = ("-c", "user.name=n", "-c", "user.email=e@example.invalid")
    return subprocess.run(["git", *named, *words], cwd=repo, check=True, capture_output=True, text=True).stdout.strip()


def victims(running: Running, which: str) -> list[psutil.Process]:
    family = psutil.Process(running.process.pid).children(recursive=True)
    if which == "all":
        return [psutil.Process(running.process.pid), *family]
    if which == "publisher":
        return [each for each in family if "supervisor.provenance.publish" in command_line(each)]
    return family[:1]  # the supervisor is the guard's only child


def ours(run_dir: Path) -> list[int]:
    """Processes that still name the run's folder."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        if any(str(run_dir) in word for word in each.info["cmdline"] or []):
            found.append(each.pid)
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", ["all", "supervisor", "publisher"])
def test_killed_at_any_moment(govrun: Govrun, repo: Path, which: str) -> None:
    (repo / "govrun.toml").write_text(PROFILE)
    (repo / "requirements.txt").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "profile")
    govrun.env["GIT_AUTHOR_DATE"] = "2026-01-01T00:00:00Z"
    chance, killed = random.Random(which), 0
    files, commits = 0, 0
    for moment in range(KILLS):
        base = git(repo, "rev-parse", "HEAD")
        before = len(journals(govrun))
        running = govrun.start("bash", "-c", WORK)
        while len(journals(govrun)) == before:
            assert running.process.poll() is None, running.wait().stderr
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 1.0))
        try:
            while not (found := victims(running, which)) and running.process.poll() is None:
                time.sleep(0.01)  # there is none before the first commit
            for each in found:
                each.send_signal(signal.SIGKILL)
                killed += 1
        except psutil.NoSuchProcess:
            pass  # it was quicker
        running.process.wait(60)
        running.process.communicate()
        compared = check(govrun, repo, base, f"{which}, moment {moment}")
        files, commits = files + compared[0], commits + compared[1]
    assert killed and files and commits, (killed, files, commits)


def journals(govrun: Govrun) -> list[Path]:
    return list(govrun.state.glob("runs/*/journal.jsonl"))


def check(govrun: Govrun, repo: Path, base: str, moment: str) -> tuple[int, int]:
    """How many files and commits were compared with what the record says of them."""
    end = time.monotonic() + 30
    while (told := govrun.cli("recover", timeout=100)).code and time.monotonic() < end:
        time.sleep(0.2)  # what is killed may take a moment to go
    assert told.code == 0, (moment, told.stdout, told.stderr)
    run_dir = sorted((govrun.state / "runs").iterdir())[-1]
    while ours(run_dir) and time.monotonic() < end:
        time.sleep(0.05)
    assert not ours(run_dir), moment
    assert govrun.cli("log", run_dir.name).code == 0, moment
    # A lock of git's own that a killed git has left is for its user to remove.
    for lock in (repo / ".git/index.lock", repo / ".git/HEAD.lock", *(repo / ".git/refs/heads").rglob("*.lock")):
        lock.unlink(missing_ok=True)
    known = read_states(run_dir).at(None)
    left = {path: kept for path, kept in known.items() if not look(path, None).same_as(kept)}
    assert left == {}, moment
    if (run_dir / "lineage.jsonl").exists():
        lines = [json.loads(line) for line in (run_dir / "lineage.jsonl").read_text().splitlines()[1:]]
        assert [each["pre"] for each in lines[1:]] == [each["post"] for each in lines[:-1]], moment
    commits = git(repo, "rev-list", f"{base}..HEAD").split()
    for commit in commits:
        assert run_dir.name in git(repo, "notes", "--ref", "govrun", "show", commit), (moment, commit)
    assert govrun.cli("verify", run_dir.name).code == 0, (moment, govrun.cli("verify", run_dir.name).stdout)
    return len(known), len(commits)
