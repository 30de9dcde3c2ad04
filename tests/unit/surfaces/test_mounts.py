"""Where else a tree is mounted, from the table of mounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.surfaces.mounts import Alias, aliases
from tests.conftest import ROOT

HOST = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:5 / /proc rw - proc proc rw\n"


def mount(device: bytes, root: bytes, point: bytes) -> bytes:
    return b"30 21 %s %s %s rw,relatime shared:1 - ext4 /dev/x rw\n" % (device, root, point)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (b"", []),
        (mount(b"8:1", b"/", b"/mnt"), [(b"/mnt/w/tree", b"/w/tree")]),
        (mount(b"8:1", b"/w", b"/other"), [(b"/other/tree", b"/w/tree")]),
        (mount(b"8:1", b"/w/tree", b"/site"), [(b"/site", b"/w/tree")]),
        (mount(b"8:1", b"/w/tree/public", b"/var/www"), [(b"/var/www", b"/w/tree/public")]),
        (mount(b"8:1", b"/w/trees", b"/site"), []),
        (mount(b"8:2", b"/", b"/mnt"), []),
        (mount(b"8:2", b"/home", b"/w"), []),
        (mount(b"8:2", b"/v", b"/w") + mount(b"8:2", b"/", b"/disk"), [(b"/disk/v/tree", b"/w/tree")]),
        (mount(b"8:1", b"/", b"/my\\040disk"), [(b"/my disk/w/tree", b"/w/tree")]),
    ],
)
def test_aliases(table: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert list(aliases(b"/w/tree", HOST + table)) == [Alias(*each) for each in found]


def test_the_longest_path_counts() -> None:
    table = HOST + mount(b"8:1", b"/w/tree", b"/a") + mount(b"8:1", b"/w/tree/sub", b"/a/deep")
    assert [alias.path for alias in aliases(b"/w/tree", table)] == [b"/a/deep", b"/a"]


OVER = b"40 %s 8:2 %s %s rw - ext4 /dev/x rw\n"
UNDER = b"41 %s 8:2 %s %s rw - ext4 /dev/x rw\n"
DISK = mount(b"8:2", b"/", b"/disk")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (UNDER % (b"21", b"/a", b"/w") + OVER % (b"41", b"/b", b"/w"), b"/disk/b/tree"),
        (OVER % (b"41", b"/b", b"/w") + UNDER % (b"21", b"/a", b"/w"), b"/disk/b/tree"),  # moved there
        (UNDER % (b"21", b"/a", b"/w/tree") + OVER % (b"9", b"/b", b"/w/tree"), b"/disk/b"),
    ],
)
def test_of_mounts_at_one_point_that_on_top_is_seen(table: bytes, found: bytes) -> None:
    assert aliases(b"/w/tree", HOST + DISK + table) == (Alias(found, b"/w/tree"),)


@pytest.mark.needs("root")
def test_a_folder_that_was_mounted_over(tmp_path: Path) -> None:
    shell = """
        mkdir tree first second; mount --bind first tree; mount --bind second tree; echo x > tree/f
        for each in first second; do test -e $each/f && echo $PWD/$each; done; exec cat /proc/self/mountinfo
    """
    words = ["unshare", "-m", "bash", "-c", shell]
    table = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout
    real, _, table = table.partition(b"\n")
    assert real == os.fsencode(tmp_path / "second")
    tree = os.fsencode(tmp_path / "tree")
    assert aliases(tree, table) == (Alias(real, tree),)


@pytest.mark.needs("userns")
def test_the_table_of_this_process(tmp_path: Path) -> None:
    """A folder that is mounted twice, as the kernel tells it to whoever is there."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "other").mkdir()
    code = "import os, sys; from supervisor.surfaces.mounts import aliases; print(*aliases(os.fsencode(sys.argv[1])))"
    shell = f"mount --bind tree other && exec {sys.executable} -c '{code}' $PWD/tree"
    words = ["unshare", "-rm", "bash", "-c", shell]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    expected = Alias(os.fsencode(tmp_path / "other"), os.fsencode(tmp_path / "tree"))
    assert str(expected) in done.stdout, (done.stdout, done.stderr)


def test_no_table() -> None:
    assert aliases(b"/w/tree", b"") == ()
