"""Escapes of hidden folders: by name, link, rename, descriptor and program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_hidden_folder(cage: Cage) -> None:
    for home in (cage.home, cage.twin_home):
        (home / ".ssh").mkdir(mode=0o700)
        (home / ".ssh/id").write_text("not-a-real-key\n")
    script = (
        "cat $HOME/.ssh/id; ln -s $HOME/.ssh s; cat s/id; cp -r $HOME/.ssh copy; cat copy/id; mv "
        "$HOME/.ssh moved; cat moved/id;"
        "ln $HOME/.ssh/id linked; cat linked; cat /proc/self/root$HOME/.ssh/id; cat < "
        "$HOME/.ssh/id; tar c $HOME/.ssh; ls $HOME/.ssh"
    )
    assert b"not-a-real-key" in cage.bare(script).stdout
    before = (cage.home / ".ssh/id").stat()
    outcome = cage.run(script)
    assert b"not-a-real-key" not in outcome.stdout and b"id\n" not in outcome.stdout
    after = (cage.home / ".ssh/id").stat()
    assert (before.st_ino, before.st_nlink, before.st_mode) == (after.st_ino, after.st_nlink, after.st_mode)
    cage.refused(outcome, cage.HIDE)


def test_reason_for_a_hidden_read(cage: Cage) -> None:
    """The kernel refuses the read without a word; the tool's own message is what the agent sees, and `explain` why."""
    (cage.home / ".ssh").mkdir()
    (cage.home / ".ssh/id").write_text("not-a-real-key\n")
    outcome = cage.run("cat $HOME/.ssh/id")
    assert outcome.code != 0
    assert "ermission denied" in outcome.stderr
    told = cage.govrun.cli("explain")
    assert ".ssh" in told.stdout.decode()


def test_reason_through_a_root_link(cage: Cage) -> None:
    (cage.home / ".ssh").mkdir()
    (cage.home / ".ssh/id").write_text("not-a-real-key\n")
    outcome = cage.run("cat /proc/self/root$HOME/.ssh/id")
    assert b"not-a-real-key" not in outcome.stdout
    assert "scope.hide" in outcome.stderr


def test_folder_of_the_profile(cage: Cage) -> None:
    cage.profile('[scope]\nhide = ["~/outside/**"]\n')
    outcome = cage.run('cat "$OUT/victim"; ls "$OUT/sub"; cat ../home/outside/sub/deep')
    assert outcome.stdout == b""
    assert outcome.code != 0
