"""Escape 322: moved into a deep folder, a file that is being written has a name that nobody can read any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests"]
"""
PROGRAM = """
import os, subprocess
name, root = "d" * 200, os.getcwd()
def deep(top, count):
    os.mkdir(top); os.chdir(top)
    for _ in range(count):
        os.mkdir(name); os.chdir(name)
deep("A", 11); file = open("e.py", "w"); os.chdir(root); deep("B", 11)
try:
    os.rename(root + "/A", "A")
except OSError as error:
    print(error.errno)
file.write("import requests\\n"); file.flush()
os.chdir(root); subprocess.run(["true"])
"""


def found(tree: object) -> bool:
    for _, _, files, folder in os.fwalk(tree):
        if "e.py" in files:
            with open("e.py", opener=lambda path, flags, at=folder: os.open(path, flags, dir_fd=at)) as file:
                return "requests" in file.read()
    return False


def test_names_too_long(cage: Cage) -> None:
    cage.profile(RULE)
    script = f"python3 - <<'E'\n{PROGRAM}E\n"
    assert cage.bare(script).stdout == b""
    assert found(cage.twin_tree)
    outcome = cage.run(script).ok()
    assert outcome.stdout == b"13\n"
    assert not found(cage.tree)
