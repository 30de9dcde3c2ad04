"""``[[contract]]`` while a run goes on: at the end of an action, before a commit, and planted violations."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.rule_kit import clean, git, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record

RULES = """version = 1
[[dependency]]
id = "one-http-client"
adr = "0003"
deny = ["pypi:requests"]

[[dependency]]
id = "let-be"
adr = "0003"
deny = ["pypi:flask"]
then = "warn"
"""
PROVED = """
[[contract]]
id = "proved"
proves = ["{proves}"]
when = "{when}"
{rest}
"""
PROVE = """
set -e
grep -q A src/app.py
! grep -q BROKEN src/app.py
"""
FILES = {"src/app.py": "A = 1\n", "checks/prove.sh": PROVE}
RUN = 'run = ["bash", "checks/prove.sh"]\npaths = ["checks/**"]'


def tree(govrun: Govrun, repo: Path, when: str, rest: str = RUN, proves: str = "one-http-client", **files: str) -> Path:
    return tree_of(govrun, repo, RULES + PROVED.format(when=when, rest=rest, proves=proves), {**FILES, **files})


def shown(outcome: Outcome) -> list[Record]:
    return [each["op"] for each in outcome.records(kind="contract")]


def standing(govrun: Govrun, rule: str) -> Record:
    told = json.loads(govrun.cli("show", "--json").stdout)
    found: Record = next(each for each in told["invariants"] if each["invariant"] == rule)
    return found


# A commit.


def test_a_commit_waits_for_its_contract(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    outcome = clean(govrun("bash", "-c", "echo B = 1 >> src/app.py && git commit -qam x && git log --format=%s -1"))
    assert "govrun: the commit waits for what has to be shown of it\n" in outcome.stderr
    (op,) = shown(outcome)
    head = git(govrun, repo, "rev-parse", "HEAD").strip()
    assert (op["call"], op["when"], op["commit"]) == ("passed", "commit", head)
    assert git(govrun, repo, "log", "--format=%s", "-1").strip() == "x"
    assert " 5 contract 1/1 passed " in note(govrun, repo) and " 0 govrun/1 PASSED " in note(govrun, repo)
    assert standing(govrun, "one-http-client")["state"] == "held"


def test_a_commit_that_does_not_meet_it_is_refused(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    before = git(govrun, repo, "rev-parse", "HEAD")
    outcome = govrun("bash", "-c", "echo BROKEN >> src/app.py; git commit -qam x; git status --porcelain")
    assert outcome.code == 0 and outcome.stdout == b" M src/app.py\n", outcome.stderr
    assert git(govrun, repo, "rev-parse", "HEAD") == before
    (denied,) = outcome.denied("proved")
    assert denied["outcome"] == "blocked" and denied["verdict"] == "deny" and denied["op"]["to"].endswith("/heads/main")
    assert "govrun: denied by proved" in outcome.stderr and "checks/prove.sh: exit 1" in outcome.stderr
    assert [op["call"] for op in shown(outcome)] == ["failed"]
    assert not (repo / ".git/refs/heads/main.lock").exists()
    assert standing(govrun, "one-http-client")["state"] == "unproved"


def test_a_commit_is_shown_by_what_it_holds(repo: Path, govrun: Govrun) -> None:
    """Not by what lies in the tree: an index can hold what never was a file."""
    tree(govrun, repo, "commit")
    script = """
    blob=$(echo BROKEN | git hash-object -w --stdin)
    git update-index --cacheinfo 100644,$blob,src/app.py && git commit -qm sly; git log --format=%s
    git reset -q; echo NOT_COMMITTED_BROKEN >> src/app.py; git stash -q && git stash pop -q
    echo > src/new.py; git add src/new.py; git commit -qm good
    """
    outcome = govrun("bash", "-c", script)
    assert outcome.code == 0 and b"sly" not in outcome.stdout
    assert git(govrun, repo, "log", "--format=%s").split() == ["good", *outcome.stdout.decode().split()]
    assert [op["call"] for op in shown(outcome)] == ["failed", "passed"]
    # What was shown is not the tree that is left.
    assert standing(govrun, "one-http-client")["state"] == "unproved"


BROKEN_TREE = """tree() {
    local blob=$(echo BROKEN | git hash-object -w --stdin)
    GIT_INDEX_FILE=i git read-tree HEAD; GIT_INDEX_FILE=i git update-index --cacheinfo 100644,$blob,src/app.py
    GIT_INDEX_FILE=i git write-tree
}
"""
HIDING = {
    "another branch": "git commit-tree -p HEAD -m sly $(tree) > c; git update-ref refs/heads/other $(cat c)",
    "by way of the stash": "git commit-tree -p HEAD -m sly $(tree) > c; git update-ref refs/stash $(cat c);"
    " git update-ref refs/heads/other $(cat c)",
    "as a parent": "git commit-tree -p HEAD -m a $(tree) > a; git commit-tree -p $(cat a) -m b HEAD^{tree} > b;"
    " git update-ref refs/stash $(cat b); git update-ref refs/heads/other $(cat a)",
    "a detached head": "git commit-tree -p HEAD -m sly $(tree) > c; git checkout -q $(cat c)",
    "a tag": "git commit-tree -p HEAD -m sly $(tree) > c; git tag sly $(cat c)",
    "an annotated tag": "git commit-tree -p HEAD -m sly $(tree) > c; git tag -a -m x sly $(cat c)",
    "a tag of a tag": "T=$(git commit-tree -p HEAD -m sly $(tree)); git update-ref refs/stash $T;"
    " for i in 1 2; do T=$(printf 'object %s\\ntype %s\\ntag sly\\ntagger a <a@b> 1 +0000\\n\\nx\\n' $T"
    " $(git cat-file -t $T) | git mktag); done; git update-ref refs/tags/sly $T",
    "packed": "git commit-tree -p HEAD -m sly $(tree) > c; git pack-refs --all; cp .git/packed-refs p;"
    " echo $(cat c) refs/heads/other >> p; cp p .git/packed-refs.lock; mv .git/packed-refs.lock .git/packed-refs",
}


@pytest.mark.parametrize("name", HIDING)
def test_no_way_around_a_commit(repo: Path, govrun: Govrun, name: str) -> None:
    tree(govrun, repo, "commit")
    outcome = govrun("bash", "-c", BROKEN_TREE + HIDING[name])
    assert "failed" in [op["call"] for op in shown(outcome)], outcome.stderr
    assert outcome.denied("proved"), outcome.stderr
    refs = git(govrun, repo, "for-each-ref", "--format=%(refname) %(subject)")
    assert "other" not in refs and "sly" not in git(govrun, repo, "log", "--format=%s", "HEAD")
    assert "refs/tags/sly" not in refs
    assert git(govrun, repo, "symbolic-ref", "HEAD").strip() == "refs/heads/main"


@pytest.mark.parametrize("made", ["git update-ref refs/heads/other refs/stash", "git tag -a -m x other refs/stash"])
def test_what_one_run_stashed_is_shown_when_the_next_takes_it(repo: Path, govrun: Govrun, made: str) -> None:
    tree(govrun, repo, "commit")
    clean(
        govrun("bash", "-ec", BROKEN_TREE + "git update-ref refs/stash $(git commit-tree -p HEAD -m sly $(tree)); rm i")
    )
    outcome = govrun("bash", "-c", made)
    assert [op["call"] for op in shown(outcome)] == ["failed"] and outcome.denied("proved"), outcome.stderr
    assert "other" not in git(govrun, repo, "for-each-ref")


def test_what_the_user_stashed_comes_back_without_a_proof(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    for text in ("A = 2\n", "A = 3\n"):
        (repo / "src/app.py").write_text(text)
        git(govrun, repo, "stash", "-q")
    git(govrun, repo, "notes", "add", "-m", "n")
    outcome = clean(
        govrun(
            "bash",
            "-ec",
            "git stash pop -q; git checkout -q src/app.py; git stash branch t > /dev/null; git pack-refs --all;"
            " git branch u",
        )
    )
    assert not shown(outcome)


def test_refs_are_packed_while_notes_are_written(repo: Path, govrun: Govrun) -> None:
    """What govrun's publisher wrote is nobody's commit; a run that gives such a ref another value is refused."""
    tree(govrun, repo, "commit")
    noted = "until test -e .git/refs/notes/govrun; do sleep 0.02; done; "
    made = "git checkout -q -b t; git commit -q --allow-empty -m one; "
    forged = 'sed -i "s#^[0-9a-f]* refs/notes/govrun#$(git rev-parse t~1) refs/notes/govrun#" .git/packed-refs || true'
    outcome = govrun("bash", "-ec", made + noted + "git pack-refs --all; " + forged).ok()
    assert [op["call"] for op in shown(outcome)] == ["passed"], outcome.stderr
    assert "govrun" in git(govrun, repo, "notes", "--ref=govrun", "show", "t")
    packed = git(govrun, repo, "rev-parse", "refs/notes/govrun")
    assert packed != git(govrun, repo, "rev-parse", "t~1")


def test_a_proof_that_a_commit_weakens(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    outcome = govrun("bash", "-c", "echo true > checks/prove.sh; echo BROKEN >> src/app.py; git commit -qam weaker")
    assert "proof changed: the run has changed checks/prove.sh" in outcome.stderr
    assert outcome.denied("proved") and "weaker" not in git(govrun, repo, "log", "--format=%s")


def test_the_loop_goes_on_while_a_commit_waits(repo: Path, govrun: Govrun) -> None:
    """Other processes of the run act while the command of a contract runs: it ends when one of them has acted."""
    tree(govrun, repo, "commit", **{"checks/prove.sh": 'until test -e "$GO"; do sleep 0.02; done\n'})
    go = repo.parent / "go"
    script = """
    echo B = 1 >> src/app.py; git commit -qam x & commit=$!
    until test -e .git/refs/heads/main.lock; do sleep 0.02; done
    for i in $(seq 50); do echo $i > src/count; cat src/count > /dev/null; done
    git rev-parse HEAD > src/before; cp src/before src/ready
    wait $commit; git rev-parse HEAD > src/after
    """
    running = govrun.start("bash", "-c", script, env={"GO": str(go)})
    end = time.monotonic() + 60
    while not (repo / "src/ready").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert (repo / "src/ready").exists() and (repo / "src/count").read_text() == "50\n"
    go.touch()
    outcome = running.wait()
    assert outcome.code == 0, outcome.stderr
    assert (repo / "src/before").read_text() != (repo / "src/after").read_text()
    assert (repo / "src/after").read_text() == git(govrun, repo, "rev-parse", "HEAD")


LONG = f"600.{os.getpid()}"  # seconds that nobody else sleeps
WAITS = "echo B = 1 >> src/app.py; git commit -qam x & until test -e .git/refs/heads/main.lock; do sleep 0.02; done"


def test_a_run_that_ends_while_a_commit_waits(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit", **{"checks/prove.sh": f"sleep {LONG}\n"})
    before = git(govrun, repo, "rev-parse", "HEAD")
    outcome = govrun("bash", "-c", WAITS)
    assert outcome.code == 0, outcome.stderr
    assert git(govrun, repo, "rev-parse", "HEAD") == before
    assert not _asleep() and not list(govrun.state.glob("**/govrun-contract-*"))


def test_a_supervisor_that_dies_while_a_commit_waits(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit", **{"checks/prove.sh": f"sleep {LONG}\n"})
    before = git(govrun, repo, "rev-parse", "HEAD")
    running = govrun.start("bash", "-c", f"{WAITS}; sleep 600")
    _until(lambda: bool(_asleep()))
    (supervisor,) = psutil.Process(running.process.pid).children()
    supervisor.kill()
    outcome = running.wait()
    assert outcome.code == 121, outcome.stderr
    assert git(govrun, repo, "rev-parse", "HEAD") == before
    assert not _asleep() and not list(govrun.state.glob("**/govrun-contract-*"))


def _asleep() -> list[str]:
    """Whatever the command of the contract has started."""
    name = b"sleep\0" + LONG.encode()
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and name in _cmdline(pid)]


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_what_others_have_committed_is_not_shown(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    git(govrun, repo, "checkout", "-qb", "theirs")
    (repo / "src/app.py").write_text("BROKEN\n")
    git(govrun, repo, "commit", "-qam", "theirs")
    git(govrun, repo, "checkout", "-q", "main")
    outcome = clean(govrun("git", "merge", "-q", "--ff-only", "theirs"))
    assert not shown(outcome) and git(govrun, repo, "log", "--format=%s", "-1").strip() == "theirs"


# A checkpoint.


def test_a_checkpoint_is_shown_while_the_run_goes_on(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "checkpoint")
    # The record is out of the run's reach, so somebody else says when it is there.
    running = govrun.start("bash", "-c", "bash -c 'echo B = 1 >> src/app.py'; until test -e src/go; do sleep 0.1; done")
    _until(lambda: any(b'"when":"checkpoint"' in each.read_bytes() for each in _journals(govrun)))
    (repo / "src/go").touch()
    outcome = running.wait()
    assert outcome.code == 0, outcome.stderr
    ops = shown(outcome)
    assert ops[0]["call"] == "passed" and ops[0]["when"] == "checkpoint"
    assert standing(govrun, "one-http-client")["state"] == "held"


def test_a_checkpoint_that_is_not_met_is_warned_of(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "checkpoint")
    running = govrun.start("bash", "-c", "echo BROKEN >> src/app.py; until test -e src/go; do sleep 0.1; done")
    _until(lambda: any(b'"when":"checkpoint"' in each.read_bytes() for each in _journals(govrun)))
    (repo / "src/go").touch()
    outcome = running.wait()
    assert outcome.code == 0, outcome.stderr
    assert (repo / "src/app.py").read_text() == "A = 1\nBROKEN\n"
    assert shown(outcome)[0]["call"] == "failed"
    warned = outcome.records(kind="policy", verdict="warn")
    assert warned and warned[0]["invariant"] == "proved" and warned[0]["op"]["call"] == "checkpoint"
    assert "govrun: warning by proved" in outcome.stderr
    assert " 0 govrun/1 WARNED " in note(govrun, repo) and " 5 contract 0/1 passed " in note(govrun, repo)
    assert standing(govrun, "one-http-client")["state"] == "violated"


def test_what_was_mended_before_the_end_is_held(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "checkpoint")
    running = govrun.start(
        "bash", "-c", "echo BROKEN >> src/app.py; until test -e src/go; do sleep 0.1; done; echo A = 2 > src/app.py"
    )
    _until(lambda: any(b'"when":"checkpoint"' in each.read_bytes() for each in _journals(govrun)))
    (repo / "src/go").touch()
    outcome = running.wait()
    assert [op["call"] for op in shown(outcome)] == ["failed", "passed"]
    assert standing(govrun, "one-http-client")["state"] == "held"


def test_a_short_run_is_shown_at_its_end(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "checkpoint")
    outcome = clean(govrun("bash", "-c", "echo B = 1 >> src/app.py"))
    assert [op["call"] for op in shown(outcome)] == ["passed"]
    outcome = govrun("bash", "-c", "echo BROKEN >> src/app.py")
    assert outcome.code == 0 and [op["call"] for op in shown(outcome)] == ["failed"]
    assert "govrun: warning by proved" in outcome.stderr and " 0 govrun/1 WARNED " in note(govrun, repo)


def _journals(govrun: Govrun) -> list[Path]:
    return list(govrun.state.glob("runs/*/journal.jsonl"))


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    assert holds()


# A canary.

PATCHES = {
    "a new file": "--- /dev/null\n+++ b/src/new.py\n@@ -0,0 +1 @@\n+import requests\n",
    "a line": "--- a/src/app.py\n+++ b/src/app.py\n@@ -1 +1,2 @@\n A = 1\n+import requests\n",
    "harmless": "--- a/src/app.py\n+++ b/src/app.py\n@@ -1 +1,2 @@\n A = 1\n+import httpx\n",
    "let be": "--- a/src/app.py\n+++ b/src/app.py\n@@ -1 +1,2 @@\n A = 1\n+import flask\n",
    "damaged": "no patch\n",
}
CANARY = 'canary = "checks/planted.patch"'


@pytest.mark.parametrize("when", ["start", "stop", "commit", "checkpoint"])
@pytest.mark.parametrize("name", ["a new file", "a line"])
def test_a_canary_that_is_refused(repo: Path, govrun: Govrun, when: str, name: str) -> None:
    tree(govrun, repo, when, CANARY, **{"checks/planted.patch": PATCHES[name]})
    outcome = clean(govrun("bash", "-c", "echo B = 1 >> src/other.py; git add -A; git commit -qm x"))
    if when != "start":
        assert [op["call"] for op in shown(outcome)] == ["passed"]
        assert shown(outcome)[0]["detail"] == "checks/planted.patch: refused by one-http-client"
    assert (repo / "src/app.py").read_text() == "A = 1\n" and not (repo / "src/new.py").exists()
    assert " 5 contract 1/1 passed " in note(govrun, repo)
    assert standing(govrun, "one-http-client")["state"] == ("held" if when != "start" else "unproved")


@pytest.mark.parametrize(
    ("name", "proves", "told"),
    [
        ("harmless", "one-http-client", "one-http-client did not stop what was planted"),
        ("let be", "let-be", "let-be did not stop what was planted"),
        ("damaged", "one-http-client", "No valid patches in input"),
        # Refused, but not by the rule that it is to prove.
        ("a line", "let-be", "let-be did not stop what was planted; refused by one-http-client"),
    ],
)
def test_a_canary_that_nothing_stops(repo: Path, govrun: Govrun, name: str, proves: str, told: str) -> None:
    tree(govrun, repo, "start", CANARY, proves, **{"checks/planted.patch": PATCHES[name]})
    outcome = govrun("touch", "src/started")
    assert outcome.code == 125 and not (repo / "src/started").exists()
    assert "1 contract not met at the start" in outcome.stderr and told in outcome.stderr


def test_a_canary_at_the_end_that_nothing_stops(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "stop", CANARY, **{"checks/planted.patch": PATCHES["harmless"]})
    outcome = govrun("bash", "-c", "echo B = 1 >> src/app.py; git commit -qam x")
    assert outcome.code == 123
    assert standing(govrun, "one-http-client")["state"] == "violated"
    assert " 0 govrun/1 FAILED " in note(govrun, repo)


@pytest.mark.parametrize("path", ["/etc/x.patch", "../x.patch", "checks/../x.patch", ""])
def test_a_canary_is_a_file_of_the_tree(repo: Path, govrun: Govrun, path: str) -> None:
    tree(govrun, repo, "stop", f'canary = "{path}"')
    outcome = govrun("true")
    assert outcome.code == 125 and '"canary"' in outcome.stderr


def test_a_canary_that_is_not_committed(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "stop", CANARY)
    (repo / "checks/planted.patch").write_text(PATCHES["a line"])
    outcome = govrun("true")
    assert (
        outcome.code == 125 and "the commit that the run begins at has no file checks/planted.patch" in outcome.stderr
    )
    assert "fix: commit the files that the proof stands on\n" in outcome.stderr


def test_a_canary_is_shown_by_govrun_test(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "stop", CANARY, **{"checks/planted.patch": PATCHES["a line"]})
    told = govrun.cli("test", "--run")
    assert told.code == 0 and b"canary: checks/planted.patch" in told.stdout and b"passed" in told.stdout
