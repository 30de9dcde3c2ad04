"""Copies of a tree: what is in them, and whether it was there at one moment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.git.base import Objects
from supervisor.git.neutral import Git
from supervisor.run.frozen import Committed, CommitTree, File, Unsettled, WorkTree, there


def paths(tree: Path) -> list[bytes]:
    found = []
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name != ".git"]
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        found += [os.fsencode(os.path.relpath(os.path.join(folder, name), tree)) for name in (*files, *links)]
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/run.sh").write_text("true\n")
    (place / "a/b/run.sh").chmod(0o755)
    (place / "x").write_text("one\n")
    (place / "link").symlink_to("a/b/run.sh")
    (place / "outside").symlink_to("/etc")
    return place


def work(tree: Path) -> WorkTree:
    return WorkTree(os.fsencode(tree), lambda: paths(tree))


def same(one: Path, other: Path) -> bool:
    done = subprocess.run(["diff", "-r", "--no-dereference", "-x", ".git", one, other], capture_output=True, text=True)
    return done.returncode == 0


def test_a_copy_is_the_tree(tree: Path, tmp_path: Path) -> None:
    state = work(tree).copy(tmp_path / "copy")
    assert state and same(tree, tmp_path / "copy")
    assert os.access(tmp_path / "copy/a/b/run.sh", os.X_OK)
    assert work(tree).state() == state


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "x").write_text("two\n"),
        lambda tree: (tree / "new").write_text(""),
        lambda tree: (tree / "x").unlink(),
        lambda tree: (tree / "x").chmod(0o700),
        lambda tree: (tree / "x").rename(tree / "y"),
        lambda tree: os.utime(tree / "x", ns=(1, 1)),
    ],
)
def test_every_change_is_another_state(tree: Path, change: object) -> None:
    before = work(tree).state()
    change(tree)  # type: ignore[operator]
    assert work(tree).state() != before


def test_content_that_is_set_back_in_time_is_another_state(tree: Path) -> None:
    info = (tree / "x").stat()
    before = work(tree).state()
    (tree / "x").write_text("two\n")
    os.utime(tree / "x", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert work(tree).state() != before


def test_a_tree_that_changes_all_the_time_is_not_copied(tree: Path, tmp_path: Path) -> None:
    count = 0

    def listed() -> list[bytes]:
        nonlocal count
        count += 1
        (tree / "x").write_text("x" * count)
        return paths(tree)

    with pytest.raises(Unsettled):
        WorkTree(os.fsencode(tree), listed).copy(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_link_is_not_followed_out_of_the_copy(tree: Path, tmp_path: Path) -> None:
    """Git lists a file that it tracks below what is a link by now."""
    there_ = tmp_path / "victim"
    there_.mkdir()
    (tree / "folder").symlink_to(there_)
    (there_ / "f").write_text("secret")
    WorkTree(os.fsencode(tree), lambda: [b"folder", b"folder/f", b"folder/g"]).copy(tmp_path / "copy")
    assert os.readlink(tmp_path / "copy/folder") == str(there_)
    assert os.listdir(there_) == ["f"]


@pytest.mark.parametrize("path", [b"../out", b"a/../../out", b"/abs", b"a//b", b"./x"])
def test_a_path_that_leads_out_is_refused(tree: Path, tmp_path: Path, path: bytes) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OSError, match="is no path in a tree"):
        WorkTree(os.fsencode(tree), lambda: [path]).copy(tmp_path / "copy")
    assert (tmp_path / "out").read_text() == "mine"


def test_only_files_and_links_are_files(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    name = os.fsencode(tree)
    assert there(name + b"/fifo") is None and there(name + b"/a") is None and there(name + b"/no") is None
    assert there(name + b"/x") == File(False, b"one\n") and there(name + b"/link") == File(True, b"a/b/run.sh")


# Commits.


@pytest.fixture
def objects(tree: Path) -> Iterator[Objects]:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=tree, check=True)
    found = Objects(Git(tree / ".git"), timeout=10)
    yield found
    found.close()


def head(tree: Path) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_copied_as_it_is(tree: Path, tmp_path: Path, objects: Objects) -> None:
    shape = CommitTree(objects, head(tree), work(tree))
    assert shape.copy(tmp_path / "copy") == work(tree).state() != ""
    assert same(tree, tmp_path / "copy") and os.access(tmp_path / "copy/a/b/run.sh", os.X_OK)
    (tree / "x").write_text("not committed")
    assert shape.copy(tmp_path / "other") == ""
    assert (tmp_path / "other/x").read_text() == "one\n"


def test_a_commit_beside_more_is_not_the_tree(tree: Path, tmp_path: Path, objects: Objects) -> None:
    (tree / "untracked").write_text("x")
    assert CommitTree(objects, head(tree), work(tree)).copy(tmp_path / "copy") == ""
    assert not (tmp_path / "copy/untracked").exists()


def test_a_commit_that_is_not_whole_is_not_copied(tree: Path, tmp_path: Path, objects: Objects) -> None:
    commit = head(tree)
    folder = subprocess.run(
        ["git", "rev-parse", "HEAD:a/b"], cwd=tree, capture_output=True, text=True, check=True
    ).stdout.strip()
    (tree / ".git/objects" / folder[:2] / folder[2:]).unlink()
    with pytest.raises(OSError, match=f"is not whole: {folder} is missing"):
        CommitTree(objects, commit, work(tree)).copy(tmp_path / "copy")


def test_a_commit_can_be_asked_for_its_files(tree: Path, objects: Objects) -> None:
    found = Committed(objects, head(tree))
    assert sorted(found.files()) == [b"a/b/run.sh", b"link", b"outside", b"x"]
    assert found.at(b"x") == File(False, b"one\n") and found.at(b"a") is None and found.at(b"no") is None
    with pytest.raises(OSError, match="began at no commit"):
        Committed(None, "").at(b"x")


def test_what_lies_behind_a_link_is_not_copied(tree: Path, tmp_path: Path) -> None:
    """A folder or a file that is swapped for a link after it was listed."""
    beyond = tmp_path / "beyond"
    beyond.mkdir()
    (beyond / "key").write_text("secret\n")
    (tree / "swapped").symlink_to(beyond)
    (tree / "file").symlink_to(beyond / "key")
    os.mkfifo(tree / "pipe")
    listed = [b"swapped/key", b"file", b"pipe", b"x"]
    WorkTree(os.fsencode(tree), lambda: listed).copy(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path / "copy")) == ["file", "swapped", "x"]
    assert os.listdir(tmp_path / "copy/swapped") == []
    assert os.readlink(tmp_path / "copy/file") == str(beyond / "key")


def test_what_is_hidden_is_not_copied(tree: Path, tmp_path: Path) -> None:
    state = work(tree).copy(tmp_path / "copy", lambda path: path == b"a/b/run.sh")
    assert state == work(tree).state()
    assert (tmp_path / "copy/x").exists() and not (tmp_path / "copy/a").exists()
