"""Acts on judged handles, performed as the process would have done them."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.enforce.files import open_for, perform
from supervisor.kernel.libc import RENAME_EXCHANGE, RENAME_NOREPLACE
from supervisor.vocabulary.acts import CONTINUE, DONE, Held, OpenAct, PathAct, Reply
from supervisor.vocabulary.events import Kind

ME = os.getpid()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    before = len(os.listdir("/proc/self/fd"))
    yield fd
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"
    os.close(fd)


def created(folder: int, flags: int, mode: int = 0o644, name: bytes = b"new") -> OpenAct:
    return OpenAct(folder, name, -1, flags, mode, ME, Kind.ABSENT, b"/" + name)


def reopened(path: Path, flags: int, kind: Kind = Kind.FILE, links: int = 0) -> OpenAct:
    handle = os.open(path, os.O_PATH)
    return OpenAct(-1, b"", handle, flags, 0, ME, kind, os.fsencode(path), links)


def opened(act: OpenAct) -> int:
    """The descriptor of a reply; closes the act's handle."""
    try:
        reply = open_for(act, print)
    finally:
        if act.handle >= 0:
            os.close(act.handle)
    assert isinstance(reply, Reply)
    assert reply.error == 0
    return reply.fd


def fails(act: OpenAct) -> str:
    with pytest.raises(OSError) as raised:
        opened(act)
    return errno.errorcode[raised.value.errno or 0]


def test_create(folder: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fd = opened(created(folder, os.O_CREAT | os.O_WRONLY, 0o646))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o646
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    os.write(fd, b"x")
    os.close(fd)
    assert (tmp_path / "new").read_bytes() == b"x"


def test_a_link_that_appeared_meanwhile_is_not_followed(folder: int, tmp_path: Path) -> None:
    (tmp_path / "new").symlink_to("elsewhere")
    assert fails(created(folder, os.O_CREAT | os.O_WRONLY)) == "ELOOP"
    assert fails(created(folder, os.O_CREAT | os.O_EXCL | os.O_WRONLY)) == "EEXIST"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_NONBLOCK]
)
def test_reopen(folder: int, tmp_path: Path, flags: int) -> None:
    (tmp_path / "f").write_text("old")
    fd = opened(reopened(tmp_path / "f", flags | os.O_CREAT))
    status = fcntl.fcntl(fd, fcntl.F_GETFL)
    assert status & os.O_ACCMODE == flags & os.O_ACCMODE
    for bit in (os.O_APPEND, os.O_NONBLOCK):
        assert bool(status & bit) is bool(flags & bit)
    os.close(fd)
    assert (tmp_path / "f").read_text() == ("" if flags & os.O_TRUNC else "old")


def test_what_is_reopened_is_what_was_judged(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("judged")
    act = reopened(tmp_path / "f", os.O_WRONLY | os.O_TRUNC)
    (tmp_path / "f").rename(tmp_path / "g")
    (tmp_path / "f").write_text("another")
    os.close(opened(act))
    assert ((tmp_path / "f").read_text(), (tmp_path / "g").read_text()) == ("another", "")


def test_close_on_exec_is_as_asked(folder: int) -> None:
    for flags, expected in ((os.O_CLOEXEC, True), (0, False)):
        reply = open_for(created(folder, os.O_CREAT | os.O_WRONLY | flags), print)
        assert isinstance(reply, Reply)
        os.close(reply.fd)
        assert reply.cloexec is expected


def test_an_unnamed_file(folder: int, tmp_path: Path) -> None:
    act = reopened(tmp_path, os.O_TMPFILE | os.O_RDWR, Kind.DIR)._replace(mode=0o600)
    fd = opened(act)
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)
    assert os.listdir(tmp_path) == []


def test_character_devices_are_left_to_the_kernel(folder: int) -> None:
    act = reopened(Path("/dev/null"), os.O_WRONLY, Kind.CHAR)
    assert open_for(act, print) == CONTINUE
    os.close(act.handle)


def test_a_pseudo_terminal_is_opened_for_the_process_and_known_by_name(folder: int) -> None:
    named: list[bytes] = []
    act = reopened(Path("/dev/ptmx"), os.O_RDWR | os.O_NOCTTY, Kind.CHAR)
    reply = open_for(act, named.append)
    os.close(act.handle)
    assert isinstance(reply, Reply)
    number = int.from_bytes(fcntl.ioctl(reply.fd, 0x80045430, bytes(4)), "little")  # TIOCGPTN
    os.close(reply.fd)
    assert named == [b"/dev/pts/%d" % number]


