"""Escape 48: a variable that turns the sandbox off (agentsh had one)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


NAMES = [
    "GOVRUN",
    "GOVRUN_DISABLE",
    "GOVRUN_OFF",
    "GOVRUN_BYPASS",
    "GOVRUN_PROFILE",
    "GOVRUN_RUN",
    "NO_SANDBOX",
    "IS_SANDBOX",
]


def test_variables_set_by_the_agent(cage: Cage) -> None:
    words = " ".join(f"{name}=1" for name in NAMES)
    cage.escape(f"""{words} sh -c 'echo x >> "$OUT/victim"'""", cage.WRITE)


def test_variables_set_before_the_run(cage: Cage) -> None:
    cage.env.update(dict.fromkeys(NAMES, "1"))
    cage.escape('echo x >> "$OUT/victim"', cage.WRITE)


def test_empty_environment(cage: Cage) -> None:
    cage.escape("""env -i sh -c 'echo x >> ../home/outside/victim'""", cage.WRITE)
