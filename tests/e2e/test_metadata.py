"""``pack:metadata``: operational files change when a person agrees, and not otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, note, order, tree_of
from tests.e2e.test_approvals import question

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = 'version = 1\nextends = ["pack:default", "pack:metadata"]\n'
FILES = {"VERSION": "1.0\n", ".goreleaser.yml": "builds: []\n", "CODEOWNERS": "* @people\n", "src/x.py": "x = 1\n"}


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    return tree_of(govrun, repo, PROFILE, FILES)


@pytest.mark.parametrize(
    "act", ["echo 2.0 > VERSION", "rm .goreleaser.yml", "mv src/x.py fly.toml", "cp src/x.py x; mv x VERSION"]
)
def test_without_a_terminal_it_is_refused(govrun: Govrun, tree: Path, act: str) -> None:
    outcome = govrun("bash", "-c", f"{act}; echo y > y; git add y; git commit -qm y")
    assert (tree / "VERSION").read_text() == "1.0\n" and (tree / ".goreleaser.yml").exists()
    assert not (tree / "fly.toml").exists()
    refused = outcome.records(outcome="blocked", invariant="scope.protect")
    assert refused and all(each["verdict"] == "ask" and each["source"].startswith("pack:metadata") for each in refused)
    assert "takes effect outside of the run" in outcome.stderr and "scope.protect<-" in note(govrun, tree)


def test_a_person_lets_it_happen(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text(PROFILE + 'default = { ask = "wait", ask_timeout = 30 }\n')
    running = govrun.start("bash", "-c", "echo 2.0 > VERSION; echo 3.0 > CODEOWNERS")
    assert order(govrun, "approve", question(govrun)).returncode == 0
    outcome = running.wait()
    assert (tree / "VERSION").read_text() == "2.0\n" and (tree / "CODEOWNERS").read_text() == "* @people\n"
    assert [each["source"].rpartition(":")[0] for each in outcome.denied("scope.protect")] == ["pack:default"]


def test_other_files_are_free(govrun: Govrun, tree: Path) -> None:
    clean(govrun("bash", "-ec", "echo x = 2 > src/x.py; echo news > CHANGELOG.md; git commit -qam x"))
