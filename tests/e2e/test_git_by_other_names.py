"""git under the names that it answers to, and what it starts by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", landlock=2)
CORE = "/usr/lib/git-core"
KEEP = '\n[[command]]\nid = "keep-work"\nwhy = "work is stashed"\ndeny = ["vcs-destroy"]\nuse = "git stash"\n'


@pytest.fixture
def remote(govrun: Govrun, repo: Path) -> Path:
    """A bare repository in the tree: nothing but the rule about pushes is in the way."""
    path = repo / "remote.git"
    git(govrun, repo, "init", "-q", "--bare", str(path))
    git(govrun, repo, "remote", "add", "origin", str(path))
    return path


@pytest.mark.parametrize(
    "command",
    [
        f"{CORE}/git-push -q origin HEAD:refs/heads/x",
        "bash -c 'exec -a git-push git -q origin HEAD:refs/heads/x'",
        f"bash -c 'exec -a {CORE}/git-push git -q origin HEAD:refs/heads/x'",
        "cp $(command -v git) g; bash -c 'exec -a git-push ./g -q origin HEAD:refs/heads/x'",
        f"ln -s {CORE}/git-push p; bash -c 'exec -a git-push ./p -q origin HEAD:refs/heads/x'",
        f"{CORE}/git-send-pack remote.git HEAD:refs/heads/x",
        "bash -c 'exec -a git-send-pack git remote.git HEAD:refs/heads/x'",
    ],
)
def test_a_push_by_another_name_is_asked_about(govrun: Govrun, repo: Path, remote: Path, command: str) -> None:
    assert govrun.bare("sh", "-c", command).returncode == 0
    assert git(govrun, remote, "branch", "--format=%(refname:short)").split() == ["x"]
    git(govrun, remote, "branch", "-D", "x")
    (repo / "p").unlink(missing_ok=True)
    outcome = govrun("sh", "-c", command)
    assert outcome.denied("ask-push") or outcome.records(verdict="ask"), outcome.stderr
    assert git(govrun, remote, "branch") == ""


def test_what_destroys_is_known_by_another_name(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text("version = 1\n" + KEEP)
    (repo / "README.md").write_text("mine\n")
    outcome = govrun("bash", "-c", f"exec -a git-reset git --hard; {CORE}/git-reset --hard")
    assert outcome.denied("keep-work") and (repo / "README.md").read_text() == "mine\n"


def test_what_git_starts_by_itself_is_not_held_against_it(govrun: Govrun, repo: Path) -> None:
    """The remedy that such a rule names has to work."""
    (repo / "govrun.toml").write_text("version = 1\n" + KEEP)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "profile")
    script = "echo mine >> README.md; echo new > new; git stash -q -u && ! grep -q mine README.md && git stash pop -q"
    clean(
        govrun(
            "bash",
            "-c",
            script + " && git stash -q && git gc -q && git worktree add -q sub -b side && git stash pop -q",
        )
    )
    outcome = govrun("bash", "-c", "git reset -q --hard; git clean -qfd; git stash drop; true")
    assert len(outcome.denied("keep-work")) == 3 and "mine" in (repo / "README.md").read_text()


@pytest.mark.parametrize(
    "command",
    [
        "git -c alias.x='!git reset --hard' x",
        "git rebase -q -x 'git reset --hard' HEAD~1",
        "git stash -q; git stash pop -q; sh -c 'git reset --hard'",
    ],
)
def test_what_it_is_told_to_start_is(govrun: Govrun, repo: Path, command: str) -> None:
    (repo / "govrun.toml").write_text("version = 1\n" + KEEP)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "profile")
    outcome = govrun("bash", "-c", command)
    assert outcome.denied("keep-work"), outcome.stderr
