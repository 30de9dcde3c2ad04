"""Escape 232: an alias without `!` whose words make git run a program."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

WAYS = (
    "-c core.fsmonitor=./evil status",
    "--config-env=core.fsmonitor=SHELL status",
    "-c alias.y=!./evil y",
    "--exec-path=./ep zz",
    "rebase -x./evil --root",
    "rebase --exe=./evil --root",
    "rebase '--e''xec=./evil' --root",
    "rebase --root -ix./evil",
    "grep -O./evil a",
    "grep --open=./evil a",
    "ls-remote --upload-p=./evil .",
    "fetch --upload-p=./evil .",
    "clone -u./evil . c",
    "push --receive-p=./evil . HEAD",
    "push --exe=./evil . HEAD",
    "archive --remote=. --exe=./evil HEAD",
    "-p -c core.pager=./evil log",
    "hook run x",
    "send-pack --exe=./evil . HEAD",
    "diff --ext-d",
    "fetch ext::./evil",
    "submodule foreach ./evil",
    '"-c" alias.y=!./evil y',
    "\\-c core.fsmonitor=./evil status",
    "merge -s evil main",
)


def test_every_spelling_is_refused(cage: Cage) -> None:
    lines = "; ".join(f"git config alias.st {shlex.quote(value)}" for value in WAYS)
    outcome = cage.escape(lines, cage.GIT, guarded=[".git/config"])
    assert len(cage.refused(outcome, cage.GIT)) >= len(WAYS)
    assert "alias.st" in outcome.stderr
