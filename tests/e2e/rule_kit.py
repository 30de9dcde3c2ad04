"""What the tests of the kinds of rule share: a tree with decisions, and what a refusal has to leave behind."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record


def git(govrun: Govrun, tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, env=govrun.env, capture_output=True, text=True, check=True)
    return done.stdout


def tree_of(govrun: Govrun, repo: Path, profile: str, files: Mapping[str, str]) -> Path:
    """``repo`` with these files, a decision 0003 and the profile, all committed."""
    decision = "---\nstatus: accepted\n---\n# Decided\n\nSo it is.\n"
    for name, text in {**files, "docs/adr/0003-decided.md": decision, "govrun.toml": profile}.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "tree")
    return repo


def note(govrun: Govrun, tree: Path, commit: str = "HEAD") -> str:
    shown = govrun.bare("git", "notes", "--ref=govrun", "show", commit, cwd=tree)
    return shown.stdout.decode()


def reverted(outcome: Outcome) -> list[Record]:
    return outcome.records(phase="outcome", outcome="reverted")


def clean(outcome: Outcome) -> Outcome:
    """A harmless run: it ends well and nothing was refused, taken back or warned of."""
    outcome.ok()
    spoken = [each for each in outcome.journal if each.get("verdict") in ("warn", "ask", "deny", "revert", "pause")]
    assert not spoken, spoken
    return outcome


def taken_back(outcome: Outcome, rule: str, path: str) -> Record:
    """The record of the verdict by which ``path`` was taken back, or not let in: told to the agent, with the decision
    behind it."""
    names = ("path", "to")
    found = [each for each in outcome.denied(rule) if any(str(each["op"].get(n)).endswith(f"/{path}") for n in names)]
    assert found, (outcome.stderr, [each for each in outcome.journal if each.get("invariant")])
    assert reverted(outcome) or found[0]["outcome"] == "blocked", outcome.stderr
    assert rule in outcome.stderr and path in outcome.stderr
    assert found[0]["adr"] == "0003" and len(found[0]["adr_blob"]) == 40, found[0]
    return found[0]
