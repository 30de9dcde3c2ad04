"""Escape 93: a push to a repository on the same disk, or through a remote helper that runs a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_push_to_a_path_outside(cage: Cage) -> None:
    cage.both('git init -q --bare "$OUT/remote.git"')
    cage.profile('[[command]]\nid = "push"\nwhy = "a mirror"\nallow = ["vcs-remote"]\n')
    cage.escape('git push -q "$OUT/remote.git" HEAD:refs/heads/main', cage.WRITE)


def test_command_helper(cage: Cage) -> None:
    cage.both("echo 'echo x >> \"$OUT/victim\"' > helper.sh")
    cage.escape("git -c protocol.ext.allow=always ls-remote 'ext::sh ./helper.sh'", cage.WRITE)


def test_alias_that_is_a_command(cage: Cage) -> None:
    cage.escape("""git -c alias.x='!echo x >> "$OUT/victim"' x""", cage.WRITE)
