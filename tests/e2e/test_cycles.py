"""`acyclic` in a run: what would close a cycle is taken back, whatever has become of the tree until then."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """
version = 1
[[boundary]]
id = "parts"
why = "parts are built one after the other"
acyclic = ["src/*"]
"""
USES = "import {0}.main\n"


@pytest.fixture
def parts(repo: Path, govrun: Govrun) -> Path:
    """``web`` uses ``core``, which uses ``base``; ``free`` is used by nobody and uses nothing."""
    (repo / "govrun.toml").write_text(PROFILE)
    for name, text in (("web", USES.format("core")), ("core", USES.format("base")), ("base", ""), ("free", "")):
        (repo / "src" / name).mkdir(parents=True, exist_ok=True)
        (repo / "src" / name / "main.py").write_text(text)
    for words in (("add", "-A"), ("commit", "-qm", "parts")):
        subprocess.run(["git", *words], cwd=repo, env=govrun.env, capture_output=True, check=True)
    return repo


def run(govrun: Govrun, script: str) -> Outcome:
    return govrun("sh", "-c", script + "\ntrue").ok()


def test_only_what_closes_a_cycle_is_taken_back(parts: Path, govrun: Govrun) -> None:
    outcome = run(
        govrun,
        f"printf '{USES.format('web')}' > src/base/more.py; /bin/true\n"
        f"printf '{USES.format('base')}' > src/web/more.py; /bin/true",
    )
    assert not (parts / "src/base/more.py").exists()
    assert (parts / "src/web/more.py").exists()
    assert "closes a cycle" in outcome.stderr
    assert "src/base/more.py" in outcome.stderr


@pytest.mark.parametrize(
    "before",
    [
        "rm src/core/main.py",
        "mv src/core/main.py notes.txt",
        "mv src/core src/other; rm src/other/main.py",
        "printf '' > src/core/main.py; /bin/true",
    ],
)
def test_what_leads_nowhere_any_more_is_forgotten(parts: Path, govrun: Govrun, before: str) -> None:
    run(govrun, f"{before}\nprintf '{USES.format('web')}' > src/base/more.py; /bin/true")
    assert (parts / "src/base/more.py").exists()


@pytest.mark.parametrize(
    "before",
    [
        f"printf '{USES.format('free')}' > src/base/more.py; /bin/true",
        f"printf '{USES.format('free')}' > /tmp/$$.py; mv /tmp/$$.py src/base/more.py",
        f"mkdir new; printf '{USES.format('free')}' > new/more.py; mv new src/base/new",
        f"printf '{USES.format('free')}' > src/base/a.py; /bin/true; mv src/base/a.py src/base/more.py",
    ],
)
def test_what_the_run_itself_made_counts(parts: Path, govrun: Govrun, before: str) -> None:
    run(govrun, f"{before}\nprintf '{USES.format('web')}' > src/free/more.py; /bin/true")
    assert list((parts / "src/base").rglob("more.py"))
    assert not (parts / "src/free/more.py").exists()


@pytest.mark.parametrize("moves", ["mv new/one src/one; mv new/two src/two", "mv src old; mv old/* new; mv new src"])
def test_what_lands_together_counts_together(parts: Path, govrun: Govrun, moves: str) -> None:
    (parts / "new/one").mkdir(parents=True)
    (parts / "new/two").mkdir()
    (parts / "new/one/main.py").write_text("from ..two import main\n")
    (parts / "new/two/main.py").write_text("from ..one import main\n")
    run(govrun, moves)
    assert not (parts / "src/two").exists()


def test_what_was_put_back_counts_again(parts: Path, govrun: Govrun) -> None:
    (parts / "govrun.toml").write_text(PROFILE + '[[dependency]]\nid = "d"\nwhy = "w"\ndeny = ["pypi:requests"]\n')
    run(
        govrun,
        "printf 'import requests\\n' > src/core/main.py; /bin/true\n"
        f"printf '{USES.format('web')}' > src/base/more.py; /bin/true",
    )
    assert (parts / "src/core/main.py").read_text() == USES.format("base")
    assert not (parts / "src/base/more.py").exists()


def test_check_tells_the_cycle(parts: Path, govrun: Govrun) -> None:
    govrun.cli("check").ok()
    (parts / "src/base/more.py").write_text(USES.format("web"))
    outcome = govrun.cli("check", "src/base")
    assert outcome.code == 1
    assert b"src/base/more.py:1: references src/web/main.py" in outcome.stdout
    assert b"closes a cycle: src/base -> src/web -> src/core" in outcome.stdout
