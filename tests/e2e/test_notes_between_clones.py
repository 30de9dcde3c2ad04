"""``govrun notes``: notes and records of several clones come together, and nothing is forced."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.provenance.note import ref_of
from supervisor.provenance.syncing import merged

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", landlock=2)
RUN, OTHER = "01JXK3ZQ4V8M0000000000000A", "01JXK3ZQ4V8M0000000000000B"


def git(govrun: Govrun, tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, env=govrun.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def hub(govrun: Govrun, repo: Path, tmp_path: Path) -> Path:
    path = tmp_path / "hub.git"
    git(govrun, tmp_path, "clone", "-q", "--bare", str(repo), str(path))
    return path


def clone(govrun: Govrun, hub: Path, name: str) -> Path:
    tree = hub.parent / name
    git(govrun, hub.parent, "clone", "-q", str(hub), str(tree))
    return tree


def runs(govrun: Govrun, tree: Path, count: int = 3) -> list[str]:
    """Runs of which each commits once; the commits."""
    made = []
    for number in range(count):
        govrun(
            "sh", "-c", f"echo {number} > {tree.name}-{number}; git add . && git commit -qm c{number}", cwd=tree
        ).ok()
        made.append(git(govrun, tree, "rev-parse", "HEAD"))
    return made


def test_two_clones_with_three_runs_each(govrun: Govrun, hub: Path) -> None:
    first, second = clone(govrun, hub, "one"), clone(govrun, hub, "two")
    commits = {tree: runs(govrun, tree) for tree in (first, second)}
    for tree in (first, second):
        git(govrun, tree, "push", "-q", "origin", f"HEAD:refs/heads/{tree.name}")
        govrun.cli("notes", "push", cwd=tree).ok()
    fresh = clone(govrun, hub, "three")
    assert b"6 records" in govrun.cli("notes", "fetch", cwd=fresh).ok().stdout
    for made in commits.values():
        for commit in made:
            answer = govrun.cli("verify", commit, cwd=fresh)
            assert answer.code == 0, answer.stdout
            assert b"verified (native)" in answer.stdout
    # Each clone has a ledger of its own, though one key signs in both.
    whole = govrun.cli("verify", "--all", cwd=fresh).ok().stdout
    assert whole.count(b"verified: 3 runs of this_installation, no number is missing") == 2
    assert whole.count(b"number 3 of its ledger") == 2
    # Again there is nothing to do, and no commit is made of it.
    before = git(govrun, fresh, "rev-parse", "refs/notes/govrun")
    assert b"nothing new at origin: 6 records here" in govrun.cli("notes", "fetch", cwd=fresh).ok().stdout
    assert git(govrun, fresh, "rev-parse", "refs/notes/govrun") == before
    git(govrun, hub, "fsck", "--strict")


def test_what_a_push_says(govrun: Govrun, hub: Path) -> None:
    tree, other = clone(govrun, hub, "one"), clone(govrun, hub, "two")
    assert b"nothing to push" in govrun.cli("notes", "push", cwd=other).ok().stdout
    runs(govrun, tree, 1)
    for _ in range(2):
        told = govrun.cli("notes", "push", cwd=tree).ok().stdout
        assert told == b"pushed: origin has all that is here, 1 record and the notes\n"
    assert b"1 note changed here, 1 record\n" in govrun.cli("notes", "fetch", cwd=other).ok().stdout


def test_a_remote_that_is_none_or_does_not_answer(govrun: Govrun, repo: Path, hub: Path) -> None:
    def refused(*words: str, tree: Path) -> list[str]:
        outcome = govrun.cli("notes", *words, cwd=tree)
        assert outcome.code == 2
        what, why, fix = outcome.stderr.splitlines()
        assert what.startswith("govrun: ") and why.startswith("  why: ") and fix.startswith("  fix: ")
        return [what.removeprefix("govrun: "), why.removeprefix("  why: "), fix.removeprefix("  fix: ")]

    tree = clone(govrun, hub, "one")
    runs(govrun, tree, 1)
    for word in ("push", "fetch"):
        assert refused(word, tree=repo)[::2] == ["this repository has no remote", "git remote add origin ADDRESS"]
        assert refused(word, "upstream", tree=tree) == ["no remote 'upstream'", "remotes: origin", "git remote"]
        git(govrun, tree, "remote", "set-url", "origin", str(hub.parent / "gone"))
        what, why, _ = refused(word, tree=tree)
        assert what == "origin does not answer" and "does not appear to be a git repository" in why
        git(govrun, tree, "remote", "set-url", "origin", str(hub))
    hook = hub / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not here >&2; exit 1\n")
    hook.chmod(0o755)
    assert refused("push", tree=tree)[0] == "origin does not take it"


def test_both_note_the_same_commit(govrun: Govrun, hub: Path) -> None:
    trees = [clone(govrun, hub, name) for name in ("one", "two")]
    for tree in trees:
        govrun("true", cwd=tree).ok()
        git(govrun, tree, "notes", "--ref=govrun", "append", "-m", f"{tree.name} was here", "HEAD")
    for tree in trees:
        govrun.cli("notes", "push", cwd=tree).ok()
    govrun.cli("notes", "fetch", cwd=trees[0]).ok()
    text = git(govrun, trees[0], "notes", "--ref=govrun", "show", "HEAD")
    assert "one was here" in text and "two was here" in text
    told = govrun.cli("verify", cwd=trees[0]).ok().stdout
    assert told.count(b"verified (base)") == 2


def test_notes_written_again_from_records(govrun: Govrun, hub: Path) -> None:
    tree = clone(govrun, hub, "one")
    commits = runs(govrun, tree, 2)
    govrun("true", cwd=tree).ok()
    before = {commit: git(govrun, tree, "notes", "--ref=govrun", "show", commit) for commit in commits}
    git(govrun, tree, "update-ref", "-d", "refs/notes/govrun")
    assert b"2 notes changed here, 3 records" in govrun.cli("notes", "rebuild", cwd=tree).ok().stdout
    for commit in commits:
        assert set(git(govrun, tree, "notes", "--ref=govrun", "show", commit).splitlines()) >= set(
            before[commit].splitlines()
        )
        govrun.cli("verify", commit, cwd=tree).ok()


def test_setup_carries_notes_through_amend(govrun: Govrun, hub: Path) -> None:
    tree = clone(govrun, hub, "one")
    assert b"set notes.rewriteRef refs/notes/govrun" in govrun.cli("notes", "setup", cwd=tree).ok().stdout
    assert b"everything was set already" in govrun.cli("notes", "setup", cwd=tree).ok().stdout
    runs(govrun, tree, 1)
    git(govrun, tree, "commit", "-q", "--amend", "-m", "said better")
    assert b"verified (tree-equal)" in govrun.cli("verify", cwd=tree).ok().stdout
    assert "govrun/1" in git(govrun, tree, "log", "-1")


def test_a_record_is_never_replaced(govrun: Govrun, hub: Path) -> None:
    """Whoever can push may put another record in the place of one: who has the first keeps it."""
    tree = clone(govrun, hub, "one")
    runs(govrun, tree, 1)
    git(govrun, tree, "push", "-q", "origin", "HEAD:refs/heads/one")
    govrun.cli("notes", "push", cwd=tree).ok()
    ref = git(govrun, tree, "for-each-ref", "--format=%(refname)", "refs/govrun/runs")
    kept = git(govrun, tree, "rev-parse", ref)
    git(govrun, hub, "update-ref", ref, git(govrun, hub, "rev-parse", "HEAD^{tree}"))
    outcome = govrun.cli("notes", "fetch", cwd=tree)
    assert outcome.code != 0 and "not everything was taken over" in outcome.stderr and ref in outcome.stderr
    assert git(govrun, tree, "rev-parse", ref) == kept
    govrun.cli("verify", cwd=tree).ok()


def test_what_is_no_ref_of_ours_is_not_taken_over(govrun: Govrun, hub: Path) -> None:
    """It could lie where records and ledgers go, or be no name that git takes."""
    tree, other = clone(govrun, hub, "one"), clone(govrun, hub, "two")
    (commit,) = runs(govrun, tree, 1)
    ledger = git(govrun, tree, "for-each-ref", "--format=%(refname)", "refs/govrun/ledger")
    git(govrun, hub, "update-ref", ledger.rpartition("/")[0].replace("ledger/", "ledger/x"), "HEAD")
    git(govrun, hub, "update-ref", ledger.rpartition("/")[0], "HEAD")
    git(govrun, hub, "tag", "-a", "-m", "t", "v1", "HEAD")
    git(govrun, hub, "update-ref", "refs/govrun/runs/0A/tag", "refs/tags/v1")
    govrun.cli("notes", "fetch", cwd=other).ok()
    assert git(govrun, other, "for-each-ref", "refs/govrun") == ""
    assert b"nothing new at origin: 1 record here" in govrun.cli("notes", "fetch", cwd=tree).ok().stdout
    govrun.cli("verify", commit, cwd=tree).ok()


def test_a_ledger_only_grows(govrun: Govrun, hub: Path) -> None:
    """One that was cut or written anew at the remote is not taken over; the rest is."""
    tree, other = clone(govrun, hub, "one"), clone(govrun, hub, "two")
    runs(govrun, tree, 2)
    govrun.cli("notes", "push", cwd=tree).ok()
    govrun.cli("notes", "fetch", cwd=other).ok()
    ref = git(govrun, tree, "for-each-ref", "--format=%(refname)", "refs/govrun/ledger")
    kept = git(govrun, tree, "rev-parse", ref)
    git(govrun, hub, "update-ref", ref, git(govrun, hub, "rev-parse", f"{ref}^"))
    govrun.cli("notes", "fetch", cwd=other).ok()  # shorter: nothing to take over
    govrun("git", "commit", "-q", "--allow-empty", "-m", "more", cwd=tree).ok()
    govrun.cli("notes", "push", cwd=tree).ok()
    grown = git(govrun, tree, "rev-parse", ref)
    assert git(govrun, hub, "rev-parse", ref) == grown != kept
    forged = git(govrun, hub, "commit-tree", "-p", f"{kept}^", "-m", "govrun ledger", f"{kept}^{{tree}}")
    git(govrun, hub, "update-ref", ref, forged)
    outcome = govrun.cli("notes", "fetch", cwd=other)
    assert outcome.code != 0 and "not everything was taken over" in outcome.stderr and ref in outcome.stderr
    assert git(govrun, other, "rev-parse", ref) == kept
    assert len(git(govrun, other, "for-each-ref", "refs/govrun/runs").splitlines()) == 3
    told = govrun.cli("verify", "--all", cwd=other)
    assert told.code == 2 and b"number 3 of its ledger is not here: it ends with number 2" in told.stdout
    outcome = govrun.cli("notes", "push", cwd=tree)
    assert outcome.code != 0 and git(govrun, hub, "rev-parse", ref) == forged


def test_what_others_have_written_into_the_notes_of_a_run(govrun: Govrun, hub: Path) -> None:
    """Not taken over where the record is signed by a key that is believed; a note that nobody can read is named."""
    tree, fresh = clone(govrun, hub, "one"), clone(govrun, hub, "two")
    first, second = runs(govrun, tree, 2)
    git(govrun, tree, "push", "-q", "origin", "HEAD:refs/heads/one")
    govrun.cli("notes", "push", cwd=tree).ok()
    true = git(govrun, hub, "notes", "--ref=govrun", "show", first)
    run = true.split()[0]
    git(govrun, hub, "config", "user.name", "eve")
    git(govrun, hub, "config", "user.email", "eve@example.com")
    git(govrun, hub, "notes", "--ref=govrun", "append", "-m", f"{run} 3 remediation reverts=0", first)
    (hub / "big").write_text("x\n" * (1 << 20))
    git(govrun, hub, "notes", "--ref=govrun", "add", "-f", "-F", str(hub / "big"), second)
    told = govrun.cli("notes", "fetch", cwd=fresh).ok().stdout.decode()
    assert f"left as it is: the note on {second}, which would have more than 1 MiB" in told
    git(govrun, fresh, "fetch", "-q", "origin")
    assert git(govrun, fresh, "notes", "--ref=govrun", "show", first) == true
    govrun.cli("verify", first, cwd=fresh).ok()
    assert b"verified (native)" in govrun.cli("verify", second, cwd=fresh).ok().stdout
    assert "1 note changed here" in govrun.cli("notes", "rebuild", cwd=fresh).ok().stdout.decode()


def test_bad_input(govrun: Govrun, hub: Path, tmp_path: Path) -> None:
    tree = clone(govrun, hub, "one")
    for words in (["fetch", "nowhere"], ["push", "--upload-pack=touch mark"], ["fetch", "../x"], ["fetch", str(hub)]):
        outcome = govrun.cli("notes", *words, cwd=tree)
        assert outcome.code != 0 and "why:" in outcome.stderr, outcome.stderr
    assert not (tree / "mark").exists()
    assert govrun.cli("notes", "rebuild", cwd=tmp_path).code == 2
    inside = govrun("sh", "-c", f"{govrun.interpreter} -I -m supervisor notes setup", cwd=tree)
    assert inside.code == 2 and "this is a run" in inside.stderr
    git(govrun, tree, "remote", "set-url", "origin", str(hub / "gone"))
    assert govrun.cli("notes", "fetch", cwd=tree).code == 2
    assert list((govrun.state / "sync").iterdir()) == []


def lines(run: str, status: str, last: int) -> str:
    return "".join(f"{run} {n} {'govrun/1 ' + status if n == 0 else 'x'}\n" for n in range(last + 1))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "", "a\n"),
        ("a\nb\n\n", "b\nc\n", "a\nb\nc\n"),
        (lines(RUN, "RUNNING", 5), lines(RUN, "PASSED", 8), lines(RUN, "PASSED", 8)),
        (lines(RUN, "PASSED", 8), lines(RUN, "RUNNING", 5), lines(RUN, "PASSED", 8)),
        (lines(RUN, "PASSED", 8), lines(OTHER, "RUNNING", 5), lines(RUN, "PASSED", 8) + lines(OTHER, "RUNNING", 5)),
        (lines(RUN, "PASSED", 8), lines(RUN, "PASSED", 8), lines(RUN, "PASSED", 8)),
    ],
)
def test_lines_of_two_notes(ours: str, theirs: str, expected: str) -> None:
    assert merged(ours, theirs) == expected


def test_the_ref_of_a_run() -> None:
    assert ref_of(RUN) == f"refs/govrun/runs/0A/{RUN}"
