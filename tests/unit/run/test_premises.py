"""What a machine lacks besides its kernel, told with the command that mends it; facts are values here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.run.premises import LITTLE_ROOM, Premises, gaps, mount_of, premises

GOOD = Premises(
    git="/usr/bin/git", git_version=(2, 39, 5), state="/s", filesystem="ext4", options=frozenset(["rw"]),
    cache_options=frozenset(["rw"]), free=10 << 30, temporary="/tmp", here="/tree",
)  # fmt: skip
HERE = ("the working tree is too large to govern", "it is /", "cd into a project")


def test_nothing_is_missing() -> None:
    assert gaps(GOOD) == ()


@pytest.mark.parametrize(
    ("change", "name", "blocks", "fix"),
    [
        ({"git": "", "git_version": ()}, "git", True, "apt install git"),
        ({"git_version": ()}, "git", True, "apt install git"),
        ({"git_version": (2, 26, 9)}, "git", True, "apt install git"),
        ({"state_problem": ("cannot use it", "it is a file", "move it")}, "state", True, "move it"),
        ({"options": frozenset(["ro", "noexec"])}, "state", True, "export XDG_STATE_HOME="),
        ({"free": 0}, "room", True, "export XDG_STATE_HOME="),
        ({"free": LITTLE_ROOM - 1}, "room", False, "free some space"),
        ({"filesystem": "nfs4"}, "network", False, "export XDG_STATE_HOME="),
        ({"filesystem": "fuse.sshfs"}, "network", False, "export XDG_STATE_HOME="),
        ({"temporary": ""}, "temporary", False, "chmod 1777 /tmp"),
        ({"cache_options": frozenset(["noexec"])}, "caches", False, "export XDG_CACHE_HOME="),
        ({"here": "", "here_problem": HERE}, "here", False, "cd into a project"),
    ],
)
def test_each_gap_has_why_and_fix(change: dict[str, object], name: str, blocks: bool, fix: str) -> None:
    (gap,) = gaps(GOOD._replace(**change))  # type: ignore[arg-type]
    assert (gap.name, gap.blocks) == (name, blocks)
    assert gap.what and gap.why and fix in gap.fix


def test_unknown_is_no_gap() -> None:
    assert gaps(GOOD._replace(free=None, filesystem="", options=frozenset())) == ()


def test_a_state_folder_without_programs_is_none() -> None:
    """Nothing is started from there."""
    assert gaps(GOOD._replace(options=frozenset(["noexec"]))) == ()


def test_blocking_gaps_come_first() -> None:
    found = gaps(GOOD._replace(git="", temporary="", free=0, here_problem=HERE, filesystem="nfs"))
    assert [gap.blocks for gap in found] == [True, True, False, False, False]


def test_mounts(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /home rw,nosuid - nfs4 server:/home rw,vers=4\n"
        "3 1 0:6 / /home\\040of/me rw,noexec shared:5 - tmpfs none ro\n"
        "4 1 0:7 / /mnt rw - ext4 one rw\n"
        "5 4 0:8 / /mnt rw - fuse.sshfs two rw\n"
    )
    assert mount_of("/etc", str(table)) == ("ext4", frozenset({"rw", "relatime"}))
    assert mount_of("/home/x", str(table))[0] == "nfs4"
    assert mount_of("/homes", str(table))[0] == "ext4"
    assert mount_of("/home of/me/x", str(table)) == ("tmpfs", frozenset({"rw", "noexec", "ro"}))
    assert mount_of("/mnt/x", str(table))[0] == "fuse.sshfs"
    assert mount_of("/x", str(tmp_path / "none")) == ("", frozenset())
    table.write_text("torn")
    assert mount_of("/x", str(table)) == ("", frozenset())


def test_here_it_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, tree = tmp_path / "home", tmp_path / "tree"
    home.mkdir()
    tree.mkdir()
    monkeypatch.chdir(tree)
    found = premises({"HOME": str(home)})
    assert found.state == str(home / ".local/state/govrun") and not (home / ".local").exists()
    assert found.here == str(tree) and found.git_version >= (2, 0)
    assert found.filesystem and "rw" in found.options
    room = os.statvfs(home)
    assert found.free is not None and abs(found.free - room.f_bavail * room.f_frsize) < 1 << 30
    assert gaps(found) == () or found.free < LITTLE_ROOM
    monkeypatch.chdir(home)
    assert [gap.name for gap in gaps(premises({"HOME": str(home)}))] == ["here"]
    (home / ".local").write_text("in the way")
    assert next(gap.name for gap in gaps(premises({"HOME": str(home)}))) == "state"
