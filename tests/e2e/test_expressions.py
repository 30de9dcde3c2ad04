"""``[[rule]]``: what no other kind can say, judged on commands, files and connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1

[[rule]]
id    = "generated-by-its-tool"
adr   = "0003"
match = 'event.kind == "file" && event.path.startsWith("gen/") && !event.actor.endsWith("/make")'

[[rule]]
id       = "no-shallow-history"
adr      = "0003"
match    = 'event.kind == "exec" && "git" in event.tools && event.argv.exists(w, w.startsWith("--depth"))'
examples = { denied = ["git clone --depth=1 x"], allowed = ["git status"] }

[[rule]]
id    = "low-ports"
adr   = "0003"
match = 'event.kind == "net" && event.op == "connect" && event.port > 0 && event.port < 1024'
"""
TREE = {"src.txt": "one\n", "gen/out.txt": "one\n"}
# RENAME_EXCHANGE of renameat2(2).
EXCHANGE = """python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b"y", -100, b"gen/out.txt", 2)'"""
pytestmark = pytest.mark.needs("notify", landlock=2)


def test_a_harmless_agent_passes(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE, TREE)
    clean(govrun("sh", "-c", "echo two > src.txt; git status -s; git log --oneline -1", cwd=tree))


def test_a_file_that_its_tool_alone_may_write(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE, TREE)
    outcome = govrun("sh", "-c", "echo by hand > gen/out.txt; rm gen/out.txt; mv gen gone; true", cwd=tree)
    assert (tree / "gen/out.txt").read_text() == "one\n"
    denied = outcome.denied("generated-by-its-tool")
    assert len(denied) == 3, outcome.stderr
    assert {each["adr"] for each in denied} == {"0003"}
    assert "file gen/out.txt" in outcome.stderr


@pytest.mark.parametrize(
    "script",
    [
        "echo two > y; mv y gen/out.txt",
        "echo two > y; ln y gen/new",
        "mkdir m; echo two > m/out.txt; mv m gen/new",
        "echo two > y; " + EXCHANGE,
    ],
)
def test_a_new_name_is_asked_about_as_well(govrun: Govrun, repo: Path, script: str) -> None:
    tree = tree_of(govrun, repo, PROFILE, TREE)
    outcome = govrun("sh", "-c", script + "; true", cwd=tree)
    assert (tree / "gen/out.txt").read_text() == "one\n" and not (tree / "gen/new").exists()
    assert outcome.denied("generated-by-its-tool"), outcome.stderr
    assert "generated-by-its-tool" in note(govrun, tree)


def test_a_command_by_any_of_its_words(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE, TREE)
    outcome = govrun("sh", "-c", "env -S 'git clone -q --depth=1 . ../copy'; test -e ../copy", cwd=tree)
    assert outcome.code != 0
    (first, *_) = outcome.denied("no-shallow-history")
    assert first["outcome"] == "blocked"
    assert "no-shallow-history" in note(govrun, tree)


def test_a_connection_by_its_port(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE, TREE)
    script = "import socket; socket.create_connection(('127.0.0.1', 99), 1)"
    outcome = govrun("python3", "-c", script, cwd=tree)
    assert outcome.denied("low-ports"), outcome.stderr
    assert "net 127.0.0.1:99: " in outcome.stderr


def test_a_misspelt_name_is_told_before_anything_starts(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE.replace("event.port > 0", "event.prot > 0"), TREE)
    outcome = govrun("touch", "mark", cwd=tree)
    assert outcome.code == 125 and not (tree / "mark").exists()
    assert "undeclared reference to 'event.prot'" in outcome.stderr and "low-ports" in outcome.stderr


def test_without_the_extra_the_profile_is_refused(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """An environment that has all of govrun but that."""
    tree = tree_of(govrun, repo, PROFILE, TREE)
    script = (
        "import runpy, sys; sys.modules['cel_expr_python'] = None; runpy.run_module('supervisor', run_name='__main__')"
    )
    argv = [sys.executable, "-I", "-c", script, "--", "touch", "mark"]
    done = subprocess.run(argv, cwd=tree, env=govrun.env, capture_output=True, text=True)
    assert done.returncode == 125 and not (tree / "mark").exists()
    assert "[[rule]] needs the extra cel" in done.stderr and "pipx inject govrun cel-expr-python" in done.stderr
