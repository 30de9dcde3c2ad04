"""``processes``, ``memory``, ``cpu`` and ``disk`` of ``[scope]`` in real runs, and what is left behind afterwards."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.conftest import may_group
from tests.e2e.rule_kit import clean, command_line, note, supervisor_of, tree_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record, Running

PYTHON = "/usr/bin/python3"
FORKS = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(120)
time.sleep(float(sys.argv[2]))
os.killpg(0, 9) if len(sys.argv) > 3 else None
"""
# Each child forks two more, so that nobody who is asked to stop is the last one; the sum is bounded, for the machine.
BOMB = """
import os, time
for _ in range(9):
    os.fork()
time.sleep(120)
"""
BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


def tree(govrun: Govrun, repo: Path, limits: str, script: str = "", then: str = "") -> Path:
    said = f'then = "{then}"\n' if then else ""
    text = f'version = 1\n[scope]\nadr = "0003"\nuse = "ask for more"\n{said}{limits}\n'
    return tree_of(govrun, repo, text, {"act.py": script})


def spoken(outcome: Outcome, key: str) -> list[Record]:
    found = [each for each in outcome.journal if each.get("invariant") == f"scope.{key}"]
    assert all(each["adr"] == "0003" and len(each["adr_blob"]) == 40 for each in found)
    return found


def stopped(govrun: Govrun, repo: Path, outcome: Outcome, key: str, told: str) -> Record:
    """The run was ended for one limit: told, recorded, noted; nobody of it is left, and no group."""
    assert outcome.code == 122, outcome.stderr
    (record,) = spoken(outcome, key)
    assert (record["verdict"], record["op"]["call"]) == ("kill", key)
    assert f"crossed by scope.{key}" in outcome.stderr and told in outcome.stderr and "ask for more" in outcome.stderr
    assert f"scope.{key}<-0003=1" in note(govrun, repo) and " FAILED " in note(govrun, repo)
    nothing_left(repo, outcome)
    return record


def nothing_left(repo: Path, outcome: Outcome) -> None:
    left = [each.info["cmdline"] for each in psutil.process_iter(["cmdline", "cwd"]) if each.info["cwd"] == str(repo)]
    assert not left
    assert outcome.run_dir is not None
    path = json.loads((outcome.run_dir / "meta.json").read_text()).get("cgroup")
    assert (path is not None) == may_group()
    assert path is None or not list(Path(path).parent.glob(Path(path).name + "*"))


# ---- each limit -------------------------------------------------------------------------------------------------


def test_within_all_limits(repo: Path, govrun: Govrun) -> None:
    limits = 'processes = 60\nmemory = "500M"\ncpu = "60s"\ndisk = "100M"\n'
    tree(govrun, repo, limits, FORKS + "\nopen('f', 'wb').write(bytes(1 << 20))")
    outcome = clean(govrun("sh", "-c", f"{PYTHON} act.py 0 0.5; git add -A; git commit -qm more; echo $?"))
    assert outcome.stdout == b"0\n" and " PASSED " in note(govrun, repo)
    nothing_left(repo, outcome)