def test_a_shared_file_is_written_apart(folder: int, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("shared")
    os.link(tmp_path / "store", tmp_path / "name")
    fd = opened(reopened(tmp_path / "name", os.O_WRONLY | os.O_APPEND, links=1))
    os.write(fd, b"+mine")
    os.close(fd)
    assert ((tmp_path / "store").read_text(), (tmp_path / "name").read_text()) == ("shared", "shared+mine")
    os.link(tmp_path / "store", tmp_path / "other")
    os.close(opened(reopened(tmp_path / "other", os.O_WRONLY | os.O_TRUNC, links=1)))
    assert ((tmp_path / "store").read_text(), (tmp_path / "other").read_text()) == ("shared", "")


def test_no_room_is_said_before_anything_happens(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("kept")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    act = reopened(tmp_path / "f", os.O_WRONLY | os.O_TRUNC)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert _errno(act) == errno.EMFILE
        assert _errno(created(folder, os.O_CREAT | os.O_WRONLY)) == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(act.handle)
    assert (tmp_path / "f").read_text() == "kept"
    assert not (tmp_path / "new").exists()


def _errno(act: OpenAct) -> int:
    try:
        open_for(act, print)
    except OSError as error:
        return error.errno or 0
    return 0


def test_a_fifo_waits_without_holding_anybody_up(folder: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    act = reopened(tmp_path / "p", os.O_WRONLY, Kind.FIFO)
    held = open_for(act, print)
    os.close(act.handle)
    assert isinstance(held, Held)
    assert held.retry() is None
    reader = os.open(tmp_path / "p", os.O_RDONLY | os.O_NONBLOCK)
    reply = held.retry()
    assert isinstance(reply, Reply)
    assert not fcntl.fcntl(reply.fd, fcntl.F_GETFL) & os.O_NONBLOCK
    os.write(reply.fd, b"through")
    os.close(reply.fd)
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_a_fifo_that_is_given_up(folder: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    act = reopened(tmp_path / "p", os.O_WRONLY, Kind.FIFO)
    held = open_for(act, print)
    os.close(act.handle)
    assert isinstance(held, Held)
    held.abandon()  # the fixture counts what stays open


def test_a_fifo_opened_without_waiting(folder: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    assert fails(reopened(tmp_path / "p", os.O_WRONLY | os.O_NONBLOCK, Kind.FIFO)) == "ENXIO"
    act = reopened(tmp_path / "p", os.O_RDONLY | os.O_CREAT, Kind.FIFO)
    assert open_for(act, print) == CONTINUE
    os.close(act.handle)


# -------------------------------------------------------------------------------------------------- path calls


def handle(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_NOFOLLOW)


def done(act: PathAct) -> None:
    try:
        assert perform(act) == DONE
    finally:
        if act.handle >= 0:
            os.close(act.handle)


def test_names(folder: int, tmp_path: Path) -> None:
    done(PathAct("mkdir", folder, b"d", mode=stat.S_IFDIR | 0o750))
    assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o750
    done(PathAct("symlink", folder, b"l", text=b"any\xff"))
    assert os.readlink(bytes(tmp_path) + b"/l") == b"any\xff"
    done(PathAct("mknod", folder, b"p", mode=stat.S_IFIFO | 0o600))
    assert stat.S_ISFIFO(os.stat(tmp_path / "p").st_mode)
    done(PathAct("link", -1, b"", handle(tmp_path / "l"), folder, b"l2"))
    assert (tmp_path / "l2").is_symlink()
    done(PathAct("rmdir", folder, b"d"))
    done(PathAct("unlink", folder, b"p"))
    done(PathAct("rename", folder, b"l", handle(tmp_path / "l"), folder, b"moved"))
    assert sorted(os.listdir(tmp_path)) == ["l2", "moved"]


def test_rename_flags_reach_the_kernel(folder: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    act = PathAct("rename", folder, b"a", other_parent=folder, other_name=b"b", flags=RENAME_NOREPLACE)
    with pytest.raises(FileExistsError):
        perform(act)
    done(act._replace(flags=RENAME_EXCHANGE))
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("b", "a")


def test_what_was_judged_lands_not_what_the_lock_holds_by_now(folder: int, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("old")
    (tmp_path / "config.lock").write_text("judged")
    os.chmod(tmp_path / "config.lock", 0o640)
    writer = os.open(tmp_path / "config.lock", os.O_WRONLY)
    act = PathAct(
        "rename", folder, b"config.lock", handle(tmp_path / "config.lock"), folder, b"config", replace=b"judged"
    )
    os.write(writer, b"EVIL later")
    done(act)
    os.write(writer, b"EVIL even later")
    os.close(writer)
    assert (tmp_path / "config").read_text() == "judged"
    assert stat.S_IMODE(os.stat(tmp_path / "config").st_mode) == 0o640
    assert os.listdir(tmp_path) == ["config"]


def test_a_replacement_that_fails_leaves_everything_as_it_was(folder: int, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config.lock").write_text("judged")
    held = handle(tmp_path / "config.lock")
    with pytest.raises(IsADirectoryError):
        perform(PathAct("rename", folder, b"config.lock", held, folder, b"config", replace=b"judged"))
    os.close(held)
    assert sorted(os.listdir(tmp_path)) == ["config", "config.lock"]


def test_attributes(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    done(PathAct("chmod", -1, b"", handle(tmp_path / "f"), mode=0o741))
    done(PathAct("utimens", -1, b"", handle(tmp_path / "f"), times=(1, 2, 3, 4)))
    found = os.stat(tmp_path / "f")
    assert (stat.S_IMODE(found.st_mode), found.st_atime_ns, found.st_mtime_ns) == (0o741, 1_000_000_002, 3_000_000_004)
    done(PathAct("chown", -1, b"", handle(tmp_path / "f"), uid=-1, gid=os.getgid()))


@pytest.mark.needs("xattr")
def test_extended_attributes(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    done(PathAct("setxattr", -1, b"", handle(tmp_path / "f"), xattr=b"user.a", value=b"1"))
    assert os.getxattr(tmp_path / "f", "user.a") == b"1"
    done(PathAct("removexattr", -1, b"", handle(tmp_path / "f"), xattr=b"user.a"))
    assert os.listxattr(tmp_path / "f") == []


def test_a_link_is_changed_itself(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    before = os.stat(tmp_path / "f").st_mtime_ns
    done(PathAct("utimens", -1, b"", handle(tmp_path / "l"), times=(1, 0, 2, 0)))
    assert os.stat(tmp_path / "f").st_mtime_ns == before
    assert os.lstat(tmp_path / "l").st_mtime_ns == 2_000_000_000


def truncated(path: Path, size: int, **fields: Any) -> None:
    done(PathAct("truncate", -1, b"", os.open(path, os.O_PATH), size=size, **_caller(), **fields))


def _caller() -> dict[str, int]:
    return {"tid": ME} if "tid" in PathAct._fields else {}


def test_truncate(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("0123456789")
    truncated(tmp_path / "f", 4)
    assert (tmp_path / "f").read_text() == "0123"
    truncated(tmp_path / "f", 6)
    assert (tmp_path / "f").read_bytes() == b"0123\0\0"
    os.link(tmp_path / "f", tmp_path / "store")
    truncated(tmp_path / "f", 1, links=1)
    assert ((tmp_path / "f").read_text(), len((tmp_path / "store").read_bytes())) == ("0", 6)


LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *a: None)
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("held", flush=True)
input()
"""


def test_a_lease_of_somebody_else_is_waited_for_not_slept_on(folder: int, tmp_path: Path) -> None:
    """open(2) would sleep until the holder gives way, for up to 45 s (fcntl(2))."""
    (tmp_path / "f").write_text("x")
    holder = subprocess.Popen(
        [sys.executable, "-c", LEASE, tmp_path / "f"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        act = reopened(tmp_path / "f", os.O_WRONLY)
        held = open_for(act, print)
        os.close(act.handle)
        assert isinstance(held, Held)
        assert held.retry() is None
    finally:
        holder.communicate("\n")
    reply = held.retry()
    assert isinstance(reply, Reply)
    os.close(reply.fd)


def test_an_unknown_call_is_refused(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    held = handle(tmp_path / "f")
    with pytest.raises(OSError) as raised:
        perform(PathAct("mystery", -1, b"", held))
    os.close(held)
    assert raised.value.errno == errno.ENOSYS
