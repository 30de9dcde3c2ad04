"""A start pays for what it uses: heavy libraries are imported by the commands that need them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

HEAVY = {
    "asyncio", "argparse", "concurrent", "difflib", "email", "git", "http", "importlib.metadata", "inspect", "logging",
    "pathspec", "psutil", "pyseccomp", "rich", "ssl", "subprocess", "threading",
    "typer", "unittest", "urllib.request", "watchdog", "yaml",
}  # fmt: skip


def test_importing_the_command_imports_nothing_heavy(checkout_interpreter: str) -> None:
    program = "import sys, json, supervisor.cli.main; sys.stdout.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([checkout_interpreter, "-I", "-c", program], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert loaded & HEAVY == set()


@pytest.mark.needs("notify", landlock=2)
def test_a_second_start_imports_nothing_heavy(govrun: "Govrun", tmp_path: Path) -> None:
    shutil.rmtree(govrun.cwd / "src")  # folders are looked through at the end, where git is asked what it ignores
    govrun("true").ok()  # the filter is built and kept by the first start
    log = tmp_path / "imports"
    command = govrun.argv("--", "/bin/true")
    with log.open("wb") as sink:
        traced = [command[0], "-X", "importtime", *command[1:]]
        done = subprocess.run(traced, cwd=govrun.cwd, env=govrun.env, stderr=sink, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    loaded = set(re.findall(r"^import time:.*\|\s+([\w.]+)$", log.read_text(), re.MULTILINE))
    assert "supervisor.cli.main" in loaded
    assert loaded & HEAVY == set()
