"""Ending a tree of processes, in a process of its own that is its subreaper."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, os, signal, subprocess, sys, time
from supervisor.enforce.kill import descendants, stop_tree
from supervisor.kernel.process import become_subreaper
become_subreaper()
kind, keep = sys.argv[1], frozenset()

def ready(read):
    data = b""
    while not data.endswith(b"."):
        data += os.read(read, 64)
    return [int(word) for word in data[:-1].split()]

read, write = os.pipe()
def spawn(code):
    code = "import os, signal, sys, time; out = int(sys.argv[1])\\n" + code
    return subprocess.Popen([sys.executable, "-c", code, str(write)], pass_fds=[write]).pid

if kind == "tree":
    spawn("pids = [os.fork() for _ in range(2)]\\n"
          "if 0 not in pids: os.write(out, b'.')\\n"
          "time.sleep(60)")
elif kind == "stubborn":
    spawn("[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\\nos.write(out, b'.')\\ntime.sleep(60)")
elif kind == "daemon":
    spawn("if os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\nos.write(out, b'.')\\ntime.sleep(60)")
elif kind == "stopped":
    spawn("os.write(out, b'.')\\nos.kill(os.getpid(), signal.SIGSTOP)\\ntime.sleep(60)")
elif kind == "forking":
    spawn("os.write(out, b'.')\\nfor _ in range(3): os.fork()\\n"
          "while True:\\n pid = os.fork()\\n if pid: os.waitpid(pid, 0)\\n else: os._exit(0)")
elif kind == "keep":
    keep = frozenset([spawn("os.write(out, b'')\\ntime.sleep(60)")])
    spawn("os.write(out, b'.')\\ntime.sleep(60)")
if kind != "none":
    ready(read)
killed = stop_tree(os.getpid(), keep)
imported = "psutil" in sys.modules
left = descendants(os.getpid(), frozenset())
try:
    os.waitpid(-1, os.WNOHANG)
    children = True
except ChildProcessError:
    children = False
for pid in keep:
    os.kill(pid, signal.SIGKILL)
print(json.dumps([killed, sorted(left), sorted(keep), children, imported]))
"""


def stopped(kind: str) -> tuple[int, list[int], list[int], bool, bool]:
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT, kind], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    killed, left, keep, children, psutil = json.loads(done.stdout)
    return killed, left, keep, children, psutil


@pytest.mark.parametrize(
    ("kind", "least"), [("tree", 3), ("stubborn", 1), ("daemon", 1), ("stopped", 1), ("forking", 1)]
)
def test_nothing_is_left(kind: str, least: int) -> None:
    killed, left, _, children, _ = stopped(kind)
    assert left == []
    assert not children
    assert killed >= least


def test_govruns_own_helpers_live_on() -> None:
    killed, left, keep, _, _ = stopped("keep")
    assert left == keep
    assert len(keep) == killed == 1


def test_an_empty_tree_costs_nothing() -> None:
    assert stopped("none") == (0, [], [], False, False)


def test_only_the_tree_is_touched() -> None:
    neighbour = subprocess.Popen(["sleep", "60"])
    try:
        stopped("tree")
        assert neighbour.poll() is None
    finally:
        os.kill(neighbour.pid, signal.SIGKILL)
        neighbour.wait()
