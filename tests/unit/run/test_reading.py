"""Opens for reading where files are hidden by name, from their registers to the descriptor that is handed in."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from supervisor.run import reading
from supervisor.run.parts import Waiting
from supervisor.surfaces.files import Args
from supervisor.vocabulary.acts import Reply
from tests.unit.run.test_judge import Court

PROFILE = 'version = 1\n[scope]\nwhy = "w"\nhide = [".env*"]\n'
AT = (1 << 64) - 100


@pytest.fixture
def court(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Court]:
    made = Court(tmp_path / "w", PROFILE)
    monkeypatch.chdir(made.tree)
    (made.tree / ".env").write_text("not-a-real-key")
    count = len(os.listdir("/proc/self/fd"))
    yield made
    made.judge._parts.processes.forget(os.getpid())
    assert len(os.listdir("/proc/self/fd")) <= count, "a descriptor was left open"
    made.journal.close()


def free(court: Court) -> set[bytes]:
    assert court.judge._reading is not None
    return court.judge._reading._free


def read(court: Court, path: bytes | Path, flags: int = os.O_RDONLY) -> str:
    """What is read, or the name of the error."""
    reply = court.call("openat", AT, os.fsencode(path), flags)
    if reply.fd < 0:
        return os.strerror(reply.error)
    try:
        return os.read(reply.fd, 99).decode("latin-1")
    finally:
        os.close(reply.fd)


def test_what_was_free_is_remembered_and_what_is_hidden_never(court: Court) -> None:
    for _ in range(3):
        assert read(court, b"file") == "old"
        assert read(court, b".env") == "Permission denied"
    assert free(court) == {os.fsencode(court.tree / "file")}
    assert court.counts["blocked"] == 3 and court.counts["attempted"] == 3
    assert [each["kind"] for each in court.records()] == ["fs.read"] * 3


def test_a_remembered_name_is_judged_by_where_it_leads(court: Court) -> None:
    """The name is remembered, not the file: whatever comes to lie there is read by that name."""
    (court.tree / "link").symlink_to("file")
    assert [read(court, b"link") for _ in range(2)] == ["old", "old"]
    (court.tree / "link").unlink()
    (court.tree / "link").symlink_to(".env")
    assert read(court, b"link") == "Permission denied"
    (court.tree / "file").unlink()
    (court.tree / "file").symlink_to(".env")
    assert read(court, b"file") == "Permission denied"


def test_the_memory_is_bounded(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST", 4)
    for number in range(20):
        (court.tree / str(number)).write_text("x")
        assert read(court, str(number).encode()) == "x"
        assert len(free(court)) <= 5


def test_another_policy_forgets(court: Court) -> None:
    read(court, b"file")
    court.judge.adopt(court.judge._policy)
    assert free(court) == set()


def test_errors_are_those_of_the_call(court: Court) -> None:
    (court.tree / "link").symlink_to("file")
    assert read(court, b"nothing") == "No such file or directory"
    assert read(court, b"file/x") == "Not a directory"
    assert read(court, b"") == "No such file or directory"
    assert read(court, b"link", os.O_NOFOLLOW) == "Too many levels of symbolic links"
    assert read(court, b"link", os.O_NOFOLLOW | os.O_DIRECTORY) == "Not a directory"
    assert read(court, b"file", os.O_DIRECTORY) == "Not a directory"
    (court.tree / "shut").write_text("x")
    (court.tree / "shut").chmod(0)
    assert read(court, b"shut") == ("x" if os.geteuid() == 0 else "Permission denied")


@pytest.mark.parametrize(
    ("flags", "resolve", "error"),
    [(0, 0, 0), (os.O_PATH, 0, 38), (os.O_PATH | os.O_WRONLY, 0, 22), (0, 8, 0), (0, 0x20, 11), (1 << 40, 0, 22)],
)
def test_openat2(court: Court, flags: int, resolve: int, error: int) -> None:
    how = (ctypes.c_uint64 * 3)(flags, 0, resolve)
    reply = court.call("openat2", AT, b"file", how, 24)
    if reply.fd >= 0:
        os.close(reply.fd)
    assert reply.error == error and not reply.cont


def test_no_open_is_let_go_on(court: Court) -> None:
    """Whatever it is that is opened: a path is never read twice."""
    os.mkfifo(court.tree / "pipe")
    paths = (
        *(b"file", b"pipe", b".env", b"/etc/passwd", b"/dev", b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty"),
        *(b"/proc", b"/proc/self/stat", b"/proc/meminfo", b"/proc/mounts", b"/proc/1/environ", b"/proc/self/fd"),
    )
    for path in paths:
        for flags in (os.O_RDONLY | os.O_NONBLOCK, os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK):
            reply = court.call("openat", AT, path, flags)
            assert not reply.cont, path
            if reply.fd >= 0:
                os.close(reply.fd)


def test_what_proc_says_of_others(court: Court) -> None:
    """Of a process outside the run (here the one above) only what asks for no access to it."""
    other, own = os.getppid(), os.getpid()
    for name in ("environ", "maps", "mem", "auxv", f"task/{other}/environ", "fd", "fdinfo"):
        assert read(court, f"/proc/{other}/{name}".encode()) == "Permission denied", name
    for name in ("stat", "cmdline", "status", f"task/{other}/comm"):
        assert read(court, f"/proc/{other}/{name}".encode()).strip("\0") not in ("", "Permission denied"), name
    for name in (f"/proc/{own}/environ", "/proc/self/environ", "/proc/thread-self/environ"):
        assert "Permission denied" not in read(court, name.encode())
    assert read(court, b"/proc/self/comm") == Path("/proc/self/comm").read_text()
    assert read(court, b"/proc/self/exe") != "Permission denied"
    assert read(court, f"/proc/{other}/cwd/file".encode()) == "Permission denied"
    for path in (b"/proc/self/cwd/.env", b"/proc/self/root" + os.fsencode(court.tree / ".env")):
        assert read(court, path) == "Permission denied"


def test_a_reader_waits_for_a_writer(court: Court) -> None:
    os.mkfifo(court.tree / "pipe")

    def waiting(path: bytes, flags: int) -> Reply | Waiting:
        name = ctypes.create_string_buffer(path)
        words = (AT, ctypes.addressof(name), flags, 0, 0, 0)
        return court.judge.answer("openat", os.getpid(), cast("Args", words))

    first, second = waiting(b"pipe", os.O_RDONLY), waiting(b"pipe", os.O_RDONLY)
    assert isinstance(first, Waiting) and isinstance(second, Waiting)
    assert first.held.retry() is None
    second.abandon()
    writer = court.call("openat", AT, b"pipe", os.O_WRONLY)
    assert writer.fd >= 0
    reader = first.held.retry()
    assert reader is not None and stat.S_ISFIFO(os.fstat(reader.fd).st_mode)
    os.write(writer.fd, b"through")
    assert os.read(reader.fd, 99) == b"through"
    os.close(writer.fd)
    os.close(reader.fd)
    third = waiting(b"pipe", os.O_RDONLY)
    assert isinstance(third, Waiting) and third.held.retry() is None
    outside = os.open(court.tree / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    assert third.held.retry() is None  # it is silent
    os.write(outside, b"x")
    noticed = third.held.retry()
    assert noticed is not None
    os.close(noticed.fd)
    os.close(outside)
    assert court.judge._reading is not None and not court.judge._reading._readers
