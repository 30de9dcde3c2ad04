"""The record of what a run made: by inode, whole, and bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.invariants.policy import CompiledPolicy
from supervisor.run import authored
from supervisor.run.authored import Authored
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, Kind, Target
from tests.property.world import ACTOR, policy_of


class Place:
    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.policy: CompiledPolicy = policy_of(
            'version = 1\n[scope]\nwhy = "w"\ntools = { executables = [] }\n'
        )._replace(tree=os.fsencode(tree))
        self.record = Authored(())

    def target(self, name: str) -> Target:
        path = self.tree / name
        if not path.exists():
            return Target(os.fsencode(path), Kind.ABSENT)
        info = path.stat()
        return Target(os.fsencode(path), Kind.FILE, info.st_dev, info.st_ino, info.st_nlink)

    def write(self, name: str) -> None:
        before = self.target(name)
        (self.tree / name).write_text("x")
        self.record.landed(FsEvent(ACTOR, FsOp.WRITE, "openat", before))

    def act(self, op: FsOp, name: str, other: str | None = None) -> None:
        one, two = self.target(name), self.target(other) if other else None
        if op is FsOp.RENAME:
            os.rename(self.tree / name, self.tree / str(other))
        elif op is FsOp.LINK:
            os.link(self.tree / name, self.tree / str(other))
        elif op is FsOp.UNLINK:
            os.unlink(self.tree / name)
        self.record.landed(FsEvent(ACTOR, op, op.value, one, two))

    def runs(self, name: str, *argv: bytes) -> tuple[bytes, ...]:
        target = self.target(name) if not name.startswith("/") else Target(os.fsencode(name), Kind.FILE, 1, 1)
        event = ExecEvent(ACTOR, target, target.path, argv or (b"x",), os.fsencode(self.tree), "call")
        told = self.record.of(self.policy, event, os.getpid(), lambda: None)
        return tuple(path.removeprefix(os.fsencode(self.tree) + b"/") for path in told.authored)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("old", "other"):
        (tmp_path / name).write_text("x")
    return Place(tmp_path)


def test_what_was_there_is_not_the_runs(place: Place) -> None:
    assert place.runs("old") == ()


def test_made_written_moved_linked_and_made_executable(place: Place) -> None:
    place.write("new")
    place.write("old")
    assert place.runs("new") == (b"new",) and place.runs("old") == (b"old",)
    place.act(FsOp.RENAME, "new", "newer")
    assert place.runs("newer") == (b"newer",)
    place.act(FsOp.LINK, "newer", "more")
    assert place.runs("more") == (b"more",)
    place.act(FsOp.META, "other")
    assert place.runs("other") == (b"other",)


def test_a_symbolic_link_makes_nothing_of_what_it_leads_to(place: Place) -> None:
    (place.tree / "link").symlink_to("old")
    made = Target(os.fsencode(place.tree / "link"), Kind.ABSENT)
    place.record.landed(FsEvent(ACTOR, FsOp.CREATE, "symlink", made, makes=Kind.LINK))
    assert place.runs("old") == ()


def test_what_is_removed_is_forgotten_but_not_while_it_has_names(place: Place) -> None:
    place.write("new")
    info = (place.tree / "new").stat()
    place.act(FsOp.LINK, "new", "more")
    place.act(FsOp.UNLINK, "new")
    assert place.runs("more") == (b"more",)
    place.write("gone")
    inode = (place.tree / "gone").stat().st_ino
    place.act(FsOp.UNLINK, "gone")
    record = place.record._inodes  # that it does not grow cannot be seen from outside
    assert (info.st_dev, inode) not in record and (info.st_dev, info.st_ino) in record


def test_what_replaces_a_file_is_known_and_the_replaced_forgotten(place: Place) -> None:
    place.write("new")
    place.act(FsOp.RENAME, "new", "old")
    assert place.runs("old") == (b"old",)


def test_a_full_record_takes_everything_writable_for_the_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authored, "_MOST", 1)
    place.write("a")
    assert place.runs("old") == ()
    place.write("b")
    assert place.runs("old") == (b"old",) and place.runs("/usr/bin/env") == ()


def test_what_a_loader_is_given_counts_where_it_could_be_replaced(place: Place) -> None:
    loader = "/lib64/ld-linux-x86-64.so.2"
    assert place.runs(loader, b"ld", b"./old") == (b"old",)
    assert place.runs(loader, b"ld", b"/bin/true", b"./old") == ()
    assert place.runs(loader, b"ld", b"--argv0", b"./old", b"/bin/true") == ()
    assert place.runs(loader, b"ld", b"--preload", b"libc.so.6 ./old", b"/bin/true") == (b"old",)
    assert place.runs(loader, b"ld", b"--library-path", b"/usr/lib:./lib", b"/bin/true") == (b"lib",)
    assert place.runs(loader, b"ld", b"absent") == (b"absent",)


def test_files_that_were_handed_in_are_the_runs(place: Place) -> None:
    info = (place.tree / "old").stat()
    place.record = Authored({(info.st_dev, info.st_ino)})
    assert place.runs("old") == (b"old",)
