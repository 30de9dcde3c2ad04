"""Escape 211: terminals of the user that the run was not given: what is typed there can be read, and answered."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

CODE = """
told = {}
for word, flags in (("both", os.O_RDWR), ("read", os.O_RDONLY), ("write", os.O_WRONLY)):
    try:
        fd = os.open(os.environ["THEIRS"], flags | os.O_NOCTTY | os.O_NONBLOCK)
        told[word] = os.read(fd, 99).decode() if word != "write" else str(os.write(fd, b"typed by the run"))
    except OSError as error:
        told[word] = error.errno
print(json.dumps(told))
"""
OWN = """
import pty
main, side = os.openpty()
name = os.ttyname(side)
again = os.open(name, os.O_RDWR | os.O_NOCTTY)
os.write(again, b"own")
print(os.read(main, 9).decode())
"""


def test_terminal_of_somebody_else(cage: Cage) -> None:
    main, side = os.openpty()
    try:
        cage.env["THEIRS"] = os.ttyname(side)
        os.write(main, b"typed by the user\n")
        outcome = cage.run(cage.script(CODE))
        told = json.loads(outcome.stdout)
        assert all(isinstance(answer, int) for answer in told.values()), told
        os.set_blocking(main, False)
        assert b"typed by the run" not in os.read(main, 999)
    finally:
        os.close(main)
        os.close(side)


def test_terminals_of_its_own(cage: Cage) -> None:
    assert cage.run(cage.script(OWN)).ok().stdout == b"own\n"


NUMBERS = """
ends = [os.openpty() for _ in range(4)]
names = [os.ttyname(side) for _, side in ends]
for pair in ends:
    os.close(pair[0])
    os.close(pair[1])
print("closed", flush=True)
sys.stdin.readline()
print(json.dumps([attempt(os.open, name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for name in names]))
"""


def test_number_that_somebody_else_gets(cage: Cage) -> None:
    """The name of a terminal is given again once it is closed; it is then another one."""
    env = cage.govrun.env | {"HOME": str(cage.home), "OUT": str(cage.outside)}
    words = cage.script(NUMBERS).split()
    process = cage.govrun.start(*words, env=env, stdin=subprocess.PIPE).process
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"closed\n"
    theirs = [os.openpty() for _ in range(4)]
    try:
        process.stdin.write(b"go\n")
        process.stdin.flush()
        told = json.loads(process.stdout.readline())
    finally:
        for end in (end for pair in theirs for end in pair):
            os.close(end)
    process.communicate(timeout=20)
    assert "ok" not in told, told
