"""Names the run made: by path and inode, so that a replaced name is somebody else's again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.vocabulary.events import Kind, Target


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tree").mkdir()
    return tmp_path / "tmp"


@pytest.fixture
def made(temp: Path) -> Made:
    return Made((os.fsencode(temp),), os.fsencode(temp.parent / "tree"))


def b(path: Path) -> bytes:
    return os.fsencode(path)


def test_a_top_level_name_makes_what_is_in_it_the_runs(made: Made, temp: Path) -> None:
    (temp / "mine").mkdir()
    assert not made.contains(b(temp / "mine"))
    made.created(b(temp / "mine"))
    for path in ("mine", "mine/a", "mine/a/b"):
        assert made.contains(b(temp / path)), path
    for path in ("mine2", "", "theirs/mine"):
        assert not made.contains(b(temp / path) if path else b(temp)), path


def test_creating_below_somebody_elses_folder_makes_nothing_the_runs(made: Made, temp: Path) -> None:
    (temp / "theirs/x").mkdir(parents=True)
    made.created(b(temp / "theirs/x"))
    assert not made.contains(b(temp / "theirs/x"))
    assert not made.contains(b(temp / "theirs"))


def test_a_name_that_somebody_replaced_is_no_longer_the_runs(made: Made, temp: Path) -> None:
    path = temp / "f"
    path.write_text("mine")
    made.created(b(path))
    keep = temp / "keep"
    path.rename(keep)
    path.write_text("theirs")
    assert not made.contains(b(path))
    path.unlink()
    assert not made.contains(b(path))


def test_a_failed_creation_is_none(made: Made, temp: Path) -> None:
    made.created(b(temp / "never"))
    (temp / "never").write_text("theirs")
    assert not made.contains(b(temp / "never"))


def test_moves(made: Made, temp: Path) -> None:
    (temp / "a").write_text("x")
    made.created(b(temp / "a"))
    (temp / "a").rename(temp / "b")
    made.moved(b(temp / "a"), b(temp / "b"), True)
    assert made.contains(b(temp / "b"))
    (temp / "a").write_text("theirs")
    assert not made.contains(b(temp / "a"))


def test_a_file_from_the_tree_is_the_runs_in_temporary_space(made: Made, temp: Path) -> None:
    source = temp.parent / "tree/x"
    source.write_text("x")
    source.rename(temp / "x")
    made.moved(b(source), b(temp / "x"), False)
    assert made.contains(b(temp / "x"))


def test_removed_names_are_forgotten(made: Made, temp: Path) -> None:
    (temp / "a").write_text("x")
    made.created(b(temp / "a"))
    made.removed(b(temp / "a"))
    assert not made.contains(b(temp / "a"))


def test_exchanged_names_are_both_still_the_runs(made: Made, temp: Path) -> None:
    for name in ("a", "b"):
        (temp / name).mkdir()
        made.created(b(temp / name))
    (temp / "a").rename(temp / "keep")
    (temp / "b").rename(temp / "a")
    (temp / "keep").rename(temp / "b")
    made.exchanged(b(temp / "a"), b(temp / "b"))
    assert made.contains(b(temp / "a"))
    assert made.contains(b(temp / "b/x"))


def _target(path: Path) -> Target:
    found = os.lstat(path)
    return Target(b(path), Kind.FILE, found.st_dev, found.st_ino, found.st_nlink)


def test_names_the_run_gave_are_told_from_others(made: Made, temp: Path) -> None:
    f, g, h = (temp / name for name in "fgh")
    f.write_text("x")
    before = _target(f)
    os.link(f, g)
    made.linked(before, b(g))
    assert made.other_names(_target(f)) == made.other_names(_target(g)) == 1
    os.link(f, h)  # by somebody else
    assert made.other_names(_target(h)) == 2
    assert made.other_names(_target(f)) == 1


def test_a_name_that_no_longer_leads_there_does_not_count(made: Made, temp: Path) -> None:
    """`ln f g; mv other g; echo >> f` would else write into the store that f is a link of."""
    store, f, g = (temp / name for name in ("store", "f", "g"))
    store.write_text("x")
    os.link(store, f)
    before = _target(f)
    os.link(f, g)
    made.linked(before, b(g))
    assert made.other_names(_target(f)) == 1
    (temp / "other").write_text("o")
    (temp / "other").rename(g)
    assert made.other_names(_target(f)) == 0


def test_names_move_with_their_folders(made: Made, temp: Path) -> None:
    (temp / "d").mkdir()
    (temp / "d/f").write_text("x")
    before = _target(temp / "d/f")
    os.link(temp / "d/f", temp / "g")
    made.linked(before, b(temp / "g"))
    (temp / "d").rename(temp / "e")
    made.moved(b(temp / "d"), b(temp / "e"), True)
    assert made.other_names(_target(temp / "g")) == 1


def test_the_tree_in_temporary_space_is_the_tree(temp: Path) -> None:
    tree = temp / "tree"
    tree.mkdir()
    made = Made((b(temp),), b(tree))
    made.created(b(tree / "x"))
    assert made.anchor(b(tree / "x")) is None
    assert made.anchor(b(temp / "tree2/x")) == b(temp / "tree2")


ANCHORS = [
    (".git/config", ".git"),
    ("sub/.git/hooks/x", "sub/.git"),
    (".git/modules/m/config", ".git/modules/m"),
    (".git/modules/a/modules/b/config", ".git/modules/a/modules/b"),
    (".git/modules/m", ".git/modules/m"),
    (".git/modules", ".git"),
    (".git/worktrees/w/HEAD", ".git/worktrees/w"),
    (".git/worktrees/w", ".git/worktrees/w"),
    ("src/x", None),
    (".gitx/config", None),
]


@pytest.mark.parametrize(("path", "anchor"), ANCHORS)
def test_git_directories_have_anchors_of_their_own(made: Made, temp: Path, path: str, anchor: str | None) -> None:
    tree = temp.parent / "tree"
    assert made.anchor(b(tree / path)) == (b(tree / anchor) if anchor else None)


def test_a_repository_of_the_run(made: Made, temp: Path) -> None:
    git = temp.parent / "tree/new/.git"
    git.mkdir(parents=True)
    made.created(b(git))
    assert made.contains(b(git / "config"))
    # In it, submodules and worktrees are the run's with it.
    assert made.contains(b(git / "modules/m/config"))
    assert not made.contains(b(temp.parent / "tree/.git/config"))
    moved = temp.parent / "tree/moved"
    git.parent.rename(moved)
    made.moved(b(git.parent), b(moved), False)
    assert made.contains(b(moved / ".git/config"))


def test_a_repository_in_temporary_space_is_the_runs_with_its_folder(made: Made, temp: Path) -> None:
    (temp / "clone/.git").mkdir(parents=True)
    made.created(b(temp / "clone"))
    assert made.contains(b(temp / "clone/.git/config"))
    assert not made.contains(b(temp / "other/.git/config"))


def test_a_linked_worktree_of_the_run_does_not_make_the_repository_the_runs(made: Made, temp: Path) -> None:
    folder = temp.parent / "tree/.git/worktrees/w"
    folder.mkdir(parents=True)
    made.created(b(folder))
    (folder / "HEAD").write_text("x")
    assert made.contains(b(folder / "HEAD"))
    assert not made.contains(b(temp.parent / "tree/.git/HEAD"))
    assert not made.contains(b(temp.parent / "tree/.git/worktrees/other/HEAD"))


# ----------------------------------------------------------------------------------------------------- ignored


def test_ignored_answers_are_asked_once_and_only_for_the_tree() -> None:
    asked: list[bytes] = []
    ignored = Ignored(b"/w/tree", lambda path, _folder: bool(asked.append(path)) or path == b"build/x")
    assert ignored.covers(b"/w/tree/build/x")
    assert ignored.covers(b"/w/tree/build/x")
    assert not ignored.covers(b"/w/tree/a")
    assert not ignored.covers(b"/w/tree2/build/x")
    assert not ignored.covers(b"/w/tree")
    assert asked == [b"build/x", b"a"]


def test_without_rules_nothing_is_ignored() -> None:
    assert not Ignored(b"/w/tree", None).covers(b"/w/tree/build/x")
