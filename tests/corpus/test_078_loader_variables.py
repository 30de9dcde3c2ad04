"""Escape 78: variables that run code in every process (LD_PRELOAD, BASH_ENV, NODE_OPTIONS, GIT_*)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


NAMES = [
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "BASH_ENV",
    "ENV",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "GIT_SSH_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_CONFIG_COUNT",
]


def test_withheld(cage: Cage) -> None:
    values = dict.fromkeys(NAMES, "/nonexistent/x") | {"GIT_CONFIG_COUNT": "0", "LD_LIBRARY_PATH": "/nonexistent"}
    values.pop("LD_PRELOAD")  # ld.so would complain in every process before the run as well
    cage.env.update(values)
    outcome = cage.run("env").ok()
    given = {line.split(b"=", 1)[0].decode() for line in outcome.stdout.splitlines()}
    assert not given & set(NAMES)
    assert {"HOME", "PATH", "OUT"} <= given


def test_credentials_withheld(cage: Cage) -> None:
    cage.env.update(
        {"AWS_SECRET_ACCESS_KEY": "not-a-real-key", "GITHUB_TOKEN": "not-a-real-token", "KEPT_TOKENIZER": "yes"}
    )
    outcome = cage.run("env").ok()
    assert b"not-a-real" not in outcome.stdout
    assert b"KEPT_TOKENIZER=yes" in outcome.stdout
    assert "withheld" in outcome.stderr
