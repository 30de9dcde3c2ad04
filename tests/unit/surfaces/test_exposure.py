"""What makes a git directory of an ordinary folder, in whichever order."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.kernel.libc import AT_FDCWD
from supervisor.surfaces.paths import git_above
from supervisor.surfaces.renames import ConfigDelta, must_be_packed
from supervisor.vocabulary.events import FsEvent
from tests.unit.surfaces.kit import Caught, working_in


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tree"
    (root / "c").mkdir(parents=True)
    with working_in(root):
        yield root


def delta(old: bytes, new: bytes, module: bool) -> ConfigDelta:
    if new == b"broken":
        raise ValueError("broken")
    return ConfigDelta((), ("core.fsmonitor",) if b"evil" in new else ())


@pytest.fixture
def caught(tree: Path) -> Caught:
    return Caught(tree, delta)


def event(caught: Caught, name: str, *args: bytes | int, git_tool: bool = False) -> FsEvent:
    attempt = caught(name, *args, git_tool=git_tool)
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    return attempt.event


def fill(tree: Path, *names: str) -> None:
    for name in names:
        path = tree / "c" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in ("objects", "refs", "hooks"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text("evil" if name.startswith("config") else "x")


@pytest.mark.parametrize(("there", "comes"), [("objects", b"c/refs"), ("refs", b"c/objects")])
def test_the_second_of_the_pair_is_judged(tree: Path, caught: Caught, there: str, comes: bytes) -> None:
    fill(tree, "config")
    assert event(caught, "mkdir", comes, 0o755).exposes == ""
    fill(tree, there)
    assert "core.fsmonitor" in event(caught, "mkdir", comes, 0o755).exposes
    assert "core.fsmonitor" in event(caught, "symlink", b"x", comes).exposes
    (tree / "folder").mkdir()
    assert "core.fsmonitor" in event(caught, "rename", b"folder", comes).exposes
    (tree / "file").write_text("")
    assert "core.fsmonitor" in event(caught, "link", b"file", comes).exposes


def linked(tree: Path) -> None:
    (tree / "c/config").symlink_to("../x")


def of_two_names(tree: Path) -> None:
    (tree / "x").write_text("")
    os.link(tree / "x", tree / "c/config")


def broken(tree: Path) -> None:
    (tree / "c/config").write_text("broken")


def huge(tree: Path) -> None:
    (tree / "c/config").write_text(" " * ((1 << 20) + 1))


def hooked(tree: Path) -> None:
    fill(tree, "hooks/pre-commit")


def hooks_linked(tree: Path) -> None:
    (tree / "c/hooks").symlink_to("../x")


def foreign(tree: Path) -> None:
    fill(tree, "objects/info/alternates")


def for_worktrees(tree: Path) -> None:
    fill(tree, "config.worktree")


@pytest.mark.parametrize(
    "prepare",
    [linked, of_two_names, broken, huge, hooked, hooks_linked, foreign, for_worktrees],
    ids=lambda f: f.__name__,
)
def test_what_must_not_become_a_git_directory(tree: Path, caught: Caught, prepare: Callable[[Path], None]) -> None:
    fill(tree, "objects")
    prepare(tree)
    assert event(caught, "mkdir", b"c/refs", 0o755).exposes


def test_a_harmless_configuration_is_set_apart(tree: Path, caught: Caught) -> None:
    fill(tree, "objects", "hooks/x.sample")
    (tree / "c/config").write_text("fine")
    found = event(caught, "mkdir", b"c/refs", 0o755)
    assert (found.exposes, found.settled) == ("", ((os.fsencode(tree / "c/config"), b"fine"),))


def test_folders_by_the_names_of_files_are_nothing_to_git(tree: Path, caught: Caught) -> None:
    fill(tree, "objects", "config/x.ts")
    assert event(caught, "mkdir", b"c/refs", 0o755).exposes == ""


@pytest.mark.parametrize(("there", "comes"), [("HEAD", b"c/commondir"), ("commondir", b"c/HEAD")])
@pytest.mark.parametrize("git_tool", [True, False])
def test_a_commondir_outside_of_worktrees(tree: Path, caught: Caught, there: str, comes: bytes, git_tool: bool) -> None:
    fill(tree, there)
    flags = os.O_CREAT | os.O_WRONLY
    assert "worktrees/" in event(caught, "open", comes, flags, 0o644, git_tool=git_tool).exposes


def test_a_commondir_of_a_worktree(tree: Path, caught: Caught) -> None:
    fill(tree, "objects", "refs", "worktrees/w/HEAD")
    name, flags = b"c/worktrees/w/commondir", os.O_CREAT | os.O_WRONLY
    assert event(caught, "open", name, flags, 0o644, git_tool=True).exposes == ""
    assert event(caught, "open", name, flags, 0o644).exposes
    fill(tree, "worktrees/w/commondir")
    assert event(caught, "open", b"c/worktrees/w/HEAD", flags, 0o644).exposes == ""  # was one before


def test_a_repository_that_leaves_temporary_space(tree: Path) -> None:
    (tree / "tmp/r/objects").mkdir(parents=True)
    (tree / "tmp/r/refs").mkdir()
    (tree / "tmp/plain/objects").mkdir(parents=True)
    caught = Caught(tree, delta, plain=lambda old, new: all(b"/tmp/" in path for path in (old, new)))
    assert "cloned" in event(caught, "rename", b"tmp/r", b"r").exposes
    assert event(caught, "rename", b"tmp/plain", b"p").exposes == ""
    (tree / "tmp/w/s").mkdir(parents=True)
    (tree / "tmp/w/s/.git").write_text("gitdir: /tmp/r")
    assert "cloned" in event(caught, "rename", b"tmp/w", b"w").exposes
    assert event(caught, "rename", b"tmp/r", b"tmp/s").exposes == ""
    assert "cloned" in event(caught, "renameat2", AT_FDCWD, b"c", AT_FDCWD, b"tmp/r", 2).exposes
    fill(tree, "config")
    (tree / "tmp/d/objects").mkdir(parents=True)
    (tree / "tmp/d/config").write_text("evil")
    assert event(caught, "mkdir", b"tmp/d/refs", 0o755).exposes == ""


def test_what_lies_in_a_git_directory(tree: Path) -> None:
    folder = os.fsencode(tree / "c")
    for names in itertools.combinations(("HEAD", "objects", "refs", "commondir"), 2):
        for name in ("HEAD", "objects", "refs", "commondir"):
            path = tree / "c" / name
            path.unlink(missing_ok=True) if not path.is_dir() else path.rmdir()
        fill(tree, *names)
        expected = folder if set(names) in ({"objects", "refs"}, {"HEAD", "commondir"}) else b""
        assert git_above(folder + b"/config") == expected, names


HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"
A, B = b"1" * 40 + b" refs/heads/a\n", b"2" * 40 + b" refs/heads/b\n"


@pytest.mark.parametrize("content", [b"", HEADER, HEADER + A + b"^" + b"3" * 40 + b"\n" + B, A + B, B + A])
def test_packed_refs_that_git_reads(content: bytes) -> None:
    must_be_packed(content)


@pytest.mark.parametrize(
    "content",
    [
        b"rubbish\n",
        A[:-1],
        HEADER + B + A,
        HEADER + A + A,
        b"1" * 39 + b" refs/heads/a\n",
        A + b"\n",
        b"1" * 40 + b" HEAD\n",
    ],
)
def test_packed_refs_that_git_does_not_read(content: bytes) -> None:
    with pytest.raises(ValueError, match="it"):
        must_be_packed(content)
