"""Commits of a run that were written again: by whatever command, `verify` and `why` still find the run, and say what is
left of what it vouches for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", landlock=2)
WORK = "echo x > f; git add f; git commit -qm one; echo y > g; git add g; git commit -qm two; echo z > ~/out; true"
CODES = {"native": 0, "tree-equal": 0, "carried": 4, "missing": 3}


class Made(NamedTuple):
    """A repository in which a run has made two commits on ``topic``, and ``main`` has gone on meanwhile."""

    govrun: Govrun
    tree: Path
    run: str
    first: str
    second: str

    def git(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        done = self.govrun.bare("git", *words, cwd=self.tree, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()


@pytest.fixture
def made(govrun: Govrun, repo: Path) -> Made:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=repo, env=govrun.env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("switch", "-qc", "topic")
    outcome = govrun("sh", "-c", WORK).ok()
    git("switch", "-qc", "moved", "main")
    (repo / "h").write_text("h")
    git("add", "h")
    git("commit", "-qm", "meanwhile")
    git("switch", "-q", "topic")
    return Made(govrun, repo, outcome.run, git("rev-parse", "topic~1"), git("rev-parse", "topic"))


def untouched(_: Made) -> None:
    """The control: nothing is rewritten."""


def message_amended(made: Made) -> None:
    made.git("commit", "-q", "--amend", "-m", "said better")


def content_amended(made: Made) -> None:
    (made.tree / "g").write_text("by hand")
    made.git("commit", "-q", "-a", "--amend", "--no-edit")


def rebased(made: Made) -> None:
    made.git("rebase", "-q", "moved")


def interactively(word: str) -> Callable[[Made], None]:
    def rewrite(made: Made) -> None:
        env = {"GIT_SEQUENCE_EDITOR": f"sed -i -e 2s/^pick/{word}/", "GIT_EDITOR": "true"}
        made.git("rebase", "-q", "-i", "main", env=env)

    return rewrite


def squashed_on_another_base(made: Made) -> None:
    made.git(
        "rebase", "-q", "-i", "moved", env={"GIT_SEQUENCE_EDITOR": "sed -i -e 2s/^pick/squash/", "GIT_EDITOR": "true"}
    )


def picked(made: Made) -> None:
    made.git("switch", "-q", "moved")
    made.git("cherry-pick", made.first, made.second)


def picked_where_it_was(made: Made) -> None:
    made.git("switch", "-qc", "again", "main")
    made.git("cherry-pick", "--no-ff", "-x", made.first, made.second)


def merged_squashed(made: Made) -> None:
    made.git("switch", "-q", "main")
    made.git("merge", "-q", "--squash", "topic")
    made.git("commit", "-qm", "squashed")


def merged_squashed_on_another_base(made: Made) -> None:
    made.git("switch", "-q", "moved")
    made.git("merge", "-q", "--squash", "topic")
    made.git("commit", "-qm", "squashed")


def soft_reset(made: Made) -> None:
    made.git("reset", "-q", "--soft", "main")
    made.git("commit", "-qm", "all at once")


def by_a_button(made: Made) -> None:
    """As forges squash: another author and committer, one parent, nothing carried along."""
    who = ("-c", "user.name=Forge", "-c", "user.email=forge@example.com")
    commit = made.git(*who, "commit-tree", "-m", "Topic (#1)", "-p", "main", "topic^{tree}")
    made.git("switch", "-q", "main")
    made.git("reset", "-q", "--hard", commit)


def rebased_by_a_button(made: Made) -> None:
    who = ("-c", "user.name=Forge", "-c", "user.email=forge@example.com")
    parent = made.git("rev-parse", "main")
    for each in (made.first, made.second):
        parent = made.git(*who, "commit-tree", "-m", "again", "-p", parent, f"{each}^{{tree}}")
    made.git("switch", "-q", "main")
    made.git("reset", "-q", "--hard", parent)


# What the tip is then: without `govrun notes setup`, and with it.
REWRITES: dict[str, tuple[Callable[[Made], None], str, str]] = {
    "nothing": (untouched, "native", "native"),
    "amend, message": (message_amended, "tree-equal", "tree-equal"),
    "amend, content": (content_amended, "missing", "carried"),
    "rebase": (rebased, "missing", "carried"),
    "rebase -i, squash": (interactively("squash"), "tree-equal", "tree-equal"),
    "rebase -i, fixup": (interactively("fixup"), "tree-equal", "tree-equal"),
    "rebase -i, squash, another base": (squashed_on_another_base, "missing", "carried"),
    "cherry-pick": (picked, "missing", "missing"),
    "cherry-pick, same base": (picked_where_it_was, "tree-equal", "tree-equal"),
    "merge --squash": (merged_squashed, "tree-equal", "tree-equal"),
    "merge --squash, another base": (merged_squashed_on_another_base, "missing", "missing"),
    "reset --soft": (soft_reset, "tree-equal", "tree-equal"),
    "squash by a forge": (by_a_button, "tree-equal", "tree-equal"),
    "rebase by a forge": (rebased_by_a_button, "tree-equal", "tree-equal"),
}


@pytest.mark.parametrize("setup", [False, True], ids=["plain", "setup"])
@pytest.mark.parametrize("name", REWRITES)
def test_a_run_is_found_after(made: Made, name: str, setup: bool) -> None:
    rewrite, plain, carried = REWRITES[name]
    expected = carried if setup else plain
    if setup:
        made.govrun.cli("notes", "setup").ok()
    rewrite(made)
    outcome = made.govrun.cli("verify", "--json")
    (told,) = map(json.loads, outcome.stdout.splitlines())
    assert outcome.code == CODES[expected], told
    if expected == "missing":
        assert (told["run"], told["answer"]) == ("", "missing")
        asked = made.govrun.cli("why", "HEAD")
        assert asked.code == 2 and "no run is known to have made it" in asked.stderr
    else:
        assert (told["run"], told["how"], told["status"]) == (made.run, expected, "PASSED"), told
        shown = made.govrun.cli("why", "HEAD").ok().stdout.decode()
        assert f"{made.run} {told['answer']} ({expected}) PASSED" in shown and "/out" in shown
    # What was done to a file is told by the journal, whatever became of the commit.
    assert made.run in made.govrun.cli("why", "g").ok().stdout.decode()
    made.govrun.cli("verify", made.second).ok()  # the old commit is still the run's


def test_the_runs_behind_a_commit(made: Made, tmp_path: Path) -> None:
    told = json.loads(made.govrun.cli("why", "topic", "--json").ok().stdout)
    assert (told["run"], told["commit"], told["how"]) == (made.run, made.second, "native")
    assert [each["op"]["path"].endswith("/out") for each in told["refused"]] == [True]
    # Another one's: what the record says, and that the journal lies elsewhere.
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "other")}
    shown = made.govrun.cli("why", made.second[:12], env=elsewhere).ok().stdout.decode()
    assert f"{made.run} unverifiable: it is signed by" in shown and "its journal is not here" in shown
    for word in ("nowhere", "HEAD~9", "0123456789a"):
        asked = made.govrun.cli("why", word)
        assert asked.code == 2 and "nothing is known of" in asked.stderr, asked.stderr
    assert "no run '0123456789'" in made.govrun.cli("why", "0123456789").stderr  # nor a commit
    # What is a path stays one, also where a branch is called so.
    made.git("branch", "g")
    assert made.govrun.cli("why", "g").ok().stdout.decode().startswith(made.run)


def test_two_runs_squashed_into_one_commit(made: Made) -> None:
    """The worse answer counts: of the first run's work something else was made."""
    made.govrun.cli("notes", "setup").ok()
    other = made.govrun("sh", "-c", "echo more > f; git commit -qam three").ok().run
    made.git("rebase", "-q", "-i", "main", env={"GIT_SEQUENCE_EDITOR": "sed -i -e 2,3s/^pick/fixup/"})
    outcome = made.govrun.cli("verify", "--json")
    told = {each["run"]: each["how"] for each in map(json.loads, outcome.stdout.splitlines())}
    assert told == {made.run: "carried", other: "tree-equal"} and outcome.code == 4
