"""Escape 204: execveat with a folder: the name it was started by lies there, not in the working directory."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")

PROFILE = '[scope]\ncommands = ["bash", "python3*", "cat"]\n'
CODE = """
os.symlink("/usr/bin/touch", "cat")
mark = os.path.abspath("mark")
tree = os.open(".", os.O_RDONLY)
os.chdir("/usr/bin")
argv = (ctypes.c_char_p * 3)(b"cat", os.fsencode(mark), None)
print(sc(322, tree, c("cat"), argv, (ctypes.c_char_p * 1)(None), 0))
"""


def test_link_beneath_a_descriptor(cage: Cage) -> None:
    cage.profile(PROFILE)
    cage.escape(cage.script(CODE), cage.COMMANDS, guarded=["mark"])
