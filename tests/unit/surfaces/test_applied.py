"""What lies at a name that a command would apply."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.run.readable import Readable
from supervisor.surfaces.applied import Limits, links, look
from tests.property.world import policy_of


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


BEGIN = """
import ctypes, mmap, os
from supervisor.surfaces.applied import Limits, look
def told(path):
    for writes in (True, False):
        seen = look(path, 9, Limits(lambda _path: False, lambda _path, _fd: False, lambda _path, _fd: writes))
        print(seen.content, seen.why)
"""
UNKNOWN = "None whether it is open for writing cannot be told"
TOLD = "b'x\\n' "


def mounted(shell: str, code: str) -> list[str]:
    """What the code says on another file system, in a mount namespace of its own."""
    words = ["unshare", "-m", "bash", "-c", f'set -e; cd /mnt; {shell}; exec "$@"', "-", sys.executable, "-c"]
    place = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([*words, BEGIN + code], env=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.needs("root")
@pytest.mark.parametrize(("mode", "told"), [(644, TOLD), (664, UNKNOWN), (646, UNKNOWN)])
def test_files_of_others_are_told_where_nobody_of_the_run_may_write(mode: int, told: str) -> None:
    """A lease is for the owner alone (fcntl(2))."""
    shell = f"mount -t tmpfs -o mode=755 t /mnt; echo x > /mnt/x; chmod {mode} /mnt/x"
    code = "os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234); told(b'/mnt/x')"
    assert mounted(shell, code) == [told, TOLD]


MAPPED = """
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
fd = os.open("/mnt/m/x", os.O_RDWR)
assert libc.mmap(None, 4096, mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0) not in (None, 2**64 - 1)
os.close(fd)
told(b"/mnt/m/x")
"""


@pytest.mark.needs("root")
def test_a_mapping_that_no_lease_tells_of() -> None:
    """On overlayfs it is one of the file below."""
    shell = """mount -t tmpfs t /mnt; cd /mnt; mkdir u w l m; echo x > l/x
        mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m"""
    assert mounted(shell, MAPPED) == [UNKNOWN, TOLD]


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("tree/k8s/a.yaml", True),
        ("tree/.git/config", False),
        ("tree/govrun.toml", False),
        ("out/a.yaml", False),
        ("tmp/a.yaml", True),
    ],
)
def test_what_the_rules_let_a_run_write(tmp_path: Path, name: str, may: bool) -> None:
    root = os.fsencode(tmp_path)
    policy = policy_of(temp=(root + b"/tmp",))._replace(tree=root + b"/tree", home=root)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("x")
    writes: Callable[[bytes, int], bool] = Readable(policy).writes
    with path.open() as file:
        assert writes(os.fsencode(path), file.fileno()) is may
        os.link(path, tmp_path / "other")  # which may lie where it may
        assert writes(os.fsencode(path), file.fileno())


def test_links_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "up").symlink_to("../e")
    (tmp_path / "e").symlink_to(tmp_path / "d")
    (tmp_path / "round").symlink_to("round")
    found = links(os.fsencode(tmp_path / "d" / "up" / ".." / "d" / "x"))
    assert found == (os.fsencode(tmp_path / "d" / "up"), os.fsencode(tmp_path / "e"))
    assert len(links(os.fsencode(tmp_path / "round"))) < 100
