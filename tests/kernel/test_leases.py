"""Whether somebody can still write to a file, and when a writer goes: what the ledger of written files rests on."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.kernel.inotify import Watches
from supervisor.kernel.leases import has_writer, sees_mappings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 16)
    return path


def reader(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def test_nobody(file: Path) -> None:
    fd = reader(file)
    other = reader(file)
    assert has_writer(fd) is False
    os.close(other)
    assert has_writer(fd) is False
    os.close(fd)


def by_descriptor(file: Path) -> Callable[[], None]:
    fd = os.open(file, os.O_WRONLY)
    return lambda: os.close(fd)


def by_duplicate(file: Path) -> Callable[[], None]:
    fd = os.open(file, os.O_WRONLY)
    copy = os.dup(fd)
    os.close(fd)
    return lambda: os.close(copy)


def by_mapping(file: Path) -> Callable[[], None]:
    fd = os.open(file, os.O_RDWR)
    mapped = mmap.mmap(fd, 16)
    os.close(fd)
    return mapped.close


def by_child(file: Path) -> Callable[[], None]:
    fd = os.open(file, os.O_WRONLY)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[fd])
    os.close(fd)

    def end() -> None:
        child.communicate(b"\n")

    return end


def by_message(file: Path) -> Callable[[], None]:
    one, other = socket.socketpair()
    fd = os.open(file, os.O_WRONLY)
    socket.send_fds(one, [b"x"], [fd])
    os.close(fd)

    def end() -> None:
        one.close()
        other.close()

    return end


@pytest.mark.parametrize("way", [by_descriptor, by_duplicate, by_mapping, by_child, by_message])
def test_every_writer_is_seen(file: Path, way: Callable[[Path], Callable[[], None]]) -> None:
    fd = reader(file)
    if way is by_mapping and not sees_mappings(fd):
        pytest.skip("mappings are not seen on this file system")
    end = way(file)
    assert has_writer(fd) is True
    end()
    assert has_writer(fd) is False
    os.close(fd)


def test_another_name_of_the_inode(file: Path) -> None:
    link = file.with_name("link")
    os.link(file, link)
    fd, writer = reader(file), os.open(link, os.O_WRONLY)
    assert has_writer(fd) is True
    os.close(writer)
    os.close(fd)


def test_a_file_without_a_name(tmp_path: Path) -> None:
    writer = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    fd = os.open(f"/proc/self/fd/{writer}", os.O_RDONLY)
    assert has_writer(fd) is True
    os.close(writer)
    assert has_writer(fd) is False
    os.close(fd)


@pytest.mark.needs("user")
def test_a_file_of_somebody_else_is_not_known() -> None:
    fd = os.open("/etc/passwd", os.O_RDONLY)
    assert has_writer(fd) is None
    os.close(fd)


def test_watches_tell_of_each_writer_that_goes(file: Path) -> None:
    watches = Watches()
    fd = reader(file)
    watch = watches.add(fd)
    assert watches.drain() == (set(), False)
    writer = os.open(file, os.O_WRONLY)
    os.write(writer, b"y")
    assert watches.drain() == (set(), False)
    os.close(writer)
    assert watches.drain() == ({watch}, False)
    os.rename(file, file.with_name("moved"))
    os.close(os.open(file.with_name("moved"), os.O_WRONLY))
    assert watches.drain() == ({watch}, False)
    watches.remove(watch)
    watches.remove(watch)
    os.close(os.open(file.with_name("moved"), os.O_WRONLY))
    assert watches.drain() == (set(), False)
    os.close(fd)
    watches.close()


def test_lost_events_are_told(file: Path, tmp_path: Path) -> None:
    watches = Watches()
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    other = tmp_path / "other"
    other.touch()
    fds = [reader(file), reader(other)]
    for fd in fds:
        watches.add(fd)
    for at in range(most + 10):  # alternating: equal events in a row are one
        os.close(os.open((file, other)[at % 2], os.O_WRONLY))
    found, lost = watches.drain()
    assert lost
    assert len(found) == 2
    for fd in fds:
        os.close(fd)
    watches.close()
