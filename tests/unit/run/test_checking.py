"""Walking and judging a tree, the locks of its base, and looking at a repository through a directory of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from supervisor.git.layout import discover
from supervisor.git.view import View
from supervisor.run import baselocks, checking
from supervisor.run.baselocks import read_locks
from supervisor.vocabulary.errors import GovrunError, UsageError

PROFILE = 'version = 1\n[[dependency]]\nid = "r"\nwhy = "x"\ndeny = ["pypi:requests"]\n'
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]


def git(tree: Path, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=tree, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = tmp_path / "tree"
    (tmp_path / "home").mkdir()
    tree.mkdir()
    (tree / "govrun.toml").write_text(PROFILE)
    monkeypatch.chdir(tree)
    return tree


def check(place: Path, *paths: bytes, base: str = "") -> checking.Checked:
    environ = {"HOME": str(place.parent / "home"), "XDG_STATE_HOME": str(place.parent / "state")}
    return checking.check(base, paths, environ)


def test_counts_and_facts(place: Path) -> None:
    (place / "a.py").write_text("x = 1\n")
    (place / "b.py").write_text("\n\nimport requests\n")
    (place / "c.txt").write_text("import requests\n")
    found = check(place)
    assert (found.files, found.read, found.inspected, found.rules) == (4, 2, 1, 1)
    (only,) = found.violations
    assert (only.path, only.line, only.rule.id, only.blocks, only.tolerated) == (b"b.py", 3, "r", True, True)
    assert only.message == "b.py imports requests (pypi:requests) at line 3"


def test_without_rules_nothing_is_read(place: Path) -> None:
    (place / "govrun.toml").write_text("version = 1\n")
    (place / "b.py").write_text("import requests\n")
    found = check(place)
    assert (found.read, found.rules, found.violations) == (0, 0, ())


def test_too_large_to_be_judged(place: Path) -> None:
    with (place / "a.py").open("wb") as file:
        file.truncate(65 << 20)
    (only,) = check(place).violations
    assert "larger than 64 MiB" in only.message


def test_a_module_of_another_package_in_the_lock(place: Path) -> None:
    (place / "govrun.toml").write_text(PROFILE.replace("pypi:requests", "pypi:pyjwt"))
    (place / "a.py").write_text("import jwt\n")
    lock = place / "uv.lock"
    lock.write_text('[[package]]\nname = "attrs"\nversion = "1"\n')
    assert [each.path for each in check(place).violations] == [b"a.py"]
    lock.write_text('[[package]]\nname = "jwt"\nversion = "1"\n')
    assert check(place).violations == ()


def test_every_error_means_exit_code_2(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "govrun.toml").write_text("version = 7\n")
    with pytest.raises(GovrunError) as caught:
        check(place)
    assert caught.value.exit_code == 2
    monkeypatch.chdir("/")
    with pytest.raises(UsageError) as usage:
        check(place)
    assert usage.value.exit_code == 2


def test_a_missing_feature_of_the_host_stops_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = checking.probe.start_facts()
    bare = facts._replace(landlock_abi=0, notify=False, wait_killable=False, machine_known=False, yama=3)
    monkeypatch.setattr(checking.probe, "start_facts", lambda: bare)
    (place / "govrun.toml").write_text('require = "supervised"\n' + PROFILE)
    assert check(place).violations == ()


# ---- a view of a repository -------------------------------------------------------------------------------------


@pytest.fixture
def view(place: Path) -> View:
    git(place, "init", "-q", "-b", "main")
    for name in ("tracked.py", "deep/er.py"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "one")
    git(place, "tag", "-am", "t", "v1")
    (place / "new.py").write_text("")
    (place / "gone.pyc").write_text("")
    (place / ".gitignore").write_text("*.pyc\n")
    return _view(place)


def _view(place: Path) -> View:
    repository = discover(place)
    assert repository is not None
    return View(place.parent / "view", repository)


def test_files(place: Path, view: View) -> None:
    assert view.files() == [b".gitignore", b"deep/er.py", b"govrun.toml", b"new.py", b"tracked.py"]
    more = place.parent / "more"
    more.write_text("new.*\n")
    assert b"new.py" not in view.files([more])
    assert not (place / ".git" / "index.lock").exists()


def test_a_split_index_and_a_linked_worktree(place: Path, view: View) -> None:
    git(place, "update-index", "--split-index")
    git(place, "worktree", "add", "-q", str(place.parent / "second"))
    for number, tree in enumerate((place, place.parent / "second")):
        repository = discover(tree)
        assert repository is not None
        assert b"tracked.py" in View(place.parent / f"view{number}", repository).files()


def test_revisions(place: Path, view: View) -> None:
    head = git(place, "rev-parse", "HEAD")
    for word in ("HEAD", "main", "v1", "refs/tags/v1", head, head[:12], "v1^{}", "main^0"):
        assert view.commit(word) == head, word
    for word in ("", "-h", "--all", "main~1", "v2", "main:deep", "HEAD^{tree}", "a..b", "main\nmain", ":/x"):
        with pytest.raises(UsageError) as caught:
            view.commit(word)
        assert caught.value.exit_code == 2


def test_a_branch_by_the_name_that_ours_has(place: Path, view: View) -> None:
    first = git(place, "rev-parse", "HEAD")
    git(place, "branch", "none")
    git(place, "commit", "-q", "--allow-empty", "-m", "two")
    git(place, "checkout", "-q", "--detach")
    again = _view(place)
    assert again.commit("none") == first
    assert again.commit("HEAD") == git(place, "rev-parse", "HEAD") != first


# ---- locks of the base ------------------------------------------------------------------------------------------

LOCK = '[[package]]\nname = "{}"\nversion = "1"\n'


def test_which_locks_count(place: Path) -> None:
    (place / ".gitignore").write_text("/build/\n")
    for folder, name in (
        (".", "top"), ("a/b/c", "third"), ("a/b/c/d", "fourth"), ("build", "ignored"), ("node_modules/x", "module"),
        (".venv/x", "environment"),
    ):  # fmt: skip
        (place / folder).mkdir(parents=True, exist_ok=True)
        (place / folder / "uv.lock").write_text(LOCK.format(name))
    (place / "yarn.lock").write_text("")
    outside = place.parent / "outside.lock"
    outside.write_text(LOCK.format("linked"))
    (place / "poetry.lock").symlink_to(outside)
    os.mkfifo(place / "pdm.lock")
    found = read_locks(os.fsencode(place))
    assert found.named == {("pypi", "top"), ("pypi", "third")}
    assert found.ecosystems == {"pypi", "npm"}
    assert found.warnings == ()


def test_no_lock_starts_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselocks, "Inspector", None)
    assert read_locks(os.fsencode(place)) == baselocks.Locks()
    assert read_locks(b"/nonexistent") == baselocks.Locks()


def test_too_many_and_unreadable_ones(place: Path) -> None:
    for number in range(70):
        (place / f"d{number:02}").mkdir()
        (place / f"d{number:02}" / "uv.lock").write_text(LOCK.format(f"p{number:02}"))
    (place / "package-lock.json").write_text("{")
    found = read_locks(os.fsencode(place))
    assert len(found.named) == 63
    assert ("pypi", "p00") in found.named
    assert len(found.warnings) == 2
    assert "more than 64 lock files" in found.warnings[0]
    assert found.warnings[1].startswith("package-lock.json: not JSON")
