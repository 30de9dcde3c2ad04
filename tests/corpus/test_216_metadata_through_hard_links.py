"""Escape 216: a file of the tree that shares its inode with one outside (package stores) shares its metadata too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import facts

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

CALLS = {
    "mode": 'os.chmod("shared", 0o600)',
    "descriptor": 'os.fchmod(os.open("shared", os.O_RDONLY), 0o600)',
    "times": 'os.utime("shared", (1, 1))',
    "attribute": 'os.setxattr("shared", "user.x", b"y")',
}


def _metadata(home: Path) -> tuple[object, ...]:
    """Breaking the link is a right answer too, so the number of links does not count."""
    found = facts(home / "outside/victim")
    return found[:4] + found[5:]


@pytest.mark.parametrize("name", CALLS)
def test_metadata(cage: Cage, name: str) -> None:
    cage.both('ln "$OUT/victim" shared')
    script = cage.script(CALLS[name])
    before = _metadata(cage.twin_home)
    cage.bare(script)
    assert _metadata(cage.twin_home) != before
    before = _metadata(cage.home)
    cage.run(script)
    assert _metadata(cage.home) == before


def test_links_of_its_own_share(cage: Cage) -> None:
    cage.run("echo a > f; ln f g; chmod 600 g; test $(stat -c %a f) = 600").ok()
