"""What lies at a name that a command would apply."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from supervisor.surfaces.applied import Limits, links, look


def seen(path: Path | str, hidden: tuple[bytes, ...] = ()):
    def is_hidden(name: bytes, _fd: int = -1) -> bool:
        return any(name == each or name.startswith(each + b"/") for each in hidden)

    return look(os.fsencode(path), 100, Limits(is_hidden, is_hidden))


def test_files_and_folders_by_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "d" / "in").mkdir(parents=True)
    (tmp_path / "d" / "b").write_text("x")
    (tmp_path / "d" / "away").symlink_to("in")
    (tmp_path / "l").symlink_to("d")
    real = os.fsencode(tmp_path / "d")
    assert seen(tmp_path / "l" / "b")[:2] == (real + b"/b", b"x")
    folder = seen(tmp_path / "l")
    assert (folder.path, folder.content, folder.names) == (real, None, (b"away", b"b", b"in/"))


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    assert seen(tmp_path / "nowhere").absent
    assert seen(tmp_path / "f" / "x").absent
    assert not seen(tmp_path / "f").absent


@pytest.mark.parametrize("name", ["/proc/self/status", "/dev/stdin", "/proc/self/fd/0", "/dev/null", "/sys/kernel/mm"])
def test_no_files(name: str) -> None:
    found = seen(name)
    assert found.why and found.content is None and not found.path


def test_no_link_through_a_process(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to(f"/proc/self/cwd/{os.path.relpath(tmp_path / 'f')}")
    (tmp_path / "m").symlink_to("/proc/self/root")
    assert seen(tmp_path / "l").why and seen(f"{tmp_path}/m{tmp_path}/f").why
    (tmp_path / "s").symlink_to("/proc/self/environ")
    assert not seen(tmp_path / "s").path


def test_what_would_block_or_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert seen(tmp_path / "fifo").why == "it is no plain file"
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "s"))
        assert seen(tmp_path / "s").why


def test_large_and_hidden_ones_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    found = seen(tmp_path / "large")
    assert found.content is None and found.why == "it has more than 100 bytes"
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "x").write_text("secret")
    (tmp_path / "l").symlink_to("h/x")
    hidden = (os.fsencode(tmp_path / "h"),)
    assert seen(tmp_path / "l", hidden) == seen(tmp_path / "h", hidden)
    assert seen(tmp_path / "l", hidden).why == "it is hidden from this run"


def test_what_is_open_for_writing(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        file.write("x")
        assert seen(tmp_path / "x").why == "it is open for writing"
    assert seen(tmp_path / "x").content == b"x"


def test_links_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "up").symlink_to("../e")
    (tmp_path / "e").symlink_to(tmp_path / "d")
    (tmp_path / "round").symlink_to("round")
    found = links(os.fsencode(tmp_path / "d" / "up" / ".." / "d" / "x"))
    assert found == (os.fsencode(tmp_path / "d" / "up"), os.fsencode(tmp_path / "e"))
    assert len(links(os.fsencode(tmp_path / "round"))) < 100
