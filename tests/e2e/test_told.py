"""Reasons on standard error: one violation is told once to one open file, with its difference, and noise is bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1

[[dependency]]
id   = "one-http"
why  = "w"
deny = ["pypi:requests"]
use  = "httpx"
"""
SCRIPTS = [
    "cat ~/evil.txt > src/new.py; ls > /dev/null",
    "cat ~/evil.txt >> src/app.py; ls > /dev/null; ls > /dev/null",
    "echo 'import requests' >> src/app.py; ls > /dev/null",
]


@pytest.fixture
def governed(repo: Path, home: Path) -> Path:
    (repo / "govrun.toml").write_text(PROFILE)
    (home / "evil.txt").write_text("import requests\n")
    return repo


@pytest.mark.parametrize("where", ["pipe", "err.txt", "../home/err.txt"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_revert_is_told_once_with_its_difference(governed: Path, govrun: Govrun, script: str, where: str) -> None:
    if where == "pipe":
        shown = govrun("bash", "-c", script, options=["--quiet"]).ok().stderr
    else:
        with (governed / where).open("wb") as file:
            govrun("bash", "-c", script, options=["--quiet"], stderr=file).ok()
        shown = (governed / where).read_text()
    assert shown.count("reverted by one-http") == 1, shown
    assert shown.count("  +import requests") == 1, shown
    assert "· why: w ·" in shown


def test_another_standard_error_is_told_as_well(governed: Path, govrun: Govrun) -> None:
    script = 'cat ~/evil.txt > src/new.py; x=$(ls 2>&1 > /dev/null); echo "$x"'
    done = govrun("bash", "-c", script, options=["--quiet"]).ok()
    assert done.stdout.decode().count("  +import requests") == 1
    assert done.stderr.count("  +import requests") == 1


def test_a_tool_that_writes_beside_every_file_is_told_once(repo: Path, govrun: Govrun, home: Path) -> None:
    (home / "lib").mkdir()
    program = "import os\nfor n in range(60):\n try: open(f'{h}/lib/{n}.pyc', 'w')\n except OSError: pass\n"
    done = govrun(sys.executable, "-c", f"h = {str(home)!r}\n" + program, options=["--quiet"]).ok()
    assert done.stderr.count("denied by scope.write") == 1, done.stderr
    assert len(done.denied("scope.write")) == 60


def test_many_short_lived_tools_are_told_a_few_times(repo: Path, govrun: Govrun, home: Path) -> None:
    (home / "lib").mkdir()
    script = "for n in $(seq 20); do sh -c \"echo > ~/lib/$n\" || true; done; sh -c 'echo > ~/other' || true"
    done = govrun("bash", "-c", script, options=["--quiet"]).ok()
    assert done.stderr.count("denied by scope.write") == 6, done.stderr
    assert len(done.denied("scope.write")) == 21


def test_what_somebody_else_changed_reads_as_a_sentence(governed: Path, govrun: Govrun) -> None:
    running = govrun.start("sh", "-c", "echo ready; read x", options=["--quiet"], stdin=subprocess.PIPE)
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"ready\n"
    (governed / "src" / "theirs.py").write_text("import requests\n")
    outcome = running.wait()
    assert (
        "govrun: one-http (govrun.toml:3): src/theirs.py was changed by somebody else and now imports requests"
        in outcome.stderr
    )
    assert "(left alone) · why: w · instead: httpx" in outcome.stderr
