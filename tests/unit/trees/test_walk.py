"""A tree as git would name it, whatever git itself is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.trees import walk
from supervisor.trees.walk import Walk, blob_named, content_of, stand_in
from supervisor.vocabulary.errors import TooMuchError
from supervisor.vocabulary.versions import Entry


def nothing(path: bytes, folder: bool) -> bool:
    return False


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    (place / "d/e").mkdir(parents=True)
    (place / "a").write_text("hello\n")
    (place / "d/run").write_text("#!/bin/sh\n")
    (place / "d/run").chmod(0o755)
    (place / "d/link").symlink_to("../a")
    (place / "d/e/\udcff x").write_text("odd")
    os.mkfifo(place / "pipe")
    (place / ".git").mkdir()
    (place / ".git/config").write_text("")
    (place / "d/.git").write_text("gitdir: /nowhere")
    return place


def gone(tree: Path, folder: Path, **options: int) -> Walk:
    made = Walk(os.fsencode(tree), nothing, **options)
    made.load(folder)
    return made


def test_entries_are_those_of_git(tree: Path) -> None:
    found = Walk(os.fsencode(tree), nothing).go().entries
    assert found == {
        b"a": Entry("100644", "ce013625030ba8dba906f756967f9e9ca394464a"),
        b"d/run": Entry("100755", blob_named(b"#!/bin/sh\n")),
        b"d/link": Entry("120000", blob_named(b"../a")),
        b"d/e/\xff x": Entry("100644", blob_named(b"odd")),
    }
    told = subprocess.run(["git", "hash-object", "--no-filters", "a"], cwd=tree, capture_output=True, check=True)
    assert told.stdout.decode().strip() == found[b"a"].blob


def test_only_what_has_changed_is_read_again(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_TICK", -(10**12))  # as if all of it had lain there for long
    first = gone(tree, tmp_path)
    assert len(first.go().read) == 4
    first.save(tmp_path)
    (tree / "a").write_text("other\n")
    (tree / "d/new").write_text("new")
    (tree / "d/run").unlink()
    second = gone(tree, tmp_path)
    assert set(second.known()) == {b"a", b"d/run", b"d/link", b"d/e/\xff x"}
    found = second.go()
    assert found.read == {b"a", b"d/new"}
    assert found.entries[b"a"].blob == blob_named(b"other\n")
    assert b"d/run" not in found.entries


def test_what_may_have_been_written_in_the_same_tick_is_read_again(tree: Path, tmp_path: Path) -> None:
    (tree / "a").write_text("one")
    first = gone(tree, tmp_path)
    first.go()
    first.save(tmp_path)
    assert b"a" in gone(tree, tmp_path).go().read


@pytest.mark.parametrize("bad", [b"", b"nonsense", b"govrun-index 1 -\0short\0", b"govrun-index 2 -\0", b"\xff\0"])
def test_an_index_that_cannot_be_read_is_none(tree: Path, tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "index").write_bytes(bad)
    made = gone(tree, tmp_path)
    assert made.known() == {}
    assert len(made.go().entries) == 4


def test_what_is_ignored_is_asked_anew_under_other_rules(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_TICK", -(10**12))
    asked: list[bytes] = []

    def rules(path: bytes, folder: bool) -> bool:
        asked.append(path)
        return path == b"d" if folder else path == b"a"

    first = Walk(os.fsencode(tree), nothing, "one")
    first.go()
    first.save(tmp_path)
    same = Walk(os.fsencode(tree), rules, "one")
    same.load(tmp_path)
    assert set(same.go().entries) == {b"a"}  # folders are always asked about
    assert asked == [b"d"]
    other = Walk(os.fsencode(tree), rules, "two")
    other.load(tmp_path)
    assert other.go().entries == {}


def test_what_cannot_be_read_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    refused = os.fsencode(tree / "a")

    def opened(path: bytes, *rest: int, **more: int) -> int:
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(walk.os, "open", opened)
    found = Walk(os.fsencode(tree), nothing).go()
    assert found.unreadable == (b"a",)
    info = os.lstat(tree / "a")
    told = stand_in(info.st_size, info.st_mtime_ns)  # it is there: a state without it would say that it was removed
    assert found.entries[b"a"].blob == blob_named(told)
    assert found.texts[blob_named(told)] == told


def test_a_file_of_any_size_costs_nothing(tree: Path) -> None:
    with open(tree / "sparse", "wb") as file:
        file.truncate(1 << 42)
    found = Walk(os.fsencode(tree), nothing).go()
    assert b"sparse" in found.unreadable
    assert found.entries[b"sparse"].blob in found.texts


def test_what_was_just_written_is_known_and_read_again(tree: Path, tmp_path: Path) -> None:
    (tree / "a").write_text("new")
    first = Walk(os.fsencode(tree), nothing)
    first.go()
    first.save(tmp_path)
    known = Walk(os.fsencode(tree), nothing)
    known.load(tmp_path)
    assert known.known()[b"a"].blob == blob_named(b"new")
    assert b"a" in known.go().read


def test_a_folder_that_cannot_be_listed_has_not_lost_its_files(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gone(tree, tmp_path)
    before = first.go().entries
    first.save(tmp_path)
    real, refused = os.scandir, os.fsencode(tree / "d")

    def listed(path: bytes) -> Iterator[os.DirEntry[bytes]]:
        if path == refused:
            raise OSError(24, "Too many open files")
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", listed)
    second = gone(tree, tmp_path)
    found = second.go()
    assert found.entries == before
    assert found.unreadable == (b"d",)
    second.save(tmp_path)
    monkeypatch.undo()
    assert gone(tree, tmp_path).go().entries == before


def test_a_tree_that_is_too_large(tree: Path) -> None:
    with pytest.raises(TooMuchError, match="too large"):
        Walk(os.fsencode(tree), nothing, most=2).go()
    with pytest.raises(TooMuchError, match="too large"):
        Walk(os.fsencode(tree), nothing, patience=-1).go()


def test_content_is_that_of_its_name_or_none(tree: Path) -> None:
    path = os.fsencode(tree / "a")
    blob = blob_named(b"hello\n")
    assert content_of(path, blob, 100) == b"hello\n"
    assert content_of(path, blob, 3) is None
    assert content_of(path, blob_named(b"other"), 100) is None
    assert content_of(os.fsencode(tree / "d/link"), blob_named(b"../a"), 100) == b"../a"
    assert content_of(path + b"-", blob, 100) is None
