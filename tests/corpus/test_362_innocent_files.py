"""Escape 362: files that break no rule are not taken away, whatever the run did to the inspector before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

SLOW = r"""
import subprocess, time
for number in range(6):
    with open(f"src/x{number}.py", "w") as out:
        out.write(f"# requests {number}\n" + "not " * 475_000)
    subprocess.run(["/bin/true"])
with open("src/ok.py", "w") as out:
    out.write("# handles requests\nx = 1\n")
subprocess.run(["/bin/true"])
"""


@pytest.mark.slow
def test_after_files_that_are_slow_to_parse(cage: Cage) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("git add -A && git commit -qm rule")
    outcome = cage.run(cage.script(SLOW), timeout=110)
    assert (cage.tree / "src/ok.py").exists(), outcome.stderr[-2000:]
    assert not (cage.tree / "src/x5.py").exists(), outcome.stderr[-2000:]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("src/n.py", b"# \\351 requests\\n"),
        ("src/n.js", b"// \\351 lodash\\n"),
        ("requirements.txt", b"# \\351 requests\\n"),
        ("tool", b"#!/bin/sh\\necho requests\\n"),
        ("binary", b"\\177ELF\\000requests"),
        ("setup.cfg", b"# \\351 requests\\n[metadata]\\nname = a\\n"),
    ],
)
def test_in_no_encoding(cage: Cage, path: str, content: bytes) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("git add -A && git commit -qm rule")
    outcome = cage.run(f"printf '{content.decode()}' > {path}; git add -A; git commit -qm x", timeout=60)
    assert (cage.tree / path).exists(), outcome.stderr[-2000:]


def test_large_and_without_an_extension(cage: Cage) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(
        "head -c 270000000 /dev/zero > old; echo old > .gitignore; git add -A && git commit -qm rule; rm .gitignore"
    )
    outcome = cage.run(
        "head -c 70000000 /dev/zero > new; echo more >> old; mkdir folder; ln -s folder link", timeout=60
    )
    assert (cage.tree / "new").stat().st_size == 70_000_000, outcome.stderr[-2000:]
    assert (cage.tree / "old").stat().st_size == 270_000_005, outcome.stderr[-2000:]
    assert (cage.tree / "link").is_symlink(), outcome.stderr[-2000:]
