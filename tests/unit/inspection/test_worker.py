"""The worker: round trips, and whatever can go wrong is a refusal and a new worker."""

import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor.inspection import serving, wire
from supervisor.inspection.worker import Inspector
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Import, Requirement

ROOT = __file__.rpartition("/tests/")[0]


@pytest.fixture
def inspector():
    made = Inspector(deadline=10)
    yield made
    made.close()


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_round_trips(inspector):
    assert inspector.pid is None
    inspector.start()
    first = inspector.pid
    inspector.start()
    assert inspector.pid == first
    assert inspector.inspect("python", b"a", b"import x\n") == Findings(imports=(Import("pypi", "x", 1),))
    assert inspector.inspect("python", b"a", b"import y\nimport x\n").imports[0].module == "y"
    found = inspector.inspect("requirements", b"r", b"a\nbad==1\n")
    assert found.requirements[1] == Requirement("pypi", "bad", "==1", 2, "requirements")
    assert inspector.without("requirements", b"a\nbad==1\n", found.requirements[1:]) == b"a\n"
    assert inspector.without("uv.lock", b"", found.requirements) is None
    assert inspector.inspect("yarn.lock", b"l", b"") == NOTHING_FOUND
    assert "limit" in inspector.inspect("python", b"a", b" " * 3_000_000).refusal
    assert inspector.inspect("no kind", b"", b"").refusal.startswith("the inspector failed")
    assert inspector.pid == first


def test_large_questions_and_answers(inspector):
    lock = b"".join(b'[[package]]\nname = "n%d"\nversion = "1"\n' % n for n in range(60_000))
    assert len(inspector.inspect("uv.lock", b"", lock).requirements) == 60_000
    lock = b"".join(b'[[package]]\nname = "n%d"\nversion = "%s"\n' % (n, b"1" * 300) for n in range(60_000))
    assert "too much" in inspector.inspect("uv.lock", b"", lock).refusal
    assert "too large" in inspector.inspect("uv.lock", b"", b" " * (70 << 20)).refusal


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_between_questions_is_one_refusal(inspector, number):
    inspector.inspect("python", b"a", b"")
    old = inspector.pid
    os.kill(old, number)
    until(lambda: select.select([inspector.fileno()], [], [], 0)[0])
    found = inspector.inspect("python", b"a", b"import x")
    assert found.refusal.startswith("the inspector failed: ")
    assert gone(old)
    assert inspector.pid is None
    assert inspector.inspect("python", b"a", b"import x").imports
    assert inspector.pid not in (None, old)


def test_a_worker_that_does_not_answer():
    inspector = Inspector(deadline=0.3, failures=2)
    try:
        inspector.start()
        for _ in range(2):
            inspector.start()
            pid = inspector.pid
            os.kill(pid, signal.SIGSTOP)
            start = time.monotonic()
            found = inspector.inspect("python", b"", b"import x")
            assert "no answer within 0.3 s" in found.refusal
            assert time.monotonic() - start > 0.25
            assert gone(pid)
        assert inspector.down
        assert "too often" in inspector.inspect("python", b"", b"").refusal
        assert inspector.without("requirements", b"a\n", []) is None
        assert inspector.pid is None
    finally:
        inspector.close()


def frame(body, ticket=1, size=None):
    return struct.pack("!II", len(body) if size is None else size, ticket) + body


