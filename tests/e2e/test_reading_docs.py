"""The examples of docs/reading.md: run in order, in one repository, with what they print compared."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.arch.test_readme import agrees, steps

if TYPE_CHECKING:
    from tests.conftest import Govrun

PAGE = (Path(__file__).parents[2] / "docs" / "reading.md").read_text()
EXAMPLES = re.findall(r"<!-- run -->\n```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.needs("notify", "git", "jq", landlock=2)
def test_every_example_prints_what_the_page_says(govrun: Govrun, tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "govrun"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {" ".join(f"{word!r}" for word in map(str, govrun.argv()))} "$@"\n')
    shim.chmod(0o755)
    env = govrun.env | {"PATH": f"{shim.parent}:{govrun.env['PATH']}"}
    commands = 0
    for command, expected in [step for example in EXAMPLES for step in steps(example)]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=govrun.cwd, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert agrees(done.stdout.splitlines(), expected), f"$ {command}\n{done.stdout}\nexpected: {expected}"
        commands += "jq" in command
    assert commands >= 10


def test_every_command_of_the_page_is_there(govrun: Govrun) -> None:
    for name in set(re.findall(r"`govrun ([a-z]+)", PAGE)):
        assert govrun.cli(name, "--help").ok().stdout
    known = govrun.cli("log", "--help", env={"COLUMNS": "200"}).ok().stdout.decode()
    options = set(re.findall(r"`(-{1,2}[a-z]+)", PAGE))
    assert {"--path", "--json", "-n"} <= options
    assert not {option for option in options if option not in known}
