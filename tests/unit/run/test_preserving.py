"""What would be taken away is kept first, and what cannot be kept is named; with a real store and real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.run.preserving import Preserving
from supervisor.trees.accepted import Accepted, Unkept
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.versions import Version
from tests.property.world import ACTOR

SMALL = 4096  # bytes of the store: what does not fit cannot be kept


class World:
    def __init__(self, folder: Path) -> None:
        (folder / "state").mkdir()
        (folder / "tree/d").mkdir(parents=True)
        self.tree = folder / "tree"
        self.store = Accepted(folder / "state", SMALL)
        self.made = Preserving(self.keep, self.governed)

    def keep(self, path: bytes) -> Version | None:
        fd = os.open(path, os.O_RDONLY)
        try:
            return self.store.keep(path, fd)
        except Unkept:
            return None
        finally:
            os.close(fd)

    def governed(self, target: Target) -> bytes | None:
        inside = os.fsencode(self.tree) + b"/"
        return target.path[len(inside) :] if target.path.startswith(inside) else None

    def file(self, name: str, size: int) -> Target:
        (self.tree / name).write_bytes(os.urandom(size))
        return self.there(name)

    def there(self, name: str) -> Target:
        path = self.tree / name
        info = path.lstat()
        kind = Kind.DIR if path.is_dir() else Kind.LINK if path.is_symlink() else Kind.FILE
        return Target(os.fsencode(path), kind, info.st_dev, info.st_ino)

    def no(self, name: str) -> Target:
        return Target(os.fsencode(self.tree / name), Kind.ABSENT)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def unlink(target: Target) -> FsEvent:
    return FsEvent(ACTOR, FsOp.UNLINK, "unlink", target)


def rename(old: Target, new: Target, **facts: object) -> FsEvent:
    return FsEvent(ACTOR, FsOp.RENAME, "rename", old, new)._replace(**facts)


def test_a_file_that_is_deleted_is_kept_or_named(world: World) -> None:
    small, large = world.file("d/small", 10), world.file("d/large", SMALL + 1)
    assert world.made.lost(unlink(small)) == b""
    kept = world.store.latest(small.path)
    assert kept is not None and world.store.content(kept) == (world.tree / "d/small").read_bytes()
    assert world.made.lost(unlink(large)) == b"d/large"


def test_a_file_that_is_replaced_too(world: World) -> None:
    small, large = world.file("small", 10), world.file("large", SMALL + 1)
    assert world.made.lost(rename(small, large)) == b"large"
    assert world.made.lost(rename(large, small)) == b""
    assert world.made.lost(rename(small, large, exchange=True)) == b""
    assert world.made.lost(rename(large, world.no("elsewhere"))) == b""


def test_what_leaves_the_tree_is_taken_away(world: World) -> None:
    out = Target(b"/tmp/elsewhere", Kind.ABSENT)
    world.file("d/small", 10)
    folder = world.there("d")
    assert world.made.lost(rename(folder, out, beneath=(b"small",))) == b""
    large = world.file("d/large", SMALL + 1)
    assert world.made.lost(rename(folder, out, beneath=(b"small", b"large"))) == b"d/large"
    assert world.made.lost(rename(large, out)) == b"d/large"
    assert world.made.lost(rename(folder, out, beneath=None)) == b"d", "more than can be listed"
    assert world.made.lost(rename(folder, out, beneath=(b"small",) * 1001)) == b"d"


def test_the_runs_own_files_are_its_own(world: World) -> None:
    world.file("own", SMALL + 1)
    world.made.landed(FsEvent(ACTOR, FsOp.WRITE, "openat", world.no("own")))
    assert world.made.lost(unlink(world.there("own"))) == b""
    (world.tree / "own").rename(world.tree / "moved")
    world.made.landed(rename(world.no("own"), world.no("moved")))
    assert world.made.lost(unlink(world.there("moved"))) == b""
    # somebody else has put another file there
    (world.tree / "theirs").write_bytes(bytes(SMALL + 1))
    (world.tree / "theirs").rename(world.tree / "moved")
    assert world.made.lost(unlink(world.there("moved"))) == b"moved"


def test_a_name_of_the_run_does_not_cover_what_is_moved_there(world: World) -> None:
    world.file("own", 1)
    world.made.landed(FsEvent(ACTOR, FsOp.CREATE, "openat", world.no("own")))
    large = world.file("large", SMALL + 1)
    (world.tree / "large").rename(world.tree / "own")
    world.made.landed(rename(large, world.no("own")))
    assert world.made.lost(unlink(world.there("own"))) == b"own"


def test_what_holds_nothing_cannot_be_lost(world: World) -> None:
    os.mkfifo(world.tree / "pipe")
    for kind, name in ((Kind.FIFO, "pipe"), (Kind.DIR, "d")):
        assert world.made.lost(unlink(world.there(name)._replace(kind=kind))) == b""
    assert world.made.lost(unlink(Target(b"/elsewhere/large", Kind.FILE))) == b""
