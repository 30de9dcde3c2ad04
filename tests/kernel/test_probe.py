"""Host facts: true here, cheap at a start, and each missing feature told with its fix."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.kernel import landlock, probe
from supervisor.kernel.gaps import gaps
from supervisor.vocabulary.host import Gap, HostFacts
from tests.kernel.subproc import ROOT, run

GOOD = HostFacts(
    release=(6, 18), release_text="6.18.0", machine="x86_64", machine_known=True, landlock_abi=7, notify=True,
    wait_killable=True, sync_wake_up=True, yama=1, root=False, libseccomp="2.5.4", bpf_jit=1, listener_errno=0,
    seccomp_filters=0, userns_errno=0,
)  # fmt: skip


def names(facts: HostFacts) -> dict[str, bool]:
    return {gap.name: gap.blocks for gap in gaps(facts)}


def test_start_facts_are_true() -> None:
    facts = probe.start_facts()
    assert facts.release_text == platform.release()
    assert facts.release == tuple(int(part) for part in platform.release().split(".")[:2])
    assert facts.landlock_abi == landlock.abi()
    actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split()
    assert facts.notify == ("user_notif" in actions)
    if facts.release >= (5, 19):
        assert facts.wait_killable
    assert facts.root == (os.geteuid() == 0)
    assert facts.inside_run == ""


def test_start_facts_neither_fork_nor_import(tmp_path: Path) -> None:
    snippet = """
    from supervisor.kernel import probe
    before = set(sys.modules)
    def refuse(*args, **kwargs): raise AssertionError("forked")
    os.fork = os.posix_spawn = refuse
    probe.start_facts()
    heavy = [name for name in ("subprocess", "typer", "pyseccomp") if name in sys.modules]
    print(json.dumps(sorted(set(sys.modules) - before) + heavy))
    """
    assert run(snippet) == []


@pytest.mark.needs("notify", landlock=2)
def test_host_tries_what_cannot_be_undone_in_children() -> None:
    snippet = """
    from supervisor.kernel import probe
    facts = probe.host()
    status = open("/proc/self/status").read()
    unchanged = ["Seccomp:\\t0" in status, "NoNewPrivs:\\t0" in status]
    print(json.dumps([facts.listener_errno, bool(facts.libseccomp), *unchanged]))
    """
    assert run(snippet) == [0, True, True, True]


@pytest.mark.needs("notify", "yama")
def test_under_another_listener() -> None:
    """Inside a process that has one: EBUSY is found and told; the run itself cannot start."""
    snippet = """
    from supervisor.kernel import probe
    told, seen, status = supervised(lambda: probe.host()._asdict(), answers={42: "continue", 157: errno.EINVAL})
    print(json.dumps(told))
    """
    facts = HostFacts(**run(snippet, supervised=True))
    assert facts.listener_errno == errno.EBUSY
    assert facts.inside_run == ""
    assert names(facts)["listener"] is True


@pytest.mark.needs("notify", "yama")
@pytest.mark.parametrize(("written", "found"), [(b"01J00000000000000000000000", True), (b"not an id", False)])
def test_inside_a_run(written: bytes, found: bool) -> None:
    """A supervisor that writes an id into the buffer is believed, one that answers 0 to everything is not."""
    snippet = f"""
    from supervisor.kernel import probe
    import ctypes
    def act():
        buffer = {written!r}
        real = probe.prctl
        def answered(option, address, size):
            real(option, address, size)
            ctypes.memmove(address, buffer, len(buffer))
            return 0
        probe.prctl = answered
        return probe.run_id()
    told, seen, status = supervised(act, answers={{157: 0}})
    print(json.dumps([told, seen]))
    """
    told, seen = run(snippet, supervised=True)
    assert told == (written.decode() if found else "")
    assert len(seen) == 1


def test_a_good_host_has_no_gaps() -> None:
    assert gaps(GOOD) == ()


def test_facts_not_looked_at_are_no_gaps() -> None:
    bare = GOOD._replace(libseccomp=None, bpf_jit=None, listener_errno=None, seccomp_filters=None, userns_errno=None)
    assert gaps(bare) == ()


@pytest.mark.parametrize(
    ("change", "name", "blocks"),
    [
        ({"machine_known": False, "machine": "riscv64"}, "machine", True),
        ({"notify": False, "wait_killable": False}, "notify", True),
        ({"wait_killable": False}, "wait-killable", True),
        ({"landlock_abi": 0}, "landlock", True),
        ({"landlock_abi": 1}, "landlock", True),
        ({"yama": 2}, "yama", True),
        ({"yama": 3}, "yama", True),
        ({"listener_errno": errno.EBUSY}, "listener", True),
        ({"listener_errno": errno.EPERM}, "listener", True),
        ({"libseccomp": ""}, "libseccomp", True),
        ({"libseccomp": "2.4.3"}, "libseccomp", True),
        ({"sync_wake_up": False}, "sync-wake-up", False),
        ({"landlock_abi": 5}, "scopes", False),
        ({"bpf_jit": 0}, "bpf-jit", False),
        ({"foreign_supervisor": "4.2.5"}, "supervisord", False),
        ({"inside_run": "01J00000000000000000000000"}, "inside-run", False),
    ],
)  # fmt: skip
def test_each_gap_has_why_and_fix(change: dict[str, object], name: str, blocks: bool) -> None:
    found = [gap for gap in gaps(GOOD._replace(**change)) if gap.name == name]
    assert [gap.blocks for gap in found] == [blocks]
    (gap,) = found
    assert gap.what
    assert gap.why
    assert gap.fix


def test_yama_can_be_accepted_and_a_missing_notify_cannot() -> None:
    flags = {gap.name: gap.flag for gap in gaps(GOOD._replace(yama=2, landlock_abi=0, notify=False))}
    assert flags == {"yama": "yama", "landlock": "", "notify": ""}


def test_blocking_gaps_come_first() -> None:
    found = gaps(GOOD._replace(bpf_jit=0, yama=2, sync_wake_up=False, landlock_abi=1))
    assert [gap.blocks for gap in found] == sorted((gap.blocks for gap in found), reverse=True)


def test_unreadable_yama_reads_as_the_strictest(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("builtins.open", refuse)
    assert probe._number("/proc/sys/kernel/yama/ptrace_scope", absent=-1) == 3
    assert probe._number("/proc/sys/net/core/bpf_jit_enable", absent=-1) == -1


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "raise ValueError"])
def test_a_trial_that_says_nothing_is_a_failure(end: str) -> None:
    snippet = f"""
    from supervisor.kernel import trials
    sys.stderr = open(os.devnull, "w")
    def trial():
        {end}
    print(json.dumps(trials.in_child(trial)))
    """
    assert run(snippet) == {"errno": errno.EIO}


DOCTOR = """
import sys, typer
from supervisor.cli import doctor
from supervisor.kernel import probe
app = typer.Typer()
doctor.register(app)
app.callback()(lambda: None)
real = probe.host
probe.host = lambda: real()._replace(**CHANGE)
app(["doctor", *sys.argv[1:]])
"""


def doctor(change: dict[str, object], *args: str) -> subprocess.CompletedProcess[str]:
    code = f"CHANGE = {change!r}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n" + DOCTOR
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False, cwd="/")


@pytest.mark.needs("notify", "yama", landlock=6)
def test_doctor_on_this_host() -> None:
    table = doctor({})
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[-1] == "runs can start"
    assert f"ABI {landlock.abi()}" in table.stdout
    told = json.loads(doctor({}, "--json").stdout)
    assert told["can_start"] is True
    assert told["tier"] == "base"
    assert told["facts"]["landlock_abi"] == landlock.abi()


def test_doctor_names_each_gap_and_fails() -> None:
    change = {"yama": 3, "libseccomp": "", "bpf_jit": 0}
    table = doctor(change)
    assert table.returncode == 1
    assert "fix: sudo sysctl -w kernel.yama.ptrace_scope=1" in table.stdout
    assert "or:  govrun --accept yama" in table.stdout
    assert "apt install libseccomp2" in table.stdout
    assert table.stdout.splitlines()[-1].startswith("runs cannot start")
    document = json.loads(doctor(change, "--json").stdout)
    assert document["can_start"] is False
    assert {"yama", "libseccomp", "bpf-jit"} <= {gap["name"] for gap in document["gaps"]}
    assert all(Gap(**gap).fix for gap in document["gaps"])
