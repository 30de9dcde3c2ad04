"""Escape 28: FIFOs and sockets are path mutations too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_fifo_outside(cage: Cage) -> None:
    cage.escape('mkfifo "$OUT/pipe"', cage.WRITE)


def test_socket_outside(cage: Cage) -> None:
    code = "print(attempt(socket.socket(socket.AF_UNIX).bind, OUT + '/s'))"
    cage.escape(cage.script(code), cage.WRITE)


def test_socket_as_hook_name(cage: Cage) -> None:
    code = "print(attempt(socket.socket(socket.AF_UNIX).bind, '.git/hooks/pre-commit'))"
    cage.escape(cage.script(code), cage.GIT, guarded=[".git/hooks/pre-commit"])
