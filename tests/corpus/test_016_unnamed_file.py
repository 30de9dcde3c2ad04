"""Escape 16: a file without a name (O_TMPFILE) gets one by linkat(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


LINK = "print(sc(265, AT, c(f'/proc/self/fd/{fd}'), AT, c(OUT + '/new'), 0x400))"


def test_unnamed_file_outside(cage: Cage) -> None:
    code = f"fd = os.open(OUT, os.O_TMPFILE | os.O_RDWR, 0o600); os.write(fd, b'x'); {LINK}"
    cage.escape(cage.script(code), cage.WRITE)


def test_unnamed_file_of_the_tree_linked_outside(cage: Cage) -> None:
    code = f"fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600); os.write(fd, b'x'); {LINK}"
    cage.escape(cage.script(code), cage.WRITE)


def test_unnamed_file_becomes_a_hook(cage: Cage) -> None:
    code = (
        "fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o755); os.write(fd, b'#!/bin/sh')\n"
        "print(sc(265, AT, c(f'/proc/self/fd/{fd}'), AT, c('.git/hooks/pre-commit'), 0x400))"
    )
    cage.escape(cage.script(code), cage.GIT, guarded=[".git/hooks/pre-commit"])
