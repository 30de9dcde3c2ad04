"""Escape 39: stop, end or starve the supervisor and carry on without it."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
target = supervisor()
def start(pid):
    with open(f"/proc/{pid}/stat") as source:
        return source.read().rsplit(")", 1)[1].split()
guard = int(start(target)[1])
info = ctypes.create_string_buffer(128)
answers = {}
for name, pid in (("supervisor", target), ("guard", guard)):
    pidfd = os.pidfd_open(pid)
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        answers[f"{name} kill {number}"] = attempt(os.kill, pid, number)
    answers[f"{name} tkill"] = sc(200, pid, 9)
    answers[f"{name} tgkill"] = sc(234, pid, pid, 9)
    answers[f"{name} rt_sigqueueinfo"] = sc(129, pid, 9, info)
    answers[f"{name} pidfd_send_signal"] = sc(424, pidfd, 9, None, 0)
    if os.getpgid(pid) != os.getpgid(0):
        answers[f"{name} group"] = attempt(os.killpg, os.getpgid(pid), signal.SIGKILL)
print(json.dumps(answers))
"""


def test_signals(cage: Cage) -> None:
    outcome = cage.run(cage.script(CODE) + '; echo x >> "$OUT/victim"; exit 7')
    assert outcome.stdout, outcome.stderr
    answers = json.loads(outcome.stdout)
    assert set(answers.values()) <= {"EPERM", "ESRCH"}, answers
    assert outcome.code == 7
    cage.refused(outcome, cage.WRITE)
    cage.refused(outcome, cage.PROCESS)


LIMITS = """
target = supervisor()
zero = (ctypes.c_uint64 * 2)(0, 0)
mask = ctypes.c_uint64(1)
param = ctypes.c_int(0)
attr = ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 3, 0, 19, 0, 0, 0, 0))
def state():
    with open(f"/proc/{target}/limits") as source:
        limits = source.read()
    cpus = len(os.sched_getaffinity(target))
    return [limits, os.getpriority(os.PRIO_PROCESS, target), os.sched_getscheduler(target), cpus]
before = state()
left, right = socket.socketpair()
answers = {
    "prlimit NOFILE": sc(302, target, 7, zero, None),
    "prlimit FSIZE": sc(302, target, 1, zero, None),
    "prlimit CPU": sc(302, target, 0, zero, None),
    "setpriority": attempt(os.setpriority, os.PRIO_PROCESS, target, 19),
    "setpriority user": attempt(os.setpriority, os.PRIO_USER, os.getuid(), 19),
    "sched_setscheduler": sc(144, target, 5, ctypes.byref(param)),
    "sched_setaffinity": sc(203, target, 8, ctypes.byref(mask)),
    "sched_setattr": sc(314, target, attr, 0),
    "ioprio_set": sc(251, 1, target, 3 << 13),
    "F_SETOWN": attempt(fcntl.fcntl, left.fileno(), fcntl.F_SETOWN, target),
    "F_SETSIG": attempt(fcntl.fcntl, left.fileno(), 10, 9),
}
print(json.dumps([answers, before == state()]))
"""


def test_limits_and_priority(cage: Cage) -> None:
    outcome = cage.run(cage.script(LIMITS))
    assert outcome.stdout, outcome.stderr
    answers, same = json.loads(outcome.stdout)
    assert same
    assert "ok" not in answers.values(), answers
    cage.refused(outcome, cage.PROCESS)


def test_kill_everything(cage: Cage) -> None:
    """kill(-1) may reach the run's own processes and nobody else; the run ends, and govrun says how."""
    outcome = cage.run("sleep 60 & kill -9 -1; sleep 0.2; echo alive")
    assert outcome.run_dir is not None
    assert outcome.code in (0, 137), outcome.stderr