GARBAGE = [
    frame(b"F[]"),
    frame(b'F[[],[],"","",""]'),
    frame(b"F{}"),
    frame(b"X"),
    frame(b""),
    frame(b"Fnot json"),
    frame(b"Nx"),
    frame(b"N", ticket=7),
    frame(b"", size=1 << 30),
    b"\xff" * 20,
    frame(b"F" + b"[" * 100_000),
    frame(b'F[[["pypi","x",-1]],[],"",""]'),
    frame(b'F[[["pypi","x",true]],[],"",""]'),
    frame(b'F[[["pypi",1,1]],[],"",""]'),
    frame(b'F[[["cargo","x",1]],[],"",""]'),
    frame(b'F[[["pypi","x"]],[],"",""]'),
    frame(b'F[[],[["pypi","x","",1,"",0,""]],"",""]'),
    frame(b'F[[],[],"\\ud800",""]'),
    frame(b'F[[],[],"","%s"]' % (b"a" * 3000)),
    frame(b'F[[["pypi","x",1e3]],[],"",""]'),
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbled_answers(monkeypatch, answer):
    def serve(end):
        end.recv(100)
        end.sendall(answer)
        end.recv(1)

    monkeypatch.setattr(serving, "serve", serve)
    inspector = Inspector(deadline=10)
    try:
        found = inspector.inspect("python", b"", b"")
        assert found.refusal.startswith("the inspector failed: ")
        assert not found.imports
        assert inspector.pid is None
    finally:
        inspector.close()


def test_answers_of_the_wrong_sort(monkeypatch):
    def serve(end):
        nothing = b"F" + json.dumps(NOTHING_FOUND).encode()
        for answer in (frame(b"Ccontent"), frame(nothing, 2), frame(b"C" + b"x" * 50, 3)):
            end.recv(1000)
            end.sendall(answer)
        end.recv(1)

    monkeypatch.setattr(serving, "serve", serve)
    inspector = Inspector(deadline=10)
    try:
        assert inspector.inspect("python", b"", b"").refusal
        assert inspector.without("requirements", b"a\n", []) is None
        assert inspector.without("requirements", b"a\n", []) is None  # longer than what was asked about
    finally:
        inspector.close()


def test_in_a_loop(inspector):
    tickets = [inspector.ask("python", b"%d" % n, b"import m%d\n" % n + b"x = 1\n" * 20_000) for n in range(20)]
    assert inspector.due is not None
    found = {}
    while len(found) < len(tickets):
        wanted = select.POLLIN | (select.POLLOUT if inspector.unsent else 0)
        poll = select.poll()
        poll.register(inspector.fileno(), wanted)
        assert poll.poll(10_000)
        found.update(inspector.answers())
    assert [found[ticket].imports[0].module for ticket in tickets] == [f"m{n}" for n in range(20)]
    assert inspector.due is None
    waiting = inspector.ask("python", b"", b"import late")
    assert inspector.inspect("python", b"", b"import now").imports[0].module == "now"
    assert [(ticket, each.imports[0].module) for ticket, each in inspector.answers()] == [(waiting, "late")]


def test_overdue_and_killed_in_a_loop():
    inspector = Inspector(deadline=0.2)
    try:
        inspector.inspect("python", b"", b"")
        os.kill(inspector.pid, signal.SIGSTOP)
        first, second = inspector.ask("python", b"", b""), inspector.ask("python", b"", b"")
        assert inspector.answers() == []
        until(lambda: time.monotonic() > inspector.due)
        found = dict(inspector.answers())
        assert found.keys() == {first, second}
        assert all("no answer" in each.refusal for each in found.values())
        third = inspector.ask("python", b"", b"")
        inspector.close()
        assert "closed" in dict(inspector.answers())[third].refusal
        assert inspector.fileno() == -1
    finally:
        inspector.close()


def test_descriptors_and_signals(inspector, tmp_path):
    left, right = socket.socketpair()
    with left, right, (tmp_path / "x").open("w"):
        previous = signal.signal(signal.SIGTERM, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        try:
            inspector.inspect("python", b"", b"import a")
        finally:
            signal.signal(signal.SIGTERM, previous)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        open_there = {int(name) for name in os.listdir(f"/proc/{inspector.pid}/fd")}
        assert len(open_there - {0, 1, 2}) == 1
        lines = Path(f"/proc/{inspector.pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert int(status["SigBlk"], 16) == 0
        # 32 and 33 are the C library's own; SIGPROF stops what takes too long.
        assert int(status["SigCgt"], 16) & ~(3 << 31) == 1 << (signal.SIGPROF - 1)
        assert int(status["SigIgn"], 16) & (1 << (signal.SIGINT - 1))
    before = set(os.listdir("/proc/self/fd"))
    pid = inspector.pid
    inspector.close()
    gc.collect()
    assert gone(pid)
    assert len(before) - len(set(os.listdir("/proc/self/fd"))) == 2  # socket and pidfd


def test_it_ends_when_its_supervisor_does():
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from supervisor.inspection.worker import Inspector\n"
        "i = Inspector(); i.inspect('python', b'', b''); os.write(1, b'%d' % i.pid); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", program, ROOT], capture_output=True, check=True)
    stat = Path(f"/proc/{int(done.stdout)}/stat")
    until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_importing_costs_nothing():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import supervisor.inspection.worker, supervisor.inspection.prefilter, supervisor.inspection.kinds\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, ROOT], capture_output=True, text=True, check=True)
    heavy = {
        "tree_sitter",
        "tomlkit",
        "json",
        "tomllib",
        "yaml",
        "packaging",
        "ast",
        "dataclasses",
        "configparser",
        "urllib.parse",
    }
    assert heavy & set(done.stdout.split()) == set()


