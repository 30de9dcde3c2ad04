"""What a run uses, measured of real processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.surfaces.metering import Measuring, Meter, _Total, tasks_of
from supervisor.vocabulary.errors import StopRun


def measuring(monkeypatch: pytest.MonkeyPatch, **most: float) -> Measuring:
    """Children of this process count as the run's: they have no filter that would tell them from helpers."""
    made = Measuring(most, frozenset(), "", os.getpid())
    monkeypatch.setattr(made, "_filters", -1.0)
    return made


@contextmanager
def running(text: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has done what ``text`` says, with all that it has started."""
    code = f"import os, sys, threading, time\n{text}\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_processes_and_threads_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = measuring(monkeypatch, processes=6)
    threads = "for _ in range(3): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    with running(threads) as first:
        assert list(meter.crossed()) == []
        with running("for _ in range(2):\n    if os.fork() == 0: time.sleep(60)"):
            assert list(meter.crossed()) == [("processes", 7.0)], first.pid
            assert list(meter.crossed()) == [], "told once"
            meter.again()
            assert list(meter.crossed()) == [("processes", 7.0)]


def test_helpers_do_not_count() -> None:
    """Without a filter of its own a child is the supervisor's."""
    meter = Measuring({"processes": 0}, frozenset(), "", os.getpid())
    with running("if os.fork() == 0: time.sleep(60)"):
        assert list(meter.crossed()) == []


def test_who_was_seen_before_its_filter_was_loaded_counts_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's first process is forked as a helper is, and gets its filter afterwards."""
    meter = Measuring({"processes": 0}, frozenset(), "", os.getpid())
    with running(""):
        assert list(meter.crossed()) == []
        monkeypatch.setattr(meter, "_filters", -1.0)
        assert list(meter.crossed()) == [("processes", 1.0)]
        monkeypatch.setattr(meter, "_filters", 99.0)  # and it stays one of the run
        meter.again()
        assert list(meter.crossed()) == [("processes", 1.0)]


def test_memory_that_is_shared_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 200 << 20
    meter = measuring(monkeypatch, memory=most)
    text = "x = bytearray(100 << 20)\nfor _ in range({}):\n    if os.fork() == 0: {}"
    with running(text.format(4, "time.sleep(60)")):
        assert list(meter.crossed()) == []
    with running(text.format(2, "y = bytes(x); time.sleep(60)")):
        until(lambda: any(amount > most for _, amount in meter.crossed()))


def test_processor_time_of_those_who_have_ended_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = measuring(monkeypatch, cpu=1e9)
    burn = "    end = time.process_time() + 0.5\n    while time.process_time() < end: pass\n"
    own = f"if True:\n{burn}"
    waited = f"pid = os.fork()\nif pid == 0:\n{burn}    os._exit(0)\nos.waitpid(pid, 0)"
    for text in (own, waited):
        before = meter._totals["cpu"].total
        with running(text):
            list(meter.crossed())
            assert 0.3 <= meter._totals["cpu"].total - before < 5
        list(meter.crossed())
        assert meter._totals["cpu"].total - before >= 0.3


def test_counts_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = measuring(monkeypatch, cpu=0.2)
    with running("while time.process_time() < 0.4: pass"):
        ((key, amount),) = meter.crossed()
        assert key == "cpu" and amount >= 0.3
        meter.again()
        assert list(meter.crossed()) == []


def test_bytes_written_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meter = measuring(monkeypatch, disk=1e12)
    name = str(tmp_path / "file")
    with running(f"open({name!r}, 'wb').write(bytes(8 << 20))"):
        list(meter.crossed())
        assert meter._totals["disk"].total >= 8 << 20, "this needs a folder of tests on a disk"


PARTS = st.integers(0, 9).map(float)
PROCESSES = st.dictionaries(st.tuples(st.integers(2, 9), st.just(0)), st.tuples(st.integers(0, 3), PARTS))


@given(st.lists(PROCESSES, max_size=8))
def test_a_sum_never_falls_and_holds_what_is_there(looks: list[dict[tuple[int, int], tuple[int, float]]]) -> None:
    total, before = _Total(1), 0.0
    for look in looks:
        now = total.now(look)
        assert now >= before and now >= sum(value for _, value in look.values())
        before = now


def test_who_has_lost_its_parent_leaves_its_part() -> None:
    total = _Total(1)
    total.now({(5, 0): (1, 10.0), (6, 0): (1, 1.0)})
    assert total.now({(6, 0): (1, 9.0)}) == 19.0, "the part of 5, and what 6 has used meanwhile"


def test_tasks_of_a_user_are_those_of_all_its_processes() -> None:
    before = tasks_of(os.getuid())
    threads = "for _ in range(200): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    with running(threads):  # others of this user may end meanwhile
        assert tasks_of(os.getuid()) > before + 100
    assert tasks_of(4_000_000) == 0


# ---- the process that measures ----------------------------------------------------------------------------------


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """Counts of the kernel as a cgroup shows them, for who cannot have one with controllers."""
    (tmp_path / "pids.events").write_text("max 0\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 0\n")
    return tmp_path


def readable(meter: Meter) -> None:
    assert select.select([meter.fileno()], [], [], 20)[0]


def test_it_tells_what_crosses_and_again_when_asked(group: Path) -> None:
    meter = Meter({"cpu": 1.0}, frozenset(), str(group))
    try:
        assert list(meter.told()) == []
        (group / "cgroup.procs").write_text("")
        (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 0\n")
        readable(meter)
        assert list(meter.told()) == [("cpu", 1.5)]
        meter.again()
        (group / "cpu.stat").write_text("usage_usec 2600000\nuser_usec 0\n")
        readable(meter)
        assert [(key, round(amount, 3)) for key, amount in meter.told()] == [("cpu", 1.1)]
    finally:
        meter.close()
    assert not os.path.exists(f"/proc/{meter.pid}")


def test_it_tells_that_the_kernel_held(group: Path) -> None:
    meter = Meter({"processes": 10}, frozenset(("processes",)), str(group))
    try:
        (group / "pids.events").write_text("max 7\n")
        readable(meter)
        assert list(meter.told()) == [("processes.refused", 7.0)]
    finally:
        meter.close()


@pytest.mark.parametrize("asked", [False, True])
def test_when_nobody_measures_the_run_stops(group: Path, asked: bool) -> None:
    """Also where it ends with something that it has not read: then the end of the socket is an error (unix(7))."""
    meter = Meter({"cpu": 1.0}, frozenset(), str(group))
    os.kill(meter.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, meter.pid, os.WSTOPPED)
    if asked:
        meter.again()
    os.kill(meter.pid, signal.SIGKILL)
    readable(meter)
    with pytest.raises(StopRun, match="not measured any more"):
        list(meter.told())
    meter.close()
