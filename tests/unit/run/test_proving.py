"""When contracts are due, and what a commit is answered: with real processes that show them, in a real repository."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.git.layout import discover
from supervisor.invariants.contract import Contract
from supervisor.journal.writer import Journal
from supervisor.run.options import Options
from supervisor.run.order import Order
from supervisor.run.parts import Waiting
from supervisor.run.proving import Proving
from supervisor.run.record import Recorder
from supervisor.run.world import Oracles
from supervisor.vocabulary.acts import Reply
from supervisor.vocabulary.events import FsEvent, FsOp
from supervisor.vocabulary.verdicts import Effect, Verdict
from tests.property.world import ACTOR, policy_of, target

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PROFILE = 'version = 1\n[[contract]]\nid = "c"\nproves = ["scope.hide"]\nwhen = "commit"\nrun = ["x"]\n'
Governed = Callable[[Options, Callable[[str], None]], int]


class World:
    """A repository with one commit, and what has been said and refused."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.folder = folder / "tree", folder / "state"
        self.tree.mkdir()
        self.folder.mkdir()
        (self.tree / "file").write_text("x\n")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            self.git(*words)
        self.head = self.git("rev-parse", "HEAD")
        self.said: list[str] = []
        self.refused: list[Verdict] = []
        self.made: list[Proving] = []
        self.journal = Journal(self.folder, RUN)
        names = (target(os.fsencode(self.tree) + name) for name in (b"/x.lock", b"/x"))
        self.event = FsEvent(ACTOR, FsOp.RENAME, "rename", *names)

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        return subprocess.run(command, cwd=self.tree, check=True, capture_output=True, text=True).stdout.strip()

    def proving(self, governed: Governed, when: str = "commit", patience: float = 60.0) -> Proving:
        policy = policy_of(PROFILE)._replace(tree=os.fsencode(self.tree), state=os.fsencode(self.folder))
        contract = Contract("c", ("scope.write",), when, command=("x",), source="govrun.toml:2")
        known: dict[str, Any] = dict.fromkeys(Order._fields)
        known |= {
            "policy": policy, "folder": self.folder, "contracts": (contract,), "shown": (), "base": self.head,
            "environment": {"PATH": os.environ["PATH"]}, "say": self.said.append,
            "oracles": Oracles(discover(self.tree), self.folder / "git"),
        }  # fmt: skip
        made = Proving(Order(**known), Recorder(self.journal, "p"), governed, patience)
        self.made.append(made)
        return made

    def gate(self, proving: Proving, commit: str = "") -> Reply | Waiting | None:
        return proving.gate(self.event, {commit or self.head: "refs/heads/main"}, self.refuse, lambda: Reply(value=7))

    def refuse(self, verdict: Verdict) -> Reply:
        self.refused.append(verdict)
        return Reply(error=errno.EACCES)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for each in made.made:
        each.stop()
    made.journal.close()


def passes(_options: Options, _say: object) -> int:
    return 0


def fails(_options: Options, say: Callable[[str], None]) -> int:
    say("something is broken")
    return 1


def sleeps(_options: Options, _say: object) -> int:
    time.sleep(600)
    return 0


def wait(proving: Proving) -> None:
    poll = select.poll()
    poll.register(proving.fileno(), select.POLLIN)
    assert poll.poll(30_000)
    proving.turn()


def test_a_commit_waits_and_passes(world: World) -> None:
    proving = world.proving(passes)
    held = world.gate(proving)
    assert isinstance(held, Waiting) and held.held.retry() is None
    wait(proving)
    reply = held.held.retry()
    assert reply is not None and reply.cont and held.again is not None
    assert world.gate(proving) is None and not world.refused  # judged again: it has been shown


def test_a_commit_waits_and_is_refused(world: World) -> None:
    proving = world.proving(fails)
    held = world.gate(proving)
    assert isinstance(held, Waiting)
    wait(proving)
    assert held.held.retry() is not None
    assert world.gate(proving) == Reply(error=errno.EACCES)
    (verdict,) = world.refused
    assert verdict.effect is Effect.DENY and verdict.matches[0].invariant.id == "c"
    assert verdict.matches[0].message == (
        "the contract is not met: x: exit 1; its output is kept from the run: govrun log"
    )


