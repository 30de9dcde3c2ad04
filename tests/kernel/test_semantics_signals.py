"""Acts under a storm of signals: done exactly once, with the exact errno, which only C can see."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

SOURCE = Path(__file__).parent / "race_src" / "storm.c"
ROUNDS = "2000"
PERIOD_US = "100"
RIGHT = "mkdir=0 excl=0 rename=0 link=0 unlink=0"

pytestmark = [pytest.mark.needs("gcc", "landlock", "notify"), pytest.mark.timeout(300)]


@pytest.fixture
def storm(tmp_path: Path) -> str:
    program = tmp_path / "storm"
    subprocess.run(["gcc", "-O2", "-o", program, SOURCE], check=True)
    return str(program)


@pytest.mark.parametrize("restart", ["1", "0"], ids=["sa-restart", "no-restart"])
def test_every_act_happens_once(restart: str, storm: str, govrun: Govrun, repo: Path) -> None:
    """2,000 each of mkdir, O_EXCL, rename, link, unlink while a timer fires every 100 µs.

    A cancelled notification whose act was done comes back as EEXIST or ENOENT. Without SA_RESTART EINTR is legal,
    as long as nothing had been done: the repeated call must then be right.
    """
    (repo / "acts").mkdir()
    outcome = govrun(storm, "acts", ROUNDS, PERIOD_US, restart, options=["--quiet"], timeout=240).ok()
    said = outcome.stdout.decode()
    assert said.startswith(RIGHT), said + outcome.stderr
    assert "fired=1" in said
    if restart == "1":
        assert "eintr=0" in said, said
    assert sorted(path.name[0] for path in (repo / "acts").iterdir()) == ["d"] * int(ROUNDS) + ["g"] * int(ROUNDS)
