"""Escape 206: a repository inside the tree whose configuration the user's own git runs later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

CONF = "conf() { printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = false\\n\\tfsmonitor = ./evil\\n'; }; "
INIT = "git init -q sub; git -C sub commit -q --allow-empty -m x; "
WAYS = {
    "created": INIT + "rm sub/.git/config; conf > sub/.git/config",
    "overwritten": INIT + "conf > sub/.git/config",
    "gitfile": INIT + "rm -rf g; cp -r sub/.git g; rm -rf sub/.git; conf > g/config; echo 'gitdir: ../g' > sub/.git",
    "gitfile moved": INIT
    + "cp -r sub/.git g; rm -rf sub/.git; conf > g/config; echo 'gitdir: ../g' > gf; mv gf sub/.git",
    "gitfile link": INIT + "cp -r sub/.git g; rm -rf sub/.git; conf > g/config; ln -s ../g sub/.git",
    "named logs": INIT + "mkdir -p .git/modules; cp -r sub/.git .git/modules/logs; rm -rf sub/.git;"
    " conf > .git/modules/logs/config; echo 'gitdir: ../.git/modules/logs' > sub/.git",
    "named refs": INIT + "mkdir -p .git/modules; cp -r sub/.git .git/modules/refs; rm -rf sub/.git;"
    " conf > .git/modules/refs/config; echo 'gitdir: ../.git/modules/refs' > sub/.git",
    "separate": "mkdir g; conf > g/config; git init -q --separate-git-dir=$PWD/g sub",
    "separate, head away": "git init -q --separate-git-dir=$PWD/g sub; mv g/HEAD g/H; conf > g/config; mv g/H g/HEAD",
    "separate, renamed": "mkdir c; conf > c/config; mkdir c/objects c/refs; echo 'ref: refs/heads/x' > c/HEAD;"
    " mkdir sub; mv c g; git init -q --separate-git-dir=$PWD/g sub",
    "bare": "mkdir sub; conf > sub/config; mkdir sub/objects sub/refs; echo 'ref: refs/heads/x' > sub/HEAD",
    "bare renamed": "mkdir c; conf > c/config; mkdir c/objects c/refs; echo 'ref: refs/heads/x' > c/H; mv c sub;"
    " mv sub/H sub/HEAD",
    "bare linked": "mkdir sub; conf > sub/config; mkdir sub/objects sub/refs; echo 'ref: refs/heads/x' > h;"
    " ln h sub/HEAD",
    "modules link": INIT + "mkdir mods; cp -r sub/.git mods/m; rm -rf sub/.git; conf > mods/m/config;"
    " ln -s ../mods .git/modules; echo 'gitdir: ../.git/modules/m' > sub/.git",
}


@pytest.mark.parametrize("name", WAYS)
def test_configuration_of_a_repository_inside(cage: Cage, name: str) -> None:
    look = ("git", "-C", "sub", "config", "--local", "core.fsmonitor")
    cage.bare(CONF + WAYS[name])
    assert cage.govrun.bare("git", "-C", str(cage.twin_tree / "sub"), *look[3:]).stdout == b"./evil\n"
    outcome = cage.run(CONF + WAYS[name])
    assert cage.govrun.bare(*look).stdout == b""
    cage.refused(outcome, cage.GIT)


def test_hook_of_a_module_that_looks_like_a_sample(cage: Cage) -> None:
    name = ".git/modules/hooks/z.sample/hooks/pre-commit"
    cage.escape(f"mkdir -p {name.rpartition('/')[0]}; cp evil {name}", cage.GIT, guarded=[name])


def test_configuration_in_a_tree_beneath_logs(cage: Cage) -> None:
    """Where the tree lies says nothing about what is configuration in it."""
    place = cage.tree.parent / "logs"
    place.mkdir()
    moved = cage.tree.rename(place / "repo")
    cage.govrun("bash", "-c", "git config user.name Other", cwd=moved).ok()