def test_no_answer_in_time_is_no(world: World) -> None:
    proving = world.proving(sleeps, patience=0.01)
    held = world.gate(proving)
    assert isinstance(held, Waiting)
    while (reply := held.held.retry()) is None:
        time.sleep(0.01)
    assert reply.error and held.finish(reply) == Reply(error=errno.EACCES)
    assert world.refused[0].matches[0].message.endswith("it could not be shown in time")
    # Asked for again, it does not begin to wait anew.
    again = world.gate(proving)
    assert isinstance(again, Waiting) and again.held.retry() is not None


def test_when_nothing_can_be_shown_any_more_no_commit_passes(world: World) -> None:
    proving = world.proving(sleeps)
    held = world.gate(proving)
    assert isinstance(held, Waiting)
    os.kill(proving.pids()[0], 9)
    wait(proving)
    reply = held.held.retry()
    assert reply is not None and reply.error and held.finish(reply).error
    assert world.gate(proving, "b" * 40) == Reply(error=errno.EACCES)
    assert world.refused[-1].matches[0].message.endswith("nothing can be shown any more")
    assert any("has ended" in line for line in world.said)


def test_no_more_than_some_commits_wait(world: World) -> None:
    proving = world.proving(sleeps)
    answers = [world.gate(proving, f"{number:040x}") for number in range(17)]
    assert all(isinstance(each, Waiting) for each in answers[:16]) and answers[16] == Reply(error=errno.EACCES)
    assert world.refused[0].matches[0].message.endswith("too many commits wait to be shown")
    assert isinstance(world.gate(proving, f"{3:040x}"), Waiting)  # it waits already


def test_a_commit_that_cannot_be_read_is_refused(world: World) -> None:
    proving = world.proving(passes)
    held = world.gate(proving, "b" * 40)
    assert isinstance(held, Waiting)
    wait(proving)
    assert world.gate(proving, "b" * 40) == Reply(error=errno.EACCES)
    assert (
        world.refused[0].matches[0].message.startswith("the contract is not met: the commit bbbbbbbbbbbb is not whole")
    )


def test_without_contracts_of_commits_none_waits(world: World) -> None:
    assert world.gate(world.proving(passes, "checkpoint")) is None


# Checkpoints.


def looked(proving: Proving) -> bool:
    """Whether it is shown now."""
    settled: list[bool] = []
    proving.look(lambda: settled.append(True))
    return bool(settled)


def test_a_checkpoint_is_the_end_of_an_action_that_changed_something(world: World) -> None:
    proving = world.proving(passes, "checkpoint")
    assert proving.wait() is None and not looked(proving)
    proving.began(1)
    proving.began(2)
    assert proving.wait() is None  # nothing has changed
    proving.changed(2)
    left = proving.wait()
    assert left is not None and 0 < left <= 2 and not looked(proving)  # it may go on
    proving.began(3)
    assert proving.wait() == 0.0 and looked(proving)
    assert proving.wait() is None  # it is being shown
    wait(proving)
    proving.changed(3)
    proving.changed(4)
    left = proving.wait()
    assert left is not None and 5 < left <= 10 and not looked(proving)  # the last one is not long ago


def test_an_action_that_changes_nothing_for_a_while_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    proving = world.proving(passes, "checkpoint")
    proving.changed(1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3)
    assert proving.wait() == 0.0


def test_a_checkpoint_that_is_not_met_warns_and_refuses_nothing(world: World) -> None:
    proving = world.proving(fails, "checkpoint")
    proving.changed(1)
    proving.began(2)
    assert looked(proving)
    wait(proving)
    (said,) = world.said
    assert said.startswith("govrun: warning by c (govrun.toml:2): the contract is not met: x: exit 1; ")
    assert "something is broken" not in said
    assert not world.refused
