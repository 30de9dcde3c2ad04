"""``[scope] branches`` and ``commits``: which refs move, whatever moves them, and what the commits say."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

pytestmark = pytest.mark.needs("landlock", "notify", "git")
BRANCHES = """version = 1
[scope]
branches = ["agent/*", "refs/tags/agent-*"]
adr = "0003"
"""
COMMITS = """version = 1
[scope]
commits = { author = "*@agents.example", trailers = ["Signed-off-by", "Assisted-by: model *"] }
adr = "0003"
"""
NEXT = "C=$(git commit-tree -p HEAD -m next HEAD^{tree});"
# Each moves, makes or deletes a ref that `branches` does not name.
MOVES = {
    "commit": "echo x >> src/a; git commit -qam x",
    "commit by plumbing": NEXT + "git update-ref refs/heads/main $C",
    "a batch": NEXT + "printf 'start\\nupdate refs/heads/main %s\\nprepare\\ncommit\\n' $C | git update-ref --stdin",
    "reset": "git reset -q --soft HEAD~1",
    "branch": "git branch topic",
    "branch, forced": "git branch -f other HEAD",
    "branch deleted": "git branch -D other",
    "packed branch deleted": "git pack-refs --all; git branch -D other",
    "branch renamed": "git branch -m other agent/x",
    "branch renamed over": "git switch -qc agent/x; git branch -M agent/x other",
    "switch -c": "git switch -qc topic",
    "checkout -B": "git checkout -q -B other",
    "worktree": "git worktree add -q -b topic w",
    "merge": "git merge -q other",
    "rebase": "git rebase -q other",
    "fetch into heads": "git fetch -q . agent-start:topic",
    "fetch over heads": "git fetch -q . +main:other",
    "tag": "git tag v2",
    "tag moved": "git tag -f v1 HEAD",
    "tag deleted": "git tag -d v1",
    "symbolic ref": "git symbolic-ref refs/heads/main refs/heads/other",
    "a symbolic ref anew": "git symbolic-ref refs/heads/topic refs/heads/other",
    "symbolic ref deleted": "git symbolic-ref -d refs/heads/alias",
    "through a symbolic ref": NEXT
    + "git symbolic-ref refs/heads/agent/x refs/heads/main; git update-ref refs/heads/agent/x $C",
    "a note": "git notes add -m x",
    "a remote's name": "git update-ref refs/remotes/origin/main HEAD",
    "by hand": "git rev-parse HEAD~1 > .git/refs/heads/main",
    "by hand, anew": "git rev-parse HEAD~1 > .git/refs/heads/topic",
    "by hand, with a lock": "git rev-parse HEAD~1 > .git/refs/heads/main.lock; mv .git/refs/heads/main.lock .git/refs/heads/main",
    "by hand, from elsewhere": "git rev-parse HEAD~1 > x; mv -f x .git/refs/heads/main",
    "by hand, with more in it": "echo $(git rev-parse HEAD~1) x > y; mv -f y .git/refs/heads/main",
    "by link": "git rev-parse HEAD~1 > x; ln x .git/refs/heads/topic",
    "removed by hand": "rm .git/refs/heads/other",
    "moved away by hand": "mv .git/refs/heads/other .git/refs/heads/agent-x",
    "a folder moved": "git branch agent/x; mv .git/refs/heads/agent .git/refs/heads/topic",
    "packed refs by hand": "git pack-refs --all; sed 's,^.* refs/heads/main$,'$(git rev-parse HEAD~1)' refs/heads/main,' .git/packed-refs > .git/packed-refs.lock; mv .git/packed-refs.lock .git/packed-refs",
    "packed refs with one less": "git pack-refs --all; grep -v other .git/packed-refs > .git/packed-refs.lock; mv .git/packed-refs.lock .git/packed-refs",
    "by python": "python3 -c \"import os, subprocess as s; h = s.check_output(['git', 'rev-parse', 'HEAD~1']); p = '.git/refs/heads/main'; open(p + '.lock', 'wb').write(h); os.rename(p + '.lock', p)\"",
}
# What a run does that works on branches of its own.
WORK = {
    "switch and commit": "git switch -qc agent/x; echo x >> src/a; git commit -qam x; git log -1 --format=%s",
    "worktree": "git worktree add -q -b agent/w w; cd w; echo x >> src/a; git commit -qam w; cd ..; git worktree remove w",
    "stash": "echo x >> src/a; git stash -q; git stash pop -q; git stash -q; git stash drop -q",
    "rebase": "git switch -qc agent/x; echo x > src/n; git add -A; git commit -qm x; git rebase -q other; git log --format=%s -2",
    "merge": "git switch -qc agent/x; git merge -q --no-edit other",
    "detached": "git checkout -q --detach; echo x >> src/a; git commit -qam x; git switch -q main",
    "packing": "git switch -qc agent/x; git pack-refs --all; git gc -q; git branch -m agent/y; git branch agent/z; git branch -D agent/z",
    "bisect": "git bisect start main main~2 > /dev/null; git bisect run true > /dev/null; git bisect reset > /dev/null 2>&1",
    "fetch": "git fetch -q origin; git remote update > /dev/null 2>&1",
    "fetch of tags": "git fetch -q --tags origin",
    "remotes": "git remote add more ~/remote.git; git fetch -q more; git remote rename more most; git remote remove most",
    "push": "git switch -qc agent/x; git push -q origin agent/x; git push -q origin --delete agent/x",
    "tag": "git tag agent-1; git tag -d agent-1 > /dev/null",
    "switching": "git switch -q other; git switch -q main; git checkout -q HEAD~1; git switch -q main",
    "symbolic": "git symbolic-ref refs/heads/agent/alias refs/heads/agent/x; git remote set-head origin main",
}


def refs(govrun: Govrun, tree: Path) -> str:
    shown = git(govrun, tree, "for-each-ref", "--format=%(refname) %(objectname) %(symref)")
    return "".join(line for line in shown.splitlines(keepends=True) if "govrun" not in line)


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    """Branches main and other, an alias of main, a tag, and a remote with one commit and one tag more."""
    tree_of(govrun, repo, BRANCHES, {"src/a": "1\n"})
    remote = str(govrun.home / "remote.git")
    git(govrun, repo, "clone", "-q", "--bare", ".", remote)
    git(govrun, repo, "remote", "add", "origin", remote)
    git(govrun, repo, "fetch", "-q", "origin")
    git(govrun, repo, "tag", "v1")
    git(govrun, repo, "switch", "-qc", "other")
    (repo / "src/o").write_text("o\n")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "other")
    git(govrun, repo, "push", "-q", "origin", "HEAD:theirs")
    git(govrun, repo, "push", "-q", "origin", "HEAD:refs/tags/v9")
    git(govrun, repo, "switch", "-q", "main")
    (repo / "src/a").write_text("2\n")
    git(govrun, repo, "commit", "-qam", "two")
    git(govrun, repo, "branch", "agent-start")
    git(govrun, repo, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    return repo


def moved(outcome: Outcome) -> list[dict[str, object]]:
    return [each for each in outcome.denied("scope.branches") if each["kind"] == "git.ref"]


@pytest.mark.parametrize("name", MOVES)
def test_no_other_ref_moves(govrun: Govrun, tree: Path, name: str) -> None:
    before = refs(govrun, tree)
    outcome = govrun("bash", "-c", MOVES[name])
    after = [line for line in refs(govrun, tree).splitlines() if "refs/heads/agent/" not in line]
    assert after == before.splitlines(), outcome.stderr
    refused = {each["invariant"] for each in outcome.denied()}
    assert refused and refused <= {"scope.branches", "git.internals", "govrun.path"}, outcome.stderr


def test_each_move_would_be_one(govrun: Govrun, tree: Path) -> None:
    """Without the rule they are: no script fails by itself."""
    for number, (name, script) in enumerate(MOVES.items()):
        copy = tree.parent / f"copy{number}"
        shutil.copytree(tree, copy, symlinks=True)
        before = refs(govrun, copy)
        govrun.bare("bash", "-c", script, cwd=copy)
        assert refs(govrun, copy) != before, name


def test_the_reason_is_whole(govrun: Govrun, tree: Path) -> None:
    head = git(govrun, tree, "rev-parse", "main").strip()
    outcome = govrun("bash", "-c", MOVES["commit"])
    told = next(line for line in outcome.stderr.splitlines() if "denied by scope.branches" in line)
    for word in ("refs/heads/main", head[:12], "agent/*", "ADR 0003", "git switch -c agent/topic"):
        assert word in told
    record = moved(outcome)[0]
    assert record["op"]["ref"] == "refs/heads/main" and record["op"]["old"] == head and len(record["op"]["new"]) == 40
    assert record["adr"] == "0003" and record["outcome"] == "blocked" and record["binding"] == "copied"
    assert "scope.branches<-0003=1" in note(govrun, tree)


@pytest.mark.parametrize("name", WORK)
def test_work_on_branches_of_its_own(govrun: Govrun, tree: Path, name: str) -> None:
    profile = BRANCHES + '[[command]]\nid = "push"\nwhy = "w"\nallow = ["vcs-remote"]\n'
    profile = profile.replace("adr", 'write = ["**", "~/remote.git/**"]\nadr', 1) if "push" in name else profile
    (tree / "govrun.toml").write_text(profile)
    git(govrun, tree, "commit", "-qam", "pushing")
    clean(govrun("bash", "-ec", WORK[name]))


# ------------------------------------------------------------------------------------------------------ commits

AS = "-c user.name=Model -c user.email=m@agents.example"
GOOD = f"git {AS} commit -qs --trailer 'Assisted-by: model 7'"
# A commit by its raw lines: those that are given, between the tree and the committer.
RAW = "raw() { printf 'tree %s\\n' $(git rev-parse HEAD^{tree}); printf '%s\\n' \"$1\" 'committer M <m@agents.example> 1700000000 +0000' ${2:+\"$2\"} ''; printf 'x\\n\\nSigned-off-by: m\\nAssisted-by: model 7\\n'; }; raw"
WRITE = "git hash-object --literally -t commit -w --stdin"
BAD = {
    "another author": "git commit -qsam x --trailer 'Assisted-by: model 7'",
    "an author that is only called so": "git -c user.name='x m@agents.example' commit -qsam x --trailer 'Assisted-by: model 7'",
    "no trailer": f"git {AS} commit -qam x",
    "one trailer of two": f"git {AS} commit -qsam x",
    "a trailer of another value": f"git {AS} commit -qsam x --trailer 'Assisted-by: nobody'",
    "a trailer in the text": f"git {AS} commit -qam x -m 'Signed-off-by: a\nAssisted-by: model 7' -m 'and more'",
    "amended": f"{GOOD} -am x; git commit -q --amend -m y",
    "by plumbing": "git update-ref refs/heads/main $(git commit-tree -p HEAD -m x HEAD^{tree})",
    "a tag": "git tag t $(git commit-tree -p HEAD -m x HEAD^{tree})",
    "an annotated tag": "git tag -a -m t t $(git commit-tree -p HEAD -m x HEAD^{tree})",
    "detached": "git checkout -q --detach; git commit -qam x",
    "one below": f"C=$(git commit-tree -p HEAD -m x HEAD^{{tree}}); D=$(printf 'x\n\nSigned-off-by: m\nAssisted-by: model 7\n' | git {AS} commit-tree -p $C HEAD^{{tree}}); git update-ref refs/heads/main $D",
    "a merged one": f"C=$(git commit-tree -p HEAD -m x HEAD^{{tree}}); git {AS} merge -q -m 'm\n\nSigned-off-by: m\nAssisted-by: model 7' --no-ff $C",
    "from a stash": "git stash -q; git branch s stash",
    "of long ago": "C=$(GIT_COMMITTER_DATE='1980-01-01T00:00:00Z' git commit-tree -p HEAD -m x HEAD^{tree}); git branch s $C",
    "an own remote": "git init -q r; cd r; git commit -q --allow-empty -m x; cd ..; git fetch -q ./r HEAD:refs/remotes/r/x",
    "an object without an author": "C=$(printf 'tree %s\\n\\nx\\n\\nSigned-off-by: m\\nAssisted-by: model 7\\n' $(git rev-parse HEAD^{tree}) | git hash-object -t commit -w --stdin --literally); git update-ref refs/heads/y $C",
    "two authors": f"C=$({RAW} 'author M <m@agents.example> 1700000000 +0000' 'author Evil <evil@x.example> 1700000000 +0000' | {WRITE}); git update-ref refs/heads/y $C",
    "an author written otherwise": f"C=$({RAW} 'author Evil +ADw-evil+AEA-x.example+AD4- <m@agents.example> 1700000000 +0000' 'encoding UTF-7' | {WRITE}); git update-ref refs/heads/y $C",
}
FINE = {
    "a name in another alphabet": f"C=$({RAW} 'author M <m@agents.example> 1700000000 +0000' 'encoding ISO-8859-1' | {WRITE}); git update-ref refs/heads/y $C",
    "as asked": f"{GOOD} -am x; git log -1 --format=%ae",
    "several": f"{GOOD} -am x; echo 9 >> src/a; {GOOD} -am y; git switch -qc topic; echo 8 >> src/a; {GOOD} -am z",
    "branches of what is there": "git branch t HEAD~2; git tag u HEAD~1; git checkout -q HEAD~1; git switch -q main; git reset -q --soft HEAD~1",
    "fetched": "git fetch -q origin; git merge-base --is-ancestor origin/theirs origin/theirs; git branch t origin/theirs",
    "stash and notes": "git stash -q; git stash pop -q; git notes add -m n; git stash -q; git stash drop -q",
    "rebase": f"git checkout -q src/a; git switch -qc t; echo n > n; git add n; {GOOD} -m x; git rebase -q --onto other main; git log -1 --format=%ae",
    "merge of theirs": f"{GOOD} -am x; git {AS} merge -q -m 'm\n\nSigned-off-by: m\nAssisted-by: model 7' other",
    "packing": "git pack-refs --all; git gc -q; git branch t HEAD~1; git branch -D t",
}


@pytest.fixture
def shared(govrun: Govrun, tree: Path) -> Path:
    (tree / "govrun.toml").write_text(COMMITS)
    git(govrun, tree, "commit", "-qam", "rules")
    (tree / "src/a").write_text("3\n")
    other = govrun.home / "theirs"
    git(govrun, tree, "clone", "-q", str(govrun.home / "remote.git"), str(other))
    git(govrun, other, "switch", "-q", "theirs")
    git(govrun, other, "commit", "-q", "--allow-empty", "-m", "later, by somebody")
    git(govrun, other, "push", "-q", "origin", "theirs")
    return tree


OTHERS = [f"--exclude={each}" for each in ("refs/stash", "refs/notes/*", "refs/govrun/*")]  # no commits of a branch


@pytest.mark.parametrize("name", BAD)
def test_no_commit_comes_that_is_not_as_asked(govrun: Govrun, shared: Path, name: str) -> None:
    before = set(git(govrun, shared, "rev-list", *OTHERS, "--all", "HEAD").split())
    outcome = govrun("bash", "-c", BAD[name])
    after = set(git(govrun, shared, "rev-list", *OTHERS, "--all", "HEAD").split())
    came = [git(govrun, shared, "log", "-1", "--format=%s %ae%n%b", each) for each in after - before]
    if name == "amended":  # the first one is as asked
        (first,) = came
        assert first.startswith("x m@agents.example\n") and "model 7" in first, outcome.stderr
    else:
        assert came == [], outcome.stderr
    found = outcome.denied("scope.commits")
    assert found and found[0]["kind"] == "git.ref" and found[0]["adr"] == "0003", outcome.stderr
    assert "commit " in found[0]["message"] and "denied by scope.commits" in outcome.stderr
    assert "git commit --amend" in outcome.stderr
    if name == "no trailer":
        assert "scope.commits<-0003=1" in note(govrun, shared)


@pytest.mark.parametrize("name", FINE)
def test_what_is_as_asked_or_was_there_passes(govrun: Govrun, shared: Path, name: str) -> None:
    clean(govrun("bash", "-ec", FINE[name]))


# A ref that nobody's commits are asked for, and what it leads to when the run begins.
ASIDE = {
    "stash": "git update-ref refs/stash $C",
    "bisect": "git update-ref refs/bisect/keep $C",
    "rebase": "git update-ref refs/rewritten/onto $C",
    "worktree": "git update-ref refs/worktree/x $C",
    "notes": "git update-ref refs/notes/x $C",
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_one_run_put_aside_is_not_history_for_the_next(govrun: Govrun, shared: Path, name: str) -> None:
    clean(govrun("bash", "-ec", NEXT + ASIDE[name]))
    aside = ASIDE[name].split()[2]
    outcome = govrun("bash", "-c", f"git update-ref refs/heads/laundered {aside}; git tag -m t t {aside}; true")
    assert len(outcome.denied("scope.commits")) == 2, outcome.stderr
    assert "laundered" not in refs(govrun, shared) and "refs/tags/t " not in refs(govrun, shared)


def test_what_the_user_put_aside_can_be_worked_with(govrun: Govrun, shared: Path) -> None:
    git(govrun, shared, "stash", "-q")
    (shared / "src/a").write_text("4\n")
    git(govrun, shared, "stash", "-q")
    git(govrun, shared, "notes", "add", "-m", "n")
    git(govrun, shared, "bisect", "start", "--no-checkout", "main", "main~2")
    clean(
        govrun(
            "bash",
            "-ec",
            "git stash pop -q; git checkout -q src/a; git stash branch t > /dev/null; git notes append -m o; git bisect reset > /dev/null 2>&1;"
            " git pack-refs --all; git branch u main~1",
        )
    )


def test_a_word_that_lets_it_happen_tells(govrun: Govrun, tree: Path) -> None:
    (tree / "govrun.toml").write_text(BRANCHES + 'then = "warn"\n')
    git(govrun, tree, "commit", "-qam", "warn")
    outcome = govrun("bash", "-c", "git branch topic").ok()
    assert "refs/heads/topic" in git(govrun, tree, "for-each-ref")
    assert "scope.branches" in outcome.stderr
    assert [each for each in outcome.journal if each.get("verdict") == "warn" and each["invariant"] == "scope.branches"]


def test_where_commits_would_be_refused_is_said_at_the_start(govrun: Govrun, tree: Path) -> None:
    line = (
        "govrun: commits on main are refused (scope.branches): agent/*, refs/tags/agent-* · git switch -c agent/topic"
    )
    assert line in govrun("true").ok().stderr.splitlines()
    git(govrun, tree, "switch", "-qc", "agent/x")
    assert "are refused" not in govrun("true").ok().stderr
