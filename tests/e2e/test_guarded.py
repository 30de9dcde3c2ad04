"""Protected files under git's own transitions: other people's versions come and go, the run's own do not."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun
    from tests.e2e.conftest import Pair

POLICY, CI, AGENT = "govrun.toml", ".github/workflows/ci.yml", ".claude/settings.json"
SETUP = f"""
mkdir -p .github/workflows .claude
echo 'version = 1' > {POLICY}; echo 'on: push' > {CI}; echo '{{}}' > {AGENT}
git add -A; git commit -qm protected
git switch -qc other
printf 'version = 1\\n# other\\n' > {POLICY}; echo 'on: pull_request' > {CI}; git rm -q {AGENT}
echo o > src/o; git add -A; git commit -qm other
git switch -q main; echo m > src/m; git add -A; git commit -qm main
git branch before HEAD~2
"""
SCRIPTS = {
    "checkout and back": f"git checkout -q other; cat {POLICY} {CI}; git status --porcelain; git checkout -q main; cat {CI} {AGENT}",
    "older commit": f"git checkout -q before; ls -A .github 2>/dev/null || true; git status --porcelain; git checkout -q main; cat {CI}",
    "merge": f"git merge -q --no-edit other; cat {POLICY} {CI}; git status --porcelain",
    "rebase": f"git rebase -q other; cat {CI}; git status --porcelain; git log --format=%s",
    "switch, work, rebase": "git switch -q other; echo w > src/w; git add -A; git commit -qm w; git rebase -q main; git log --format=%s",
    "reset": f"git reset -q --hard other; cat {CI}; git status --porcelain",
    "cherry-pick": f"git cherry-pick other; cat {CI}; git status --porcelain",
    "restore one file": f"git checkout -q other -- {CI}; cat {CI}; git commit -qm theirs; git status --porcelain",
    "stash": f"echo x >> src/m; git stash -q; git checkout -q other; git checkout -q main; git stash pop -q; cat {CI}; git status --porcelain",
    "worktree": f"git worktree add -q w other; cat w/{CI}; git worktree remove w",
    "revert": f"git switch -q other; git revert --no-edit HEAD; cat {CI}; git status --porcelain",
    "bisect": f"git bisect start main before > /dev/null; git bisect run true > /dev/null; git bisect reset > /dev/null 2>&1; cat {CI}",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_bare(pair: Pair, name: str) -> None:
    pair.both(SETUP)
    pair.same(SCRIPTS[name])


def test_dirty_at_the_start(pair: Pair) -> None:
    """The user's own uncommitted change is found there: it may be stashed, put back and committed."""
    pair.both(SETUP)
    pair.both(f"echo '# mine' >> {CI}")
    pair.same(
        f"git stash -q; cat {CI}; git stash pop -q; cat {CI}; git commit -qam all; git status --porcelain; cat {CI}"
    )


@pytest.fixture
def protected(repo: Path, govrun: Govrun) -> Path:
    assert govrun.bare("bash", "-ec", SETUP).returncode == 0
    return repo


PATCH = (
    """printf 'diff --git a/{path} b/{path}\\n--- a/{path}\\n+++ b/{path}\\n@@ -1 +1 @@\\n-{old}\\n+evil\\n' > src/p"""
)
FORGE = """
b=$(echo evil | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$b,{path}
"""
ATTEMPTS = {
    "apply": PATCH + "; git apply src/p; ls > /dev/null",
    "apply to the index, then checkout": FORGE + "git checkout-index -f {path}; ls > /dev/null",
    "commit without a file": FORGE + "git commit -qm evil",
    "am": PATCH
    + "; (printf 'From 0\\nFrom: a <a@example.com>\\nSubject: x\\n\\n'; cat src/p) > src/mail; git am -q src/mail",
    "branch with a forged tree": FORGE
    + "git branch evil $(git commit-tree -m e $(git write-tree)); git checkout -qf evil",
    "rm": "git rm -qf {path}; ls > /dev/null",
    "rm and commit": "git rm -qf --cached {path}; git commit -qm gone",
    "mv": "git mv {path} src/moved; ls > /dev/null",
    "archive": FORGE + "git archive -o src/a.tar $(git write-tree) {path}; tar xf src/a.tar; ls > /dev/null",
    "a clone's checkout": "git clone -q . c; (cd c; echo evil > {path}; git add -A; git commit -qm evil); git pull -q c; cat {path}",
    "fetched from a repository of its own": "git clone -q . c; (cd c; echo evil > {path}; git add -A; git commit -qm evil);"
    " git remote add c ./c; git fetch -q c; git checkout -q c/main; git checkout -q -B x c/main",
}
OLD = {POLICY: "version = 1", CI: "on: push"}


