"""Where else a tree is mounted, from the table of mounts."""

from __future__ import annotations

import pytest

from supervisor.surfaces.mounts import Alias, aliases

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


def test_this_machine() -> None:
    assert all(alias.path != alias.real for alias in aliases(b"/usr/lib"))


def test_no_table() -> None:
    assert aliases(b"/w/tree", b"") == ()