def test_questions_that_are_too_large():
    with pytest.raises(wire.Garbled):
        wire.question(1, wire.INSPECT, "x" * 70_000, b"", b"", ())


def test_it_recovers():
    inspector = Inspector(deadline=0.2, failures=2, rest=0.2)
    try:
        for content in (b"import a", b"import b", b"import c"):
            until(lambda: not inspector.down)
            inspector.start()
            os.kill(inspector.pid, signal.SIGSTOP)
            assert "no answer" in inspector.inspect("python", b"", content).refusal
        assert inspector.down
        assert "too often" in inspector.inspect("python", b"", b"import x").refusal
        until(lambda: not inspector.down)
        inspector.start()
        time.sleep(0.5)  # for the libraries
        assert inspector.inspect("python", b"", b"import x").imports
        os.kill(inspector.pid, signal.SIGSTOP)
        assert "no answer" in inspector.inspect("python", b"", b"import d").refusal
        assert not inspector.down
    finally:
        inspector.close()


def test_what_it_failed_on_twice_is_not_tried_again():
    inspector = Inspector(deadline=0.2, failures=10)
    try:
        for _ in range(2):
            inspector.start()
            os.kill(inspector.pid, signal.SIGSTOP)
            first, second = inspector.ask("python", b"", b"import a"), inspector.ask("python", b"", b"import b")
            until(lambda: time.monotonic() > inspector.due)
            assert dict(inspector.answers()).keys() == {first, second}
        assert "on this content" in inspector.inspect("python", b"", b"import a").refusal
        assert inspector.pid is None
        inspector.start()
        time.sleep(0.5)
        assert inspector.inspect("python", b"", b"import b").imports
    finally:
        inspector.close()


@pytest.mark.parametrize("piece", [b"not ", b"(", b"x(", b"if TYPE_CHECKING: import a\n", b"# /// script\n", b"'a'+"])
def test_sources_that_are_slow_to_parse(piece):
    inspector = Inspector(deadline=60)  # on a busy machine; what is limited is processor time
    try:
        slow = b"# requests TYPE_CHECKING import_module\n" + piece * (1_900_000 // len(piece))
        found = inspector.inspect("python", b"setup.py", slow)
        assert not found.refusal.startswith("the inspector failed"), found.refusal
        used = Path(f"/proc/{inspector.pid}/stat").read_text().rpartition(")")[2].split()
        assert sum(map(int, used[11:13])) / os.sysconf("SC_CLK_TCK") < 12
        assert inspector.inspect("python", b"", b"import x").imports
    finally:
        inspector.close()
