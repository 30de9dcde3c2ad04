"""What the resolver sees of a tree, and what it never follows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from supervisor.inspection.resolving import FILE, FOLDER, Resolver


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "src/db").mkdir(parents=True)
    (root / "src/db/client.py").write_text("x = 1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.json").write_text("{}")
    return root


def over(tree: Path) -> Resolver:
    return Resolver(os.fsencode(tree))


def test_files_and_folders(tree: Path) -> None:
    found = over(tree)
    assert found.exists_file("src/db/client.py")
    assert found.exists_dir("src/db")
    assert found.exists_dir("")
    assert not found.exists_file("src/db")
    assert not found.exists_dir("src/db/client.py")
    assert found.kind("src/db/client.py") == FILE
    assert found.kind("src") == FOLDER
    assert found.kind("nothing") == ""
    assert found.listdir("src/db") == ("client.py",)
    assert found.listdir("nothing") == ()
    assert found.text("src/db/client.py") == b"x = 1\n"
    assert found.text("src/db") is None


@pytest.mark.parametrize("path", ["../outside", "src/../src/db", "/etc", "src//db", "./src", "a\0b", "x" * 5000,
                                  "/".join(["a"] * 500)])  # fmt: skip
def test_other_spellings_lead_nowhere(tree: Path, path: str) -> None:
    found = over(tree)
    assert found.kind(path) == ""
    assert found.text(path) is None
    assert found.listdir(path) == ()


def test_links_stay_inside(tree: Path) -> None:
    (tree / "web").symlink_to("src")
    (tree / "absolute").symlink_to(tree / "src/db")
    (tree / "up").symlink_to("src/db/../db/client.py")
    (tree / "out").symlink_to("../outside")
    (tree / "etc").symlink_to("/etc")
    (tree / "round").symlink_to("round")
    (tree / "one").symlink_to("two/x")
    (tree / "two").symlink_to("one/x")
    found = over(tree)
    assert found.exists_file("web/db/client.py")
    assert found.canonical("web/db/client.py") == "src/db/client.py"
    assert found.canonical("web/db/new/later.py") == "src/db/new/later.py"
    assert found.canonical("absolute/client.py") == "src/db/client.py"
    assert found.canonical("up") == "src/db/client.py"
    for name in ("out", "etc", "round", "one", "two"):
        assert found.kind(name) == ""
        assert found.listdir(name) == ()
    assert found.kind("out/secret.json") == ""
    assert found.text("out/secret.json") is None
    assert found.text("etc/passwd") is None
    assert found.canonical("out/secret.json") == "out/secret.json"


def test_many_links_through_deep_folders_end(tree: Path) -> None:
    deep = "/".join("d" * 1 for _ in range(40))
    (tree / deep).mkdir(parents=True)
    for number in range(60):
        (tree / deep / f"l{number}").symlink_to("../" * 40 + f"{deep}/l{number + 1}")
    found = over(tree)
    assert found.kind(f"{deep}/l0") == ""


def test_a_text_is_what_is_there_now(tree: Path) -> None:
    found = over(tree)
    place = tree / "tsconfig.json"
    for number in range(20):
        place.write_text(f"{number % 10}")
        os.utime(place, ns=(1, 1))
        assert found.text("tsconfig.json") == b"%d" % (number % 10)
    place.unlink()
    assert found.text("tsconfig.json") is None


def test_what_is_derived_follows_the_text(tree: Path) -> None:
    found = over(tree)
    made: list[bytes] = []

    def make(content: bytes) -> int:
        made.append(content)
        return len(content)

    (tree / "go.mod").write_text("abc")
    assert found.derived("length", "go.mod", make) == 3
    assert found.derived("length", "go.mod", make) == 3
    assert made == [b"abc"]
    (tree / "go.mod").write_text("ab")
    assert found.derived("length", "go.mod", make) == 2
    assert found.derived("length", "nothing", make) is None


def test_a_listing_is_what_is_there_now(tree: Path) -> None:
    found = over(tree)
    assert found.listdir("src/db") == ("client.py",)
    (tree / "src/db/new.py").touch()
    assert found.listdir("src/db") == ("client.py", "new.py")


def test_a_settled_folder_is_read_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = over(tree)
    real = time.time_ns()
    monkeypatch.setattr("supervisor.inspection.resolving.time.time_ns", lambda: real + 10_000_000_000)
    assert found.listdir("src/db") == found.listdir("src/db")
    (tree / "src/db/new.py").touch()
    assert "new.py" in found.listdir("src/db")


def test_begin_forgets(tree: Path) -> None:
    found = over(tree)
    assert not found.exists_file("src/new.py")
    (tree / "src/new.py").touch()
    found.begin()
    assert found.exists_file("src/new.py")


def test_large_files_and_pipes_are_no_text(tree: Path) -> None:
    (tree / "large").write_bytes(b"x" * 5000)
    os.mkfifo(tree / "pipe")
    found = over(tree)
    assert found.text("large", 4999) is None
    assert found.text("large", 5000) is not None
    assert found.text("pipe") is None
    assert found.kind("pipe") == ""


def test_names_that_are_no_utf8(tree: Path) -> None:
    (tree / "src").joinpath(os.fsdecode(b"\xff.py")).touch()
    found = over(tree)
    relative = found.relative_of(os.fsencode(tree) + b"/src/\xff.py")
    assert relative is not None
    assert found.exists_file(relative)
    assert found.relative_of(b"/etc/passwd") is None
    assert found.relative_of(os.fsencode(tree)) is None
    assert found.relative_of(os.fsencode(tree) + b"/../x") is None


def test_what_is_remembered_is_made_anew_when_something_it_saw_has_changed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = over(tree)
    real = time.time_ns()
    monkeypatch.setattr("supervisor.inspection.resolving.time.time_ns", lambda: real + 10_000_000_000)
    (tree / "a.json").write_text("1")
    times: list[int] = []

    def inner() -> tuple[str, ...]:
        return found.listdir("src/db")

    def make() -> tuple[object, ...]:
        times.append(1)
        seen = (found.text("a.json"), found.exists_file("b.json"), found.remembered("inner", inner))
        return (*seen, found.text("c.json"), found.listdir("none"))

    def again() -> tuple[object, ...]:
        found.begin()
        return found.remembered("all", make)

    first = again()
    assert again() == again() == first
    assert len(times) == 1
    for number, change in enumerate(
        (
            lambda: (tree / "a.json").write_text("2"),
            (tree / "b.json").touch,
            (tree / "src/db/more.py").touch,
            (tree / "c.json").touch,
            (tree / "none").mkdir,
            (tree / "a.json").unlink,
        ),
        2,
    ):
        change()
        now = again()
        assert len(times) == number
        assert now != first or number == 6
        assert again() == now
        assert len(times) == number


def test_what_changed_just_now_is_looked_at_again(tree: Path) -> None:
    found = over(tree)
    for number in range(30):
        (tree / f"src/db/n{number}.py").touch()
        found.begin()
        assert f"n{number}.py" in found.remembered("names", lambda: found.listdir("src/db"))
