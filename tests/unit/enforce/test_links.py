"""A name of a shared file gets an inode of its own; the other names keep theirs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.enforce import links
from supervisor.enforce.links import break_link


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    store = tmp_path / "store"
    store.write_bytes(b"content " * 10_000)
    os.chmod(store, 0o640)
    os.link(store, tmp_path / "name")
    os.utime(store, ns=(1_000_000_007, 2_000_000_009))
    before = len(os.listdir("/proc/self/fd"))
    yield tmp_path
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def broken(path: Path, keep: bool = True) -> int:
    handle = os.open(path, os.O_PATH)
    try:
        return break_link(handle, os.fsencode(path), keep)
    finally:
        os.close(handle)


def test_the_copy_is_faithful_and_alone(shared: Path) -> None:
    name, store = shared / "name", shared / "store"
    before = os.stat(name)
    fresh = broken(name)
    after = os.fstat(fresh)
    os.close(fresh)
    assert (after.st_ino, after.st_dev) == (os.stat(name).st_ino, os.stat(name).st_dev)
    assert after.st_ino != before.st_ino
    assert (after.st_nlink, os.stat(store).st_nlink) == (1, 1)
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns"):
        assert getattr(after, field) == getattr(before, field), field
    assert name.read_bytes() == store.read_bytes()
    name.write_bytes(b"changed")
    assert store.read_bytes().startswith(b"content")


@pytest.mark.needs("xattr")
def test_extended_attributes_come_along(shared: Path) -> None:
    os.setxattr(shared / "name", "user.one", b"\0\xff")
    os.close(broken(shared / "name"))
    assert os.getxattr(shared / "name", "user.one") == b"\0\xff"


def test_a_file_that_is_truncated_anyway_is_not_copied(shared: Path) -> None:
    os.close(broken(shared / "name", keep=False))
    assert os.stat(shared / "name").st_size == 0
    assert os.stat(shared / "name").st_mode & 0o7777 == 0o640
    assert os.stat(shared / "store").st_size == 80_000


def test_a_name_that_leads_elsewhere_by_now_is_left_alone(shared: Path) -> None:
    handle = os.open(shared / "name", os.O_PATH)
    (shared / "name").unlink()
    (shared / "name").write_text("theirs")
    with pytest.raises(OSError) as raised:
        break_link(handle, os.fsencode(shared / "name"), True)
    os.close(handle)
    assert raised.value.errno == errno.ESTALE
    assert (shared / "name").read_text() == "theirs"


def test_a_very_large_file_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_LARGEST", 100)
    with pytest.raises(OSError) as raised:
        broken(shared / "name")
    assert raised.value.errno == errno.EFBIG
    os.close(broken(shared / "name", keep=False))


@pytest.mark.parametrize("failing", ["copy_file_range", "fchmod", "utime"])
def test_a_failure_leaves_no_trace(shared: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(links.os, failing, fail)
        with pytest.raises(OSError, match="full"):
            broken(shared / "name")
    assert sorted(os.listdir(shared)) == ["name", "store"]
    assert os.stat(shared / "name").st_nlink == 2


def test_a_failed_swap_leaves_no_trace(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(links.libc, "renameat2", fail)
    with pytest.raises(OSError, match="read-only"):
        broken(shared / "name")
    assert sorted(os.listdir(shared)) == ["name", "store"]
