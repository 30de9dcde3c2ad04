"""``[scope] state``: what an agent remembers, version by version: in the journal, on the run's page, in its record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """version = 1
[scope]
adr = "0003"
state = ["/memory/**", "AGENTS.md", "~/.codex/sessions/**"]
"""
FILES = {"AGENTS.md": "old\n", "memory/plan": "one\n", "src/x.py": "x = 1\n"}


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def changes(outcome: Outcome) -> list[tuple[str, object, object]]:
    found = [each for each in outcome.records(kind="state") if each["op"].get("call") == "changed"]
    assert all(
        each["binding"] == "post_hoc" and each["outcome"] == "succeeded" and each["actor"]["pid"] for each in found
    )
    return [(str(each["op"]["path"]).rpartition("/")[2], each.get("pre"), each.get("post")) for each in found]


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    return tree_of(govrun, repo, PROFILE, FILES)


def test_every_version_is_recorded(govrun: Govrun, tree: Path) -> None:
    script = (
        "echo new > AGENTS.md; cat AGENTS.md; echo two >> memory/plan; echo three >> memory/plan; echo x > src/x.py; "
        "mv memory/plan memory/done; cat src/x.py > memory/x; rm memory/x; echo new > AGENTS.md"
    )
    outcome = clean(govrun("bash", "-c", script))
    plan = ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"]
    assert changes(outcome) == [
        ("AGENTS.md", sha("old\n"), sha("new\n")),
        ("plan", sha(plan[0]), sha(plan[1])),
        ("plan", sha(plan[1]), sha(plan[2])),
        ("plan", sha(plan[2]), None),
        ("done", None, sha(plan[2])),
        ("x", None, sha("x\n")),
        ("x", sha("x\n"), None),
    ]
    assert (tree / "AGENTS.md").read_text() == "new\n"


def test_the_page_and_the_log_show_it(govrun: Govrun, tree: Path) -> None:
    govrun("bash", "-c", "echo new > AGENTS.md").ok()
    page = govrun.cli("show").ok().stdout.decode()
    line = next(each for each in page.splitlines() if each.startswith("state"))
    assert "AGENTS.md" in line and sha("old\n")[7:19] in line and sha("new\n")[7:19] in line
    told = json.loads(govrun.cli("show", "--json").ok().stdout)["state"]
    assert [(each["pre"], each["post"]) for each in told] == [(sha("old\n"), sha("new\n"))]
    assert "AGENTS.md" in govrun.cli("log", "--kind", "state").ok().stdout.decode()


def test_what_is_mapped_and_written_late_is_seen_in_the_end(govrun: Govrun, tree: Path) -> None:
    script = (
        "import mmap; f = open('memory/plan', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close(); "
        "import subprocess; subprocess.run(['true']); m[0:3] = b'two'"
    )
    outcome = clean(govrun("python3", "-c", script))
    assert changes(outcome) == [("plan", sha("one\n"), sha("two\n"))]


def test_a_state_folder_of_an_agent(govrun: Govrun, tree: Path) -> None:
    (govrun.home / ".codex" / "sessions").mkdir(parents=True)
    outcome = govrun("bash", "-c", "echo said > ~/.codex/sessions/s", options=("--agent", "codex"))
    outcome.ok()
    assert changes(outcome) == [("s", None, sha("said\n"))]


def test_the_record_in_the_repository_has_digests_and_no_text(govrun: Govrun, tree: Path) -> None:
    govrun("bash", "-c", "echo remembered-words > AGENTS.md; git add AGENTS.md; git commit -qm x").ok()
    refs = git(govrun, tree, "for-each-ref", "--format=%(refname)", "refs/govrun/runs").split()
    names = git(govrun, tree, "ls-tree", "-r", "--name-only", refs[0]).split()
    said = "".join(
        git(govrun, tree, "show", f"{refs[0]}:{name}") for name in names if "event" in name or "segment" in name
    )
    assert sha("remembered-words\n") in said and "remembered-words" not in said


def test_without_the_key_nothing_is_recorded(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text("version = 1\n")
    assert changes(govrun("bash", "-c", "echo new > AGENTS.md")) == []
