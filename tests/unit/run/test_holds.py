"""What a command applies may not change until its process has ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from supervisor.run.holds import Held, Holds
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target
from tests.property.world import ACTOR


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def event(op: FsOp, path: bytes, other: bytes | None = None, inode: int = 0) -> FsEvent:
    target = Target(path, Kind.FILE, 1 if inode else 0, inode)
    return FsEvent(ACTOR, op, op.value, target, Target(other, Kind.ABSENT) if other else None)


HELD = (Held(b"/a/x", (1, 7)), Held(b"/a/d", depth=1), Held(b"/a/e", depth=2))


@pytest.mark.parametrize(
    ("act", "held"),
    [
        (event(FsOp.WRITE, b"/a/x"), True),
        (event(FsOp.WRITE, b"/b/y", inode=7), True),
        (event(FsOp.UNLINK, b"/b/y", inode=7), False),
        (event(FsOp.WRITE, b"/a/y", inode=8), False),
        (event(FsOp.READ, b"/a/x"), False),
        (event(FsOp.META, b"/a/x"), False),
        (event(FsOp.RENAME, b"/a", b"/b"), True),
        (event(FsOp.RENAME, b"/b", b"/a/x"), True),
        (event(FsOp.RENAME, b"/aa", b"/b"), False),
        (event(FsOp.LINK, b"/a/x", b"/b"), False),
        (event(FsOp.LINK, b"/b", b"/a/x"), True),
        (event(FsOp.CREATE, b"/a/d/new"), True),
        (event(FsOp.CREATE, b"/a/d/in/new"), False),
        (event(FsOp.CREATE, b"/a/e/in/new"), True),
        (event(FsOp.CREATE, b"/a/new"), False),
        (event(FsOp.CREATE, b"/a"), True),
        (event(FsOp.CREATE, b"/a")._replace(makes=Kind.DIR), False),
        (event(FsOp.CREATE, b"/a/x")._replace(makes=Kind.DIR), True),
    ],
)
def test_what_changes_what_is_held(running: subprocess.Popen[bytes], act: FsEvent, held: bool) -> None:
    holds = Holds()
    holds.add(running.pid, "kubectl apply", HELD)
    assert bool(holds.marked(act).applied_by) is held


def test_until_the_process_has_ended(running: subprocess.Popen[bytes]) -> None:
    holds, act = Holds(), event(FsOp.WRITE, b"/a/x")
    holds.add(running.pid, "kubectl apply", HELD)
    assert holds.marked(act).applied_by == f"kubectl apply (process {running.pid})"
    running.communicate()
    assert holds.marked(act).applied_by == ""


def test_too_many_at_once_and_none_that_is_gone(running: subprocess.Popen[bytes]) -> None:
    holds = Holds()
    for _ in range(64):
        holds.add(running.pid, "x", HELD)
    with pytest.raises(OSError, match="too many"):
        holds.add(running.pid, "x", HELD)
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(OSError, match="No such process"):
        Holds().add(ended.pid, "x", HELD)
