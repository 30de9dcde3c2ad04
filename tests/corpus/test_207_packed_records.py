"""Escape 207: packed-refs written without the rename that git makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

LINE = 'echo "$(git rev-parse refs/notes/mine) refs/notes/govrun"'
EXCHANGE = 'import ctypes; ctypes.CDLL(None).renameat2(-100, b"p", -100, b".git/packed-refs", 2)'
FORGED = "git notes --ref mine add -m forged HEAD; "
FORGE = {
    "created": f"{LINE} > .git/packed-refs",
    "link": f"{LINE} > p; ln -s ../p .git/packed-refs",
    "hard link": f"{LINE} > p; ln p .git/packed-refs; {LINE} > p",
    "exchange": f"{LINE} > p; : > .git/packed-refs; /usr/bin/python3 -c '{EXCHANGE}'",
}
REMOVE = {
    "in place": "chmod u+w .git/packed-refs; grep -v govrun .git/packed-refs > p; cat p > .git/packed-refs",
    "truncate": "truncate -s 0 .git/packed-refs",
    "read and write": "dd if=/dev/zero of=.git/packed-refs conv=notrunc bs=1 count=300 status=none",
}


@pytest.mark.parametrize("name", FORGE)
def test_forged(cage: Cage, name: str) -> None:
    show = ("git", "notes", "--ref", "govrun", "show", "HEAD")
    cage.bare(FORGED + FORGE[name])
    assert b"forged" in cage.govrun.bare("git", "-C", str(cage.twin_tree), *show[1:]).stdout
    cage.run(FORGED + FORGE[name])
    shown = cage.govrun.bare(*show)
    assert b"forged" not in shown.stdout


@pytest.mark.parametrize("name", REMOVE)
def test_removed(cage: Cage, name: str) -> None:
    cage.both("git notes --ref govrun add -m real HEAD; git pack-refs --all --prune")
    cage.escape(REMOVE[name], cage.GIT, guarded=[".git/packed-refs"])


def test_folder_of_notes_as_a_link(cage: Cage) -> None:
    cage.both("git notes --ref govrun add -m real HEAD; git pack-refs --all --prune; rm -rf .git/refs/notes")
    cage.run("mkdir evilrefs; git rev-parse HEAD > evilrefs/govrun; ln -s ../../evilrefs .git/refs/notes; true")
    assert cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD").stdout.startswith(b"real\n")
