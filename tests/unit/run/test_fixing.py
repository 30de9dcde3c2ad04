"""Fixers started by the process that stands by, without the confinement around them."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.invariants.remediation import EpisodeState, Subject, compile_remediation
from supervisor.profile.model import Rule
from supervisor.run.episodes import Episodes
from supervisor.run.fixing import Fixers, Fixing, fixers_of, rejected
from supervisor.vocabulary.policy import Invariant

A = Subject("path", b"src/a.py")


def rules(*fixer: str, attempts: int = 2) -> Any:
    made = Rule("remediation", "honest", fields={"fixer": fixer, "attempts": attempts})
    return compile_remediation([made], {"honest": Invariant("honest", "remediation", "deny")})


class Bench:
    """The episodes of a run, and what was recorded and said of its fixers."""

    def __init__(self, fixers: Fixers, found: Any, limit: float) -> None:
        self.episodes, self.attempts = Episodes(found), found.attempts()
        self.records: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.settled: Callable[[], None] = lambda: None
        self.fixing = Fixing(fixers, self, self, "RUN", lambda: self.settled(), self.said.append, limit)  # type: ignore[arg-type]

    def note(self, kind: str, **op: Any) -> int:
        self.records.append({"kind": kind} | op)
        return len(self.records)

    def open(self, ident: str) -> EpisodeState | None:
        return self.episodes.find(ident)

    def limit(self) -> int:
        return self.attempts

    def may_try(self, state: EpisodeState) -> bool:
        return not self.attempts or state.attempts < self.attempts

    def tried(self, ident: str, words: list[str], *, ran: bool) -> str:
        return self.episodes.tried(ident, words, "", ran=ran)

    def refuse(self) -> None:
        ident = self.episodes.opened("lint", A, 1, "", action=1, fixable=True)
        self.fixing.refused(self.episodes.find(ident) or EpisodeState("", "", A), {"path": "src/a.py"})

    def work(self) -> None:
        """Until nothing runs and nothing waits."""
        over: list[int] = []
        self.fixing.finish(lambda: over.append(1))
        poll = select.poll()
        poll.register(self.fixing.fileno(), select.POLLIN)
        while not over:
            wait = self.fixing.wait()
            if poll.poll(None if wait is None else wait * 1000):
                self.fixing.turn()
            self.fixing.look()


def await_end(stat: Path) -> None:
    """Until a process is gone, or a zombie."""
    for _ in range(2000):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.005)
    raise AssertionError(f"{stat}: it goes on")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[tuple[Fixers, int]] = []

    def start(*fixer: str, attempts: int = 2, limit: float = 60.0) -> Bench:
        found = rules(*fixer, attempts=attempts)
        fixers = fixers_of(found, os.fsencode(tmp_path))
        assert fixers is not None
        first, *_ = fixers.beside.descriptors
        pid = os.fork()
        if pid == 0:
            try:
                # Above all that this process has open: with a fixed number one of them could be overwritten.
                copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, 1000) for fd in fixers.beside.descriptors]
                for at, copy in enumerate(copies):
                    os.dup2(copy, 6 + at)
                os.execv(fixers.beside.program, fixers.beside.argv)
            finally:
                os._exit(125)
        for fd in fixers.beside.descriptors:
            os.close(fd)
        word, _, number = fixers.socket.recv(64).partition(b" ")
        assert word == b"R" and first
        fixers.pid = int(number)
        fixers.socket.setblocking(False)
        made.append((fixers, pid))
        return Bench(fixers, found, limit)

    yield start
    for fixers, pid in made:
        fixers.close()
        os.waitpid(pid, 0)


def test_no_fixer_no_process() -> None:
    assert fixers_of(rules(), b"/w/tree") is None


def test_it_reads_what_was_refused(bench: Callable[..., Bench], tmp_path: Path) -> None:
    world = bench("sh", "-c", "cat; pwd; echo err >&2; exit 3", attempts=1)
    world.refuse()
    world.work()
    (record,) = world.records
    assert record.get("call") == "fixer" and record["exit"] == 3, record
    told, place, error = record["output"].splitlines()
    assert json.loads(told) == {"run": "RUN", "episode": "1", "attempt": 1, "path": "src/a.py"}
    assert (place, error, record["exit"], record["attempts"]) == (str(tmp_path), "err", 3, 1)
    assert world.said == ["govrun: fixer sh: src/a.py: attempt 1 of 1: not put right, and given up"]
    assert str(world.episodes.counts()) == "0/1/0/0"


@pytest.mark.parametrize(("attempts", "expected"), [(0, 1), (1, 1), (4, 4)])
def test_it_is_tried_until_the_attempts_are_used_up(bench: Callable[..., Bench], attempts: int, expected: int) -> None:
    world = bench("true", attempts=attempts)
    world.refuse()
    world.work()
    assert [each["attempts"] for each in world.records] == list(range(1, expected + 1))


def test_once_it_is_fixed_it_is_left_alone(bench: Callable[..., Bench]) -> None:
    world = bench("true", attempts=9)
    world.settled = lambda: world.episodes.passed("lint", A) and None
    world.refuse()
    world.work()
    assert [each["exit"] for each in world.records] == [0]
    assert world.said == ["govrun: fixer true: src/a.py: attempt 1 of 9: fixed"]


def test_what_takes_too_long_is_stopped_with_its_group(bench: Callable[..., Bench], tmp_path: Path) -> None:
    world = bench("sh", "-c", "sleep 1000 & echo $! > child; wait", attempts=1, limit=5)
    world.refuse()
    poll = select.poll()
    poll.register(world.fixing.fileno(), select.POLLIN)
    while not world.records:
        wait = world.fixing.wait()
        if poll.poll(None if wait is None else wait * 1000):
            world.fixing.turn()
        world.fixing.look()
    (record,) = world.records
    assert record["exit"] == -signal.SIGKILL and record["detail"] == "it was stopped after 5 s"
    # It was killed, and dies when it is scheduled.
    await_end(Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat"))


def test_a_stopped_starter_does_not_hold_up_the_end(bench: Callable[..., Bench]) -> None:
    world = bench("true", attempts=1, limit=0.3)
    os.kill(world.fixing._fixers.pid, signal.SIGSTOP)
    world.refuse()
    world.work()
    os.kill(world.fixing._fixers.pid, signal.SIGCONT)
    assert [each["kind"] for each in world.records] == ["gap"]
    world.refuse()  # from here on nothing is started, and nothing fails
    assert world.episodes.find("1") is not None


def test_many_words_of_a_fixer_are_not_all_kept(bench: Callable[..., Bench]) -> None:
    world = bench("sh", "-c", "yes | head -c 1000000", attempts=1)
    world.refuse()
    world.work()
    assert len(world.records[0]["output"]) == 4096 and world.records[0]["exit"] == 0


@pytest.mark.parametrize(
    ("text", "told"), [(b"x", "x"), (b"", None), (b"\xff", None), (b"x" * ((1 << 20) + 1), None), ("ä".encode(), "ä")]
)
def test_a_rejected_version_as_it_is_told(text: bytes, told: str | None) -> None:
    assert rejected(text) == told
