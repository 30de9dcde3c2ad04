"""Escape 231: a folder without a HEAD is a repository for git all the same, once a commondir or gitfile leads there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

CONF = "conf() { printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = false\\n\\tfsmonitor = ./evil\\n'; }; "
LEAD = "mkdir -p sub/.git; echo 'ref: refs/heads/x' > sub/.git/HEAD; echo ../../c > sub/.git/commondir; "
BARE = "echo 'ref: refs/heads/x' > c/HEAD; ln -s c sub; "
WAYS = {
    "config last": "mkdir -p c/objects c/refs; conf > c/config; " + LEAD,
    "config first": "mkdir c; conf > c/config; mkdir c/objects c/refs; " + LEAD,
    "refs renamed": "mkdir -p c/objects r; conf > c/config; mv r c/refs; " + LEAD,
    "objects linked": "mkdir -p c/refs o; conf > c/config; ln -s ../o c/objects; " + LEAD,
    "config held open": "mkdir c; exec 3> c/config; mkdir c/objects c/refs; conf >&3; " + LEAD,
    "config of two names": "mkdir c; : > two; ln two c/config; mkdir c/objects c/refs; conf > two; " + LEAD,
    "config linked": "mkdir c; conf > two; ln -s ../two c/config; mkdir c/objects c/refs; " + LEAD,
    "config exchanged": 'mkdir -p c/objects c/refs; : > c/config; conf > c/two; python3 -c "import ctypes; '
    "ctypes.CDLL(None).renameat2(-100, b'c/two', -100, b'c/config', 2)\"; " + LEAD,
    "bare, config held open": "mkdir c; exec 3> c/config; mkdir c/objects c/refs; conf >&3; " + BARE,
    "bare, config linked": "mkdir c; conf > two; ln -s ../two c/config; mkdir c/objects c/refs; " + BARE,
    "inside .git": "mkdir .git/c; conf > .git/c/config; mkdir .git/c/objects .git/c/refs; ln -s .git/c c; " + LEAD,
    "inside .git, by git": "mkdir .git/c; conf > .git/c/config; git init -q --separate-git-dir=.git/c sub",
    "made in temporary space": "t=$(mktemp -d); mkdir $t/c $t/c/objects $t/c/refs; conf > $t/c/config;"
    " echo 'ref: refs/heads/x' > $t/c/HEAD; mv $t/c sub",
}
LOOK = ("config", "core.fsmonitor")


@pytest.mark.parametrize("name", WAYS)
def test_configuration_of_a_folder_that_becomes_a_repository(cage: Cage, name: str) -> None:
    cage.bare(CONF + WAYS[name])
    assert cage.govrun.bare("git", "-C", str(cage.twin_tree / "sub"), *LOOK).stdout == b"./evil\n"
    cage.run(CONF + WAYS[name])
    assert cage.govrun.bare("git", "-C", "sub", *LOOK).stdout == b""


def test_status_outside_runs_nothing(cage: Cage) -> None:
    """The main repository's own `git status` looks into what was committed as a submodule."""
    monitor = "printf '#!/bin/sh\\necho x >> \"$OUT/victim\"\\n' > c/evil; chmod +x c/evil; "
    conf = "printf '[core]\\n\\trepositoryformatversion = 0\\n\\tfsmonitor = %s/c/evil\\n' \"$PWD\" > c/config; "
    script = (
        "git init -q -b x w; git -C w commit -q --allow-empty -m x; mkdir c; cp -r w/.git/objects w/.git/refs c/; rm "
        "-rf w; "
        + monitor + conf + LEAD + "git -c core.fsmonitor=false add sub; git commit -qm sub"
    )  # fmt: skip
    cage.bare(script)
    victim = cage.twin_home / "outside/victim"
    victim.write_text("")
    env = cage.govrun.env | {"OUT": str(victim.parent)}
    cage.govrun.bare("git", "-C", str(cage.twin_tree), "status", env=env)
    assert victim.read_text()
    outcome = cage.run(script)
    before = (cage.outside / "victim").read_text()
    cage.govrun.bare("git", "status", env=cage.govrun.env | {"OUT": str(cage.outside)})
    assert (cage.outside / "victim").read_text() == before
    cage.refused(outcome, cage.GIT)


@pytest.mark.parametrize(
    "script",
    [
        LEAD,
        "mkdir -p w; echo 'ref: refs/heads/x' > w/HEAD; echo ../c > w/commondir",
        "mkdir -p w; echo ../c > w/commondir; echo 'ref: refs/heads/x' > w/HEAD",
        "git worktree add -q wt; echo ../../../c > .git/worktrees/wt/commondir",
        "git worktree add -q wt; echo ../../../c > x; mv -f x .git/worktrees/wt/commondir",
    ],
)
def test_only_git_says_where_a_repository_lies(cage: Cage, script: str) -> None:
    cage.refused(cage.run(script), cage.GIT)


def test_a_gitfile_into_temporary_space_is_taken_away(cage: Cage) -> None:
    """There the run writes configuration as it likes, and it stays after the run."""
    place = Path("/var/tmp") / f"govrun-test-{cage.tree.parent.name}-{id(cage)}"
    try:
        script = f"git init -q --separate-git-dir={place} sub; " + CONF + f"conf > {place}/config; ls -a sub"
        outcome = cage.run(script)
        assert "was removed" in outcome.stderr
        assert cage.govrun.bare("git", "-C", "sub", *LOOK).stdout == b""
        cage.run(f"rm -rf sub; git init -q --separate-git-dir={place} sub")
        assert not (cage.tree / "sub/.git").exists()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_gitfile_that_moves_out_of_temporary_space(cage: Cage) -> None:
    script = "git init -q $TMPDIR/c; mkdir $TMPDIR/s; echo gitdir: $TMPDIR/c > $TMPDIR/s/.git; mv $TMPDIR/s sub"
    cage.refused(cage.run(script), cage.GIT)
    assert not (cage.tree / "sub/.git").exists()


def test_a_gitfile_that_moves_with_its_folder(cage: Cage) -> None:
    """No program is executed between."""
    place = Path("/var/tmp") / f"govrun-test-{cage.tree.parent.name}-{id(cage)}"
    code = f"subprocess.run(['git', 'init', '-q', '--separate-git-dir={place}', 'sub']); os.rename('sub', 'moved')"
    try:
        outcome = cage.run(cage.script("import subprocess; " + code))
        assert "was removed" in outcome.stderr
        assert not (cage.tree / "moved/.git").exists()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_what_git_makes_itself_stays(cage: Cage) -> None:
    script = (
        "set -e; git init -q sub; git -C sub commit -q --allow-empty -m x; git -C sub worktree add -q ../wt; git "
        "init -q "
        "--separate-git-dir=$PWD/g sep; git -C sep status; git clone -q --bare . b.git; git -C b.git worktree add -q "
        "../wb; git -C wb commit -q --allow-empty -m y; git worktree add -q own; git -C own status; git init -q "
        "--bare d.git; "
        "git -C wt commit -q --allow-empty -m z; git worktree remove own; git clone -q . $TMPDIR/x"
    )
    outcome = cage.run(script).ok()
    assert not outcome.denied()


@pytest.mark.parametrize(
    "script", ["mkdir -p sub/.GIT", "mkdir -p sub/x; mv sub/x sub/.Git", "mkdir sub; : > sub/.giT"]
)
def test_other_spellings(cage: Cage, script: str) -> None:
    cage.refused(cage.run(script), cage.GIT)
