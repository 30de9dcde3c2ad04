"""Ignore rules of the base commit: bounded in depth and cost, and what is beyond is not ignored."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.git.ignores import BaseIgnores
from supervisor.git.layout import discover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def ignores(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], BaseIgnores]]:
    made: list[BaseIgnores] = []

    def make(files: dict[str, str]) -> BaseIgnores:
        tree = tmp_path / "tree"
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content)
        for command in ("init -q", "add -Af", "-c user.name=a -c user.email=a@b commit -qm base"):
            subprocess.run(["git", *command.split()], cwd=tree, check=True, env={"PATH": "/usr/bin:/bin"})
        repository = discover(tree)
        assert repository is not None
        made.append(BaseIgnores(repository, tmp_path / "own"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_what_an_ignored_folder_holds_is_ignored_however_deep(
    ignores: Callable[[dict[str, str]], BaseIgnores],
) -> None:
    found = ignores({".gitignore": "build/\n"})
    assert found.covers(b"build/" + b"a/" * 500 + b"x")
    assert not found.covers(b"a/" * 70 + b"build/x"), "deeper than rules are asked for"
    assert not found.covers(b"a" * 250 + b"/" + b"b" * 250 + b"/" + b"c" * 250 + b"/" + b"d" * 250 + b"/" + b"e" * 250)
    assert found.covers(b"a/" * 20 + b"build/x")
    assert found.pid


def test_rule_files_that_cost_too_much_together(ignores: Callable[[dict[str, str]], BaseIgnores]) -> None:
    many = "\n".join(f"x{at}" for at in range(3500)) + "\n"
    found = ignores(
        {".gitignore": "*.o\n" + many, "a/.gitignore": many, "a/b/.gitignore": "y\n", "c/.gitignore": "y\n"}
    )
    assert found.covers(b"c/1.o")
    assert not found.covers(b"a/b/1.o")
    assert found.covers(b"a/b/y")


def test_a_tracked_file_is_not_ignored(ignores: Callable[[dict[str, str]], BaseIgnores]) -> None:
    found = ignores({".gitignore": "*.o\n", "kept.o": ""})
    assert not found.covers(b"kept.o")
    assert found.covers(b"other.o")
