"""Escape 214: git never writes to an object that exists; whoever does destroys history, and every record with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

EACH = "for f in $(find .git/objects -type f); do "
SCRIPTS = [
    EACH + "chmod u+w $f; : > $f; done",
    EACH + "chmod u+w $f; truncate -s 3 $f; done",
    EACH + "chmod u+w $f; dd if=/dev/zero of=$f conv=notrunc bs=9 count=1 status=none; done",
    EACH + "echo x > x; mv -f x $f; done",
    EACH + "mv -f $f x; done",
    EACH + "ln -sf /dev/null $f; done",
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("script", SCRIPTS)
def test_objects(cage: Cage, script: str, packed: bool) -> None:
    if packed:
        cage.both("git gc -q")
    cage.run(script)
    assert cage.govrun.bare("git", "fsck", "--full").returncode == 0
    assert cage.govrun.bare("git", "log", "--oneline").stdout.endswith(b" base\n")


def test_git_still_writes_objects(cage: Cage) -> None:
    # fsck afterwards: it lists objects before it reads refs, so it may miss those of a note that is written meanwhile.
    cage.run("git commit -q --allow-empty -m x && git gc -q && git commit -q --allow-empty -m y").ok()
    assert cage.govrun.bare("git", "fsck", "--full").returncode == 0
