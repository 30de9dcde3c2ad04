"""What follows a violation in content, by the word of ``then``: the run is held still, or told and let be."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, order, paused, reverted, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record

# Put together by chance, and nobody's.
TOKEN = "gh" + "p_" + "".join(random.Random(11).choices(string.ascii_letters, k=36))
DEPENDENCY = '[[dependency]]\nid = "k"\nwhy = "one client"\ndeny = ["pypi:requests"]\n'
BOUNDARY = '[[boundary]]\nid = "k"\nwhy = "layers"\ndeny = ["src/** -> db/**"]\n'
INFRA = """[[infra]]
id = "k"
why = "each group is rented"
files = ["**/*.yml"]
at = "size"
must = "small"
"""
SECRETS = '[[secrets]]\nid = "k"\nwhy = "they leak"\npaths = ["**/*.py"]\n'
BROKEN = {
    "dependency": (DEPENDENCY, "src/k.py", "import requests\n"),
    "boundary": (BOUNDARY, "src/k.py", "from db import rows\n"),
    "infra": (INFRA, "k.yml", "size: large\n"),
    "secrets": (SECRETS, "src/k.py", f'key = "{TOKEN}"\n'),
}
KINDS = pytest.mark.parametrize("kind", BROKEN)

pytestmark = pytest.mark.needs("landlock", "notify")


def tree(govrun: Govrun, repo: Path, kind: str, then: str, **files: str) -> tuple[str, str]:
    """A tree with a rule of the kind. Which file would break it, and by saying what."""
    profile, path, text = BROKEN[kind]
    (repo.parent / "broken").write_text(text)  # for a shell to copy
    tree_of(govrun, repo, f'version = 1\n{profile}then = "{then}"\n', {"db/__init__.py": "rows = 1\n", **files})
    return path, text


def warned(outcome: Outcome, path: str) -> Record:
    """The one record of the warning: told once, and nothing was taken back."""
    found = outcome.records(verdict="warn")
    assert [each["invariant"] for each in found] == ["k"], (outcome.stderr, outcome.journal)
    assert found[0]["op"]["path"].endswith(f"/{path}"), found
    assert outcome.stderr.count("warning by k") == 1, outcome.stderr
    assert outcome.journal[-1]["op"]["status"] == "WARNED" and not reverted(outcome)
    return found[0]


# ---- pause ------------------------------------------------------------------------------------------------------


@KINDS
def test_content_that_is_taken_back_holds_the_run(govrun: Govrun, repo: Path, kind: str) -> None:
    path, _ = tree(govrun, repo, kind, "pause")
    running = govrun.start("sh", "-c", f"cat ../broken > {path}; touch next; echo ON")
    paused(govrun, running)
    assert not (repo / path).exists() and not (repo / "next").exists()
    assert order(govrun, "resume").returncode == 0
    outcome = running.wait()
    assert outcome.stdout == b"ON\n" and (repo / "next").exists()
    assert "govrun: paused: reverted by k" in outcome.stderr or "govrun: paused: denied by k" in outcome.stderr
    assert [each["op"]["call"] for each in outcome.records(kind="operator")] == ["pause", "resume"]
    assert len(reverted(outcome)) == 1


def test_the_command_that_it_is_judged_for_does_not_start(govrun: Govrun, repo: Path) -> None:
    """The writer goes on: the file is looked at when a program is to be started."""
    path, _ = tree(govrun, repo, "dependency", "pause")
    running = govrun.start("sh", "-c", f"exec 3>{path}; cat ../broken >&3; touch next; echo ON")
    paused(govrun, running)
    assert not (repo / "next").exists()
    assert order(govrun, "stop").returncode == 0
    outcome = running.wait()
    assert outcome.code == 122 and not outcome.stdout
    assert not (repo / path).exists() and not (repo / "next").exists()


def test_what_the_end_finds_holds_nobody(govrun: Govrun, repo: Path) -> None:
    path, _ = tree(govrun, repo, "dependency", "pause")
    outcome = govrun("python3", "-c", f"import os; os.write(os.open({path!r}, 65), b'import requests')")
    assert not (repo / path).exists()
    assert outcome.code == 0 and reverted(outcome)


def test_harmless_content_pauses_and_warns_of_nothing(govrun: Govrun, repo: Path) -> None:
    for then in ("pause", "warn"):
        tree(govrun, repo, "dependency", then)
        clean(govrun("sh", "-c", "echo import httpx > src/t; mv src/t src/k.py; echo x = 1 > src/l.py; true"))


# ---- warn -------------------------------------------------------------------------------------------------------


@KINDS
def test_written_in_place(govrun: Govrun, repo: Path, kind: str) -> None:
    path, text = tree(govrun, repo, kind, "warn")
    outcome = govrun("sh", "-c", f"cat ../broken > {path}; true; /bin/true; echo >> {path}; /bin/true")
    warned(outcome, path)
    assert (repo / path).read_text() == text + "\n"


@KINDS
@pytest.mark.parametrize("how", ["mv", "ln", "folder"])
def test_that_arrives_by_a_name(govrun: Govrun, repo: Path, kind: str, how: str) -> None:
    path, text = tree(govrun, repo, kind, "warn")
    script = f"cat ../broken > src/t; {how} src/t {path}; /bin/true; /bin/true"
    if how == "folder":
        path = "src/new/" + Path(path).name
        script = f'mkdir "$TMPDIR/a"; cat ../broken > "$TMPDIR/a/{Path(path).name}"; mv "$TMPDIR/a" src/new; /bin/true'
    outcome = govrun("sh", "-c", script)
    warned(outcome, path)
    assert (repo / path).read_text() == text


def test_that_a_tool_puts_in_place(govrun: Govrun, repo: Path) -> None:
    tree(govrun, repo, "dependency", "warn", **{"src/k.py": "import httpx\n"})
    outcome = govrun("sh", "-c", "sed -i s/httpx/requests/ src/k.py; sed -i s/^/\\ / src/k.py; mv src/k.py src/l.py")
    warned(outcome, "src/k.py")


@KINDS
def test_that_a_commit_alone_brings(govrun: Govrun, repo: Path, kind: str) -> None:
    path, text = tree(govrun, repo, kind, "warn")
    blob = "$(git hash-object -w ../broken)"
    outcome = govrun("sh", "-c", f"git update-index --add --cacheinfo 100644,{blob},{path}; git commit -qm k")
    assert outcome.code == 0, outcome.stderr
    found = warned(outcome, path)
    assert found["kind"] == "git.ref" and found["op"]["commit"] == git(govrun, repo, "rev-parse", "HEAD").strip()
    assert git(govrun, repo, "show", f"HEAD:{path}") == text


def test_a_commit_of_a_file_that_was_told_of(govrun: Govrun, repo: Path) -> None:
    path, _ = tree(govrun, repo, "dependency", "warn")
    outcome = govrun("sh", "-c", f"cat ../broken > {path}; git add {path}; git commit -qm k; git branch other")
    assert warned(outcome, path)["kind"] == "fs.write"


def test_what_others_committed_is_theirs(govrun: Govrun, repo: Path) -> None:
    path, text = tree(govrun, repo, "dependency", "warn")
    git(govrun, repo, "checkout", "-qb", "theirs")
    (repo / path).write_text(text)
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "theirs")
    git(govrun, repo, "checkout", "-q", "-")
    outcome = clean(govrun("sh", "-c", "git merge -q --no-ff -m both theirs"))
    assert (repo / path).read_text() == text and "warning" not in outcome.stderr


def test_observe_says_nothing(govrun: Govrun, repo: Path) -> None:
    path, _ = tree(govrun, repo, "dependency", "observe")
    outcome = govrun("sh", "-c", f"cat ../broken > src/t; mv src/t {path}; /bin/true")
    assert [each["invariant"] for each in outcome.records(verdict="observe")] == ["k"]
    assert "by k" not in outcome.stderr
