"""Escape 234: what keeps the publisher from writing the notes and the record of the run."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

COMMIT = "; echo 1 > n; git add -A; git commit -qm one"
PLUMBED = (
    "p=$(git rev-parse HEAD); echo 1 > n; git add -A; t=$(git write-tree); c=$(echo one | git commit-tree -p $p $t); "
    "{}; echo $c > .git/refs/heads/main.lock; mv .git/refs/heads/main.lock .git/refs/heads/main"
)
WAYS = {
    "ref above": "git update-ref refs/notes HEAD" + COMMIT,
    "ref above by hand": "rmdir .git/refs/notes; git rev-parse HEAD > .git/refs/notes" + COMMIT,
    "ref above, packed": "git update-ref refs/notes HEAD; git pack-refs --all" + COMMIT,
    "packed by hand": "{ echo $(git rev-parse HEAD) refs/notes; } > .git/packed-refs.lock; "
    "mv .git/packed-refs.lock .git/packed-refs" + COMMIT,
    "record above": "git update-ref refs/govrun HEAD" + COMMIT,
    "record above by hand": "git rev-parse HEAD > .git/refs/govrun" + COMMIT,
    "record above, renamed": "git rev-parse HEAD > .git/refs/x.lock; mv .git/refs/x.lock .git/refs/govrun" + COMMIT,
    "record above, packed": "git update-ref refs/govrun/runs HEAD; git pack-refs --all" + COMMIT,
    "record's folder closed": "mkdir -p .git/refs/govrun/runs; chmod 0 .git/refs/govrun" + COMMIT,
    "record's folder a link": "mkdir .git/refs/heads/y; ln -s heads/y .git/refs/govrun" + COMMIT,
    "packed and broken": PLUMBED.format("echo rubbish > .git/packed-refs.lock; mv .git/packed-refs.lock "
    ".git/packed-refs"),
    "folder of the log": "mkdir -p .git/logs/refs/notes/govrun/x" + COMMIT,
    "filled folder of the log": "mkdir -p .git/logs/refs/notes/govrun; : > .git/logs/refs/notes/govrun/f" + COMMIT,
    "log that cannot be written": "mkdir -p .git/logs/refs/notes; : > .git/logs/refs/notes/govrun; chmod 0 "
    ".git/logs/refs/notes/govrun" + COMMIT,
    "no log": "mkdir -p .git/logs/refs; : > .git/logs/refs/notes" + COMMIT,
    "unknown extension": PLUMBED.format(
        "git config --file .git/config core.repositoryformatversion 1; git config --file .git/config extensions.foo 1"
    ),
    "version": PLUMBED.format("git config --file .git/config core.repositoryformatversion 9"),
    "mode of files": PLUMBED.format("git config core.sharedRepository 0400"),
    "object format": PLUMBED.format(
        "git config --file .git/config core.repositoryformatversion 1; "
        "git config --file .git/config extensions.objectFormat sha256"
    ),
    "unreadable HEAD": PLUMBED.format("chmod 0 .git/HEAD .git/config"),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_the_note_is_written(cage: Cage, name: str) -> None:
    outcome = cage.run(WAYS[name])
    cage.refused(outcome, (cage.GIT, cage.PATH))
    assert "not all notes" not in outcome.stderr
    shown = cage.govrun.bare("git", "log", "-1", "--format=%s %N", "--notes=govrun").stdout.decode()
    assert shown.startswith("one ") and "govrun/1" in shown, outcome.stderr
    there = cage.govrun.bare("git", "for-each-ref", "--format=%(refname)", "refs/govrun/runs").stdout.decode()
    assert there.strip().endswith(outcome.run), there


def test_access_control_lists(cage: Cage) -> None:
    """An entry of the list takes the owner's right to write as a mode would."""
    entries = ((1, 5), (4, 5), (0x20, 5))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, mode, 0xFFFFFFFF) for tag, mode in entries)
    code = f"import os; os.setxattr('.git/refs', 'system.posix_acl_access', {acl!r})"
    (cage.tree / "acl.py").write_text(code)
    cage.refused(cage.run("python3 acl.py" + COMMIT), cage.GIT)
    assert "govrun/1" in cage.govrun.bare("git", "notes", "--ref=govrun", "show", "HEAD").stdout.decode()


def test_extensions_that_git_sets(cage: Cage) -> None:
    script = (
        "set -e; git sparse-checkout set src; git sparse-checkout disable; git config --worktree user.name x" + COMMIT
    )
    assert not cage.run(script).ok().denied()
    assert cage.govrun.bare("git", "config", "extensions.worktreeConfig").stdout == b"true\n"
    assert not cage.run("git init -q --object-format=sha256 s; git -C s commit -q --allow-empty -m x").ok().denied()


def test_a_reason_is_told(cage: Cage) -> None:
    """Nothing of the run: somebody else's file is in the way."""
    cage.both("mkdir -p .git/refs/notes; mkdir .git/refs/notes/govrun; git rev-parse HEAD > .git/refs/notes/govrun/x")
    outcome = cage.run("git commit -q --allow-empty -m one")
    assert "not all notes could be written" in outcome.stderr
    assert "why: " in outcome.stderr
