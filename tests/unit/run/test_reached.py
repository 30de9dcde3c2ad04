"""Which commits the tips lead to: found by walking raw objects, no further than a question needs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.git.base import Objects
from supervisor.git.commits import header
from supervisor.git.neutral import Git
from supervisor.run import reached
from supervisor.run.reached import Reached
from supervisor.surfaces.paths import Refused


class History:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "--bare", ".")
        self.tree = self.git("mktree")
        self.objects = Objects(Git(folder))

    def git(self, *words: str, date: int = 0) -> str:
        env = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "x")
        env |= {"GIT_AUTHOR_DATE": f"@{date} +0000", "GIT_COMMITTER_DATE": f"@{date} +0000", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["git", *words], cwd=self.folder, env=env, input=b"", capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, *parents: str, date: int) -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", "-m", str(date), *words, self.tree, date=date)

    def date(self, commit: str) -> int:
        found = self.objects.get(commit)
        assert found is not None
        return header(found[2]).date


DAY = 86_400


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.objects.close()


def test_what_the_tips_lead_to(history: History) -> None:
    root = history.commit(date=10 * DAY)
    left, right = history.commit(root, date=20 * DAY), history.commit(root, date=30 * DAY)
    merge = history.commit(left, right, date=40 * DAY)
    ours = history.commit(left, date=50 * DAY)
    tips = {merge: None}
    found = Reached(history.objects, tips)
    for commit in (root, left, right, merge):
        assert found.has(commit, history.date(commit))
    assert not found.has(ours, history.date(ours))
    tips[ours] = None
    assert found.has(ours, history.date(ours))


def test_only_as_far_as_needed(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    line = [history.commit(date=100 * DAY)]
    for number in range(1, 10):
        line.append(history.commit(line[-1], date=(100 + number) * DAY))
    monkeypatch.setattr(reached, "_AT_ONCE", 4)
    found = Reached(history.objects, {line[-1]: None})
    assert found.has(line[-4], history.date(line[-4]))
    with pytest.raises(Refused, match="too long"):
        found.has("1" * 40, 0)
    assert not found.has("1" * 40, 200 * DAY)
    assert found.has(line[0], history.date(line[0]))  # what was walked is kept


def test_many_tips_are_read_piece_by_piece(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    root = history.commit(date=DAY)
    tips = {history.commit(root, date=number * DAY): None for number in range(2, 8)}
    monkeypatch.setattr(reached, "_TIPS_AT_ONCE", 2)
    monkeypatch.setattr(reached, "_FEW_TIPS", 3)
    found = Reached(history.objects, tips)
    assert not found.is_near and found.has(next(iter(tips)), 0)
    for _ in range(2):
        with pytest.raises(Refused, match="too long"):
            found.has(root, DAY)
    assert found.is_near and found.has(root, DAY)


def test_clocks_that_ran_back(history: History) -> None:
    """A commit that seems younger than the one built on it is found when it matters."""
    future = history.commit(date=900 * DAY)
    tip = history.commit(history.commit(future, date=10 * DAY), date=11 * DAY)
    found = Reached(history.objects, {tip: None})
    assert not found.has(future, history.date(future))
    assert found.has_after_all(future) and not found.has_after_all("1" * 40)


def test_tips_that_are_no_commits(history: History) -> None:
    commit = history.commit(date=DAY)
    history.git("tag", "-m", "t", "t", commit)
    found = Reached(history.objects, {history.tree: None, "1" * 40: None, history.git("rev-parse", "t"): None})
    assert found.has(commit, DAY)