def test_too_many_processes(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 30", FORKS)
    stopped(govrun, repo, govrun(PYTHON, "act.py", "80", "120"), "processes", "at most 30 processes and threads")


def test_a_fork_bomb_ends_and_leaves_nothing(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 60", BOMB)
    stopped(govrun, repo, govrun(PYTHON, "act.py"), "processes", "at most 60 processes and threads")


def test_too_much_memory(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, 'memory = "150M"', "import time\nx = bytearray(300 << 20)\ntime.sleep(120)")
    stopped(govrun, repo, govrun(PYTHON, "act.py"), "memory", "at most 150 MiB")


def test_too_much_processor_time(repo: Path, govrun: Govrun) -> None:
    """Also where no program lives long."""
    tree(govrun, repo, 'cpu = "2s"', BURN.format(0.4))
    outcome = govrun("sh", "-c", f"while true; do {PYTHON} act.py; done")
    stopped(govrun, repo, outcome, "cpu", "at most 2 s of processor time")
    assert len(outcome.records(kind="exec", phase="intent")) < 12


def test_too_much_written(repo: Path, govrun: Govrun) -> None:
    script = "import time\nwith open('large', 'wb') as f:\n    for _ in range(40): f.write(bytes(1 << 20)); f.flush()\n"
    tree(govrun, repo, 'disk = "16M"', f"{script}time.sleep(120)")
    stopped(govrun, repo, govrun(PYTHON, "act.py"), "disk", "at most 16 MiB")


def test_warned_of_and_not_ended(repo: Path, govrun: Govrun) -> None:
    waits = "while not os.path.exists(sys.argv[2]): time.sleep(0.05)"
    tree(govrun, repo, "processes = 20", FORKS.replace("time.sleep(float(sys.argv[2]))", waits), then="warn")
    running = govrun.start("sh", "-c", f"setsid {PYTHON} act.py 40 told end; echo done")
    until(lambda: [each for each in running.journal() if each.get("verdict") == "warn"], running)
    (repo / "told").touch()
    outcome = running.wait().ok()
    assert outcome.stdout == b"done\n"
    (record,) = spoken(outcome, "processes")
    assert record["verdict"] == "warn" and "crossed by scope.processes" in outcome.stderr
    assert " WARNED " in note(govrun, repo)


def test_held_still_until_a_person_has_looked(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, 'cpu = "1s"', BURN.format(120), then="pause")
    running = govrun.start(PYTHON, "act.py")

    def states() -> list[str]:
        return [json.loads(line)["state"] for line in govrun.cli("ps", "--json").ok().stdout.splitlines()]

    until(lambda: states() == ["paused"], running)
    here = [each for each in psutil.process_iter(["cwd", "cmdline"]) if each.info["cwd"] == str(repo)]
    (burning,) = [each for each in here if (each.info["cmdline"] or ())[1:] == ["act.py"]]
    if may_group():  # what only computes asks for nothing that would not be answered
        before = burning.cpu_times().user
        time.sleep(0.5)
        assert burning.cpu_times().user == before
    govrun.cli("resume").ok()
    until(lambda: len([each for each in running.journal() if each.get("verdict") == "pause"]) == 2, running)
    until(lambda: states() == ["paused"], running)
    govrun.cli("stop").ok()
    outcome = running.wait()
    assert outcome.code == 122 and len(spoken(outcome, "cpu")) == 2
    nothing_left(repo, outcome)


# ---- what the kernel holds --------------------------------------------------------------------------------------


@pytest.mark.needs("one who may limit a cgroup")
def test_the_kernel_refuses_and_the_run_goes_on(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 20", f"try:\n    exec({FORKS!r})\nexcept BlockingIOError: print('no')")
    outcome = govrun("sh", "-c", f"setsid {PYTHON} act.py 60 1 end; sleep 1; echo on").ok()
    assert b"no\n" in outcome.stdout and outcome.stdout.endswith(b"on\n")
    (record,) = spoken(outcome, "processes")
    assert (record["verdict"], record["outcome"], record["coverage"]) == ("deny", "blocked", "enforced")
    nothing_left(repo, outcome)


@pytest.mark.needs("user")
def test_a_burst_between_two_looks_is_bounded(repo: Path, govrun: Govrun) -> None:
    """Where nothing holds the number, the limit that all of the user's processes share does."""
    tree(govrun, repo, "processes = 30", "import resource\nprint(resource.getrlimit(resource.RLIMIT_NPROC)[0])")
    most = int(clean(govrun(PYTHON, "act.py")).stdout)
    inherited = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if may_group("pids"):
        assert most == inherited
    else:
        assert 30 < most < (1 << 20 if inherited == resource.RLIM_INFINITY else inherited)


def test_one_process_alone_is_held_by_the_kernel_too(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, 'cpu = "90s"', "import resource\nprint(*resource.getrlimit(resource.RLIMIT_CPU))")
    assert clean(govrun(PYTHON, "act.py")).stdout == b"92 92\n"


# ---- crashes ----------------------------------------------------------------------------------------------------


def started(running: Running, repo: Path) -> None:
    until(lambda: (repo / "ready").exists(), running)


ORPHAN = "touch ready; setsid sleep 120 & sleep 120"


def test_a_killed_supervisor_leaves_no_group(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 60")
    running = govrun.start("sh", "-c", ORPHAN)
    started(running, repo)
    supervisor_of(running).kill()
    outcome = running.wait()
    assert outcome.code == 121, outcome.stderr
    nothing_left(repo, outcome)


@pytest.mark.needs("one who may make a cgroup")
def test_recover_ends_what_is_left_in_the_group_where_nobody_could(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 60")
    running = govrun.start("sh", "-c", ORPHAN)
    started(running, repo)
    supervisor = supervisor_of(running)
    os.kill(running.process.pid, signal.SIGSTOP)
    supervisor.kill()
    running.process.kill()
    running.process.wait()
    assert b"cgroup removed" in govrun.cli("recover").stdout
    nothing_left(repo, running.wait())


def test_when_what_measures_is_killed_the_run_stops(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "processes = 60")
    running = govrun.start("sh", "-c", "touch ready; sleep 120; sleep 120")
    started(running, repo)
    below = supervisor_of(running).children()
    (meter,) = [each for each in below if command_line(each)[1:3] == ["-I", "-m"]]
    meter.kill()
    outcome = running.wait()
    assert outcome.code == 121 and "not measured any more" in outcome.stderr
    nothing_left(repo, outcome)


# ---- said before ------------------------------------------------------------------------------------------------


def test_explain_says_how_firmly(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, 'processes = 30\nmemory = "1G"\ncpu = "10m"\ndisk = "1G"')
    found = json.loads(govrun.cli("explain", "--json").ok().stdout)["invariants"]
    told = {each["invariant"]: (each["coverage"], each["note"]) for each in found}
    for key, controller in (("processes", "pids"), ("memory", "memory")):
        coverage, why = told[f"scope.{key}"]
        assert coverage == ("enforced" if may_group(controller) else "observed")
        assert "cgroup" in why
    assert told["scope.cpu"][0] == told["scope.disk"][0] == "observed"
    shown = govrun.cli("explain").ok().stdout.decode()
    assert "scope.processes" in shown and "unenforceable" not in shown
    plan = json.loads(govrun("true", options=["--dry-run", "--json"]).ok().stdout)
    assert plan["limits"]["processes"] == 30 and plan["limits"]["cpu"] == 600


def test_a_level_that_cannot_be_had_stops_the_start(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, 'cpu = "10m"')
    profile = repo / "govrun.toml"
    profile.write_text(profile.read_text().replace("version = 1\n", 'version = 1\nrequire = "enforced"\n'))
    outcome = govrun("true")
    assert outcome.code == 125 and "scope.cpu is observed here" in outcome.stderr
