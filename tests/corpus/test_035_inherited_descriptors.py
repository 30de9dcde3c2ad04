"""Escape 35: a descriptor left open by whoever started the run leads past every path rule."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
answers = {}
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    if int(name) > 2:
        answers[name] = attempt(os.mkdir, "made", dir_fd=int(name))
print(json.dumps(answers))
"""


def test_inherited_folder_descriptor(cage: Cage) -> None:
    script = cage.script(CODE)
    folder = os.open(cage.outside, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(folder, True)
    try:
        outcome = cage.run(script, pass_fds=(folder,))
    finally:
        os.close(folder)
    answers = json.loads(outcome.stdout)
    assert set(answers.values()) <= {"EBADF", "ENOTDIR"}, answers
    assert str(folder) not in answers
    assert not (cage.outside / "made").exists()
