"""Who acts: real processes, their actions, and who belongs to the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from supervisor.surfaces import processes as module
from supervisor.surfaces.processes import Processes

FAMILY = """
import os, sys, time
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A child of ours and its child."""
    child = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    inner = int(child.stdout.readline())
    yield child.pid, inner
    os.kill(inner, signal.SIGKILL)
    child.kill()
    child.communicate()


@pytest.fixture
def known() -> Iterator[Processes]:
    """This process is the agent, its parent the supervisor."""
    found = Processes(os.getppid())
    found.root = os.getpid()
    yield found
    for pid in list(found._known):
        found.forget(pid)


def test_an_actor_is_what_proc_says(known: Processes) -> None:
    record = known.of(os.getpid())
    actor = record.actor
    assert (actor.pid, actor.ppid) == (os.getpid(), os.getppid())
    assert actor.exe == os.readlink(b"/proc/self/exe")
    with open("/proc/self/cmdline", "rb") as file:
        assert actor.argv == tuple(file.read().split(b"\0")[:-1])
    with open("/proc/self/stat") as file:
        assert actor.start == int(file.read().rpartition(")")[2].split()[19])


def test_a_thread_is_its_process(known: Processes) -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(known.of(threading.get_native_id())))
    thread.start()
    thread.join()
    assert found == [known.of(os.getpid())]


def test_a_process_that_is_gone_is_an_error_and_forgotten(known: Processes) -> None:
    child = subprocess.Popen(["sleep", "60"])
    record = known.of(child.pid)
    child.kill()
    child.wait()
    with pytest.raises(OSError):
        known.of(child.pid)
    with pytest.raises(OSError):
        os.fstat(record.pidfd)


def test_actions_begin_where_the_agent_starts_something(known: Processes, family: tuple[int, int]) -> None:
    child, inner = family
    own = known.executed(os.getpid(), b"/usr/bin/agent", (b"agent",)).action
    first = known.executed(child, b"/bin/sh", (b"sh",))
    assert first.action != own
    # What that starts belongs to it; the same process executing again begins anew.
    assert known.executed(inner, b"/bin/cat", (b"cat",)).action == first.action
    before = first.action
    assert known.executed(child, b"/bin/sh", (b"sh", b"2")).action not in (before, own)
    assert known.of(child).actor.argv == (b"sh", b"2")


def test_the_agents_own_changes_form_actions_by_time(known: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    record, now = known.of(os.getpid()), [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    first = known.acting(record).action
    now[0] += 1.9
    assert known.acting(record).action == first
    now[0] += 1.9
    assert known.acting(record).action == first
    now[0] += 2.1
    assert known.acting(record).action != first


def test_descendants_of_the_supervisor_belong_to_the_run(family: tuple[int, int]) -> None:
    child, inner = family
    found = Processes(os.getpid())
    assert found.belongs(child)
    assert found.belongs(inner)
    for other in (1, os.getpid(), os.getppid(), 0x7FFFFFF0):
        assert not found.belongs(other)


def test_govruns_helpers_and_what_they_start_do_not(family: tuple[int, int]) -> None:
    child, inner = family
    found = Processes(os.getpid(), lambda: frozenset({child}))
    assert not found.belongs(child)
    assert not found.belongs(inner)


def test_the_chain_upwards(known: Processes, family: tuple[int, int]) -> None:
    child, inner = family
    for pid in (os.getpid(), child, inner):
        known.of(pid)
    assert known.chain(known.of(inner)) == [child, os.getpid()]


def test_memory_of_the_dead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Processes(os.getppid())
    found._keep = 8
    found.root = os.getpid()
    root = found.of(os.getpid())
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(20)]
    try:
        for child in children:
            found.of(child.pid)
        assert len(found._known) <= 9
        assert found.of(os.getpid()) is root
    finally:
        for child in children:
            child.kill()
            child.wait()
        for pid in list(found._known):
            found.forget(pid)
