"""Which installed tool a program is, whatever it is called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from supervisor.surfaces.identity import Identities

ELF = b"\x7fELF" + b"kubectl" * 100


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Where tools are installed: kubectl, and a script that stands there under three names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").write_bytes(ELF)
    for name in ("aws", "python3", "pip"):
        (folder / name).write_text('#!/bin/sh\nexec manager "${0##*/}" "$@"\n')
    return folder


def of(tools: Path, path: Path) -> str:
    return Identities(("kubectl", "aws"), (bytes(tools),)).of(bytes(path))


def test_copies_and_links_are_the_tool(tools: Path, tmp_path: Path) -> None:
    shutil.copy(tools / "kubectl", tmp_path / "k")
    os.link(tools / "kubectl", tmp_path / "hard")
    (tmp_path / "soft").symlink_to(tools / "kubectl")
    shutil.copy(tools / "kubectl", tools / "k8s")  # under another name where tools are
    for path in (tools / "kubectl", tmp_path / "k", tmp_path / "hard", tmp_path / "soft", tools / "k8s"):
        assert of(tools, path) == "kubectl", path


def test_another_program_is_none(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(ELF[:-1] + b"x")  # of the same size
    (tmp_path / "empty").write_bytes(b"")
    assert of(tools, tmp_path / "k") == of(tools, tmp_path / "empty") == ""
    with pytest.raises(FileNotFoundError):
        of(tools, tmp_path / "none")


def test_one_script_under_many_names_goes_by_its_name(tools: Path, tmp_path: Path) -> None:
    """The shims of version managers: each begins the program that it is called."""
    assert of(tools, tools / "aws") == "aws"
    assert of(tools, tools / "python3") == of(tools, tools / "pip") == ""
    shutil.copy(tools / "aws", tmp_path / "x")  # a copy that the run made hides nothing
    assert of(tools, tmp_path / "x") == "aws"


def test_what_was_replaced_is_looked_at_again(tools: Path, tmp_path: Path) -> None:
    known = Identities(("kubectl",), (bytes(tools),))
    path = tmp_path / "k"
    path.write_bytes(ELF)
    assert known.of(bytes(path)) == "kubectl"
    path.write_bytes(b"else")
    assert known.of(bytes(path)) == ""
