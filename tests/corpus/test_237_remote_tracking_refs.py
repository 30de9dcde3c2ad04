"""Escape 237: a commit of the run that is first named by a remote-tracking ref, as if somebody else had made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_moved_by_hand(cage: Cage) -> None:
    script = (
        "echo 1 > n; git add -A; c=$(git commit-tree -p HEAD -m evading $(git write-tree)); "
        "git update-ref refs/remotes/o/x $c; git update-ref refs/heads/main $c; git update-ref -d refs/remotes/o/x"
    )
    cage.run(script).ok()
    assert "govrun/1" in cage.govrun.bare("git", "notes", "--ref=govrun", "show", "HEAD").stdout.decode()


def test_what_git_fetches_is_not_the_runs(cage: Cage) -> None:
    others = "git -C ../other commit -q --allow-empty -m "
    cage.both("git clone -q . ../other; git remote add o ../other; git -C ../other commit -q --allow-empty -m theirs")
    script = (
        "git config alias.f 'fetch -q'; git f o; git merge -q --ff-only o/main; git commit -q --allow-empty -m ours"
    )
    cage.run(script).ok()
    shown = cage.govrun.bare("git", "log", "--format=%s %N", "--notes=govrun").stdout.decode()
    assert "theirs \n" in shown, others
    assert "ours 0" in shown