@pytest.mark.parametrize("path", OLD)
@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_of_the_run_s_own(protected: Path, govrun: Govrun, name: str, path: str) -> None:
    script = ATTEMPTS[name].replace("{path}", path).replace("{old}", OLD[path])
    outcome = govrun("bash", "-c", script)
    assert (protected / path).read_text() == OLD[path] + "\n", outcome.stderr
    for ref in govrun.bare("git", "for-each-ref", "--format=%(refname)", "refs/heads").stdout.decode().split():
        shown = govrun.bare("git", "show", f"{ref}:{path}")
        assert b"evil" not in shown.stdout, (ref, outcome.stderr)
    head = govrun.bare("git", "show", f"HEAD:{path}")
    assert head.returncode == 0 and b"evil" not in head.stdout, outcome.stderr
    spoken = [
        each for each in outcome.journal if each.get("invariant") in ("scope.protect", "govrun.policy", "scope.write")
    ]
    assert spoken, outcome.stderr


def test_what_comes_is_recorded(protected: Path, govrun: Govrun) -> None:
    outcome = govrun("bash", "-ec", "git checkout -q other; ls > /dev/null").ok()
    names = {Path(str(each["op"]["path"])).name for each in outcome.journal if each.get("op", {}).get("prior")}
    assert names == {"govrun.toml", "ci.yml", "settings.json"}
    assert "PASSED" in outcome.stderr


def test_commits_of_the_user_meanwhile(pair: Pair) -> None:
    """They are other people's work for the rest of the run: built upon, and merged."""
    git = lambda *words: pair.govrun.bare("git", "-c", "user.name=u", "-c", "user.email=u@u", *words)  # noqa: E731
    script = (
        "touch .git/ready; while [ ! -e .git/go ]; do sleep 0.02; done; "
        "echo k > k; git add k; git commit -qm k; git merge -q --no-edit theirs; git log --format=%s"
    )
    path = pair.tree / CI
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a\n")
    assert git("add", "-A").returncode == git("commit", "-qm", "ci").returncode == 0
    running = pair.govrun.start("bash", "-ec", script, env=pair.govrun.env | pair.env)
    while not (pair.tree / ".git/ready").exists():
        assert running.process.poll() is None
    for text in ("b\n", "c\n"):
        path.write_text(text)
        git("commit", "-qam", "user")
    git("checkout", "-q", "-b", "theirs")
    other = path.parent / "other.yml"
    other.write_text("d\n")
    git("add", "-A")
    git("commit", "-qm", "theirs")
    git("checkout", "-q", "-")
    (pair.tree / ".git/go").touch()
    outcome = running.wait().ok()
    assert b"theirs" in outcome.stdout and outcome.stdout.count(b"user") == 2
    assert other.read_text() == "d\n" and path.read_text() == "c\n"


def test_a_long_history_lies_open(repo: Path, govrun: Govrun) -> None:
    """What the refs led to at the start is no work of the run, however much of it there is."""
    lines = ["reset refs/heads/main"]
    for number in range(2_100):
        lines += ["commit refs/heads/main", f"committer A <a@x> {1_700_000_000 + number * 3600} +0000", "data 1", "x"]
        lines += [f"M 100644 inline f{number % 7}", "data 4", f"{number:04}"]
    (repo.parent / "history").write_text("\n".join([*lines, "done", ""]))
    script = "git fast-import --quiet --force < ../history && git reset -q --hard && git pack-refs --all"
    assert govrun.bare("bash", "-ec", script).returncode == 0
    work = "git branch old HEAD~3; git checkout -q HEAD~9; git tag t HEAD~1000; git switch -qc w HEAD~5; echo x > n; git add n; git commit -qm n; git log --format=%s | wc -l"
    outcome = govrun("bash", "-ec", work).ok()
    assert not outcome.denied() and outcome.stdout.split()[-1] == b"2087"
