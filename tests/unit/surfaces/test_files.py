"""Registers and memory of a call -> one event and one act on pinned handles."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.kernel.libc import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_NO_SYMLINKS,
)
from supervisor.surfaces.files import dirfd
from supervisor.surfaces.paths import Refused
from supervisor.vocabulary.acts import OpenAct, PathAct
from supervisor.vocabulary.events import FsEvent, FsOp, Kind
from tests.unit.surfaces.kit import Caught, working_in

CREATE = os.O_CREAT | os.O_WRONLY


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tree"
    (root / "dir/full").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "file").write_text("x")
    (root / "link").symlink_to("file")
    (root / "dangling").symlink_to("dir/new")
    os.mkfifo(root / "fifo")
    with working_in(root):
        yield root


@pytest.fixture
def caught(tree: Path) -> Caught:
    return Caught(tree)


def told(caught: Caught, name: str, *args: Any) -> tuple[FsEvent, OpenAct | PathAct]:
    attempt = caught(name, *args)
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    return attempt.event, attempt.act


def error(caught: Caught, name: str, *args: Any) -> str:
    try:
        caught(name, *args).close()
    except Refused:
        return "refused"
    except OSError as caught_error:
        return errno.errorcode[caught_error.errno or 0]
    return ""


def where(event: FsEvent, tree: Path) -> str:
    return os.path.relpath(os.fsdecode(event.target.path), tree)


# -------------------------------------------------------------------------------------------------------- open

OPENS: list[tuple[bytes, int, FsOp, str, Kind]] = [
    (b"file", os.O_WRONLY, FsOp.WRITE, "file", Kind.FILE),
    (b"file", os.O_RDWR, FsOp.WRITE, "file", Kind.FILE),
    (b"file", os.O_RDONLY | os.O_TRUNC, FsOp.WRITE, "file", Kind.FILE),
    (b"file", CREATE, FsOp.WRITE, "file", Kind.FILE),
    (b"link", CREATE, FsOp.WRITE, "file", Kind.FILE),
    (b"new", CREATE, FsOp.CREATE, "new", Kind.ABSENT),
    (b"new", os.O_RDONLY | os.O_CREAT, FsOp.CREATE, "new", Kind.ABSENT),
    (b"dangling", CREATE, FsOp.CREATE, "dir/new", Kind.ABSENT),
    (b"new", CREATE | os.O_EXCL, FsOp.CREATE, "new", Kind.ABSENT),
    (b"fifo", os.O_WRONLY, FsOp.WRITE, "fifo", Kind.FIFO),
    (b"file", os.O_RDONLY, FsOp.READ, "file", Kind.FILE),
    (b"dir", os.O_RDONLY | os.O_DIRECTORY, FsOp.READ, "dir", Kind.DIR),
    (b"file", os.O_PATH | os.O_CREAT, FsOp.READ, "file", Kind.FILE),
    (b"dir", os.O_TMPFILE | os.O_RDWR, FsOp.CREATE, "dir/#tmpfile", Kind.ABSENT),
]


@pytest.mark.parametrize(("path", "flags", "op", "name", "kind"), OPENS)
@pytest.mark.parametrize("call", ["open", "openat"])
def test_open(caught: Caught, tree: Path, call: str, path: bytes, flags: int, op: FsOp, name: str, kind: Kind) -> None:
    args = (path, flags, 0o666) if call == "open" else (AT_FDCWD, path, flags, 0o666)
    event, act = told(caught, call, *args)
    assert (event.op, where(event, tree), event.target.kind) == (op, name, kind)
    assert isinstance(act, OpenAct)


OPEN_ERRORS = [
    (b"absent", os.O_WRONLY, "ENOENT"), (b"dir", CREATE, "EISDIR"), (b"new/", CREATE, "EISDIR"),
    (b"file", CREATE | os.O_EXCL, "EEXIST"), (b"link", CREATE | os.O_EXCL, "EEXIST"),
    (b"dangling", CREATE | os.O_EXCL, "EEXIST"), (b"link", os.O_WRONLY | os.O_NOFOLLOW, "ELOOP"),
    (b"link", CREATE | os.O_NOFOLLOW, "ELOOP"), (b"file/x", CREATE, "ENOTDIR"), (b"absent/x", CREATE, "ENOENT"),
    (b"", CREATE, "ENOENT"), (b"dir", os.O_TMPFILE | os.O_RDONLY, "EINVAL"),
    (b"new", CREATE | os.O_DIRECTORY, "EINVAL"), (b"/proc/self/status", os.O_WRONLY, "refused"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "flags", "expected"), OPEN_ERRORS)
def test_open_errors(caught: Caught, path: bytes, flags: int, expected: str) -> None:
    assert error(caught, "open", path, flags, 0o666) == expected


def test_modes_lose_the_umask_and_keep_the_special_bits(caught: Caught) -> None:
    before = os.umask(0o027)
    try:
        assert told(caught, "open", b"new", CREATE, 0o777)[0].mode == 0o750
        assert told(caught, "open", b"new", CREATE, 0o4755)[0].mode == 0o4750
        assert told(caught, "open", b"dir", os.O_TMPFILE | os.O_RDWR, 0o4755)[0].mode == 0o4750
        assert told(caught, "mkdir", b"new", 0o777)[0].mode == 0o750
        assert told(caught, "mknod", b"new", stat.S_IFREG | 0o4777, 0)[0].mode == 0o4750
        assert told(caught, "creat", b"new", 0o666)[1].mode == 0o640
        assert told(caught, "open", b"file", CREATE, 0o777)[0].mode == 0  # it exists: the mode plays no part
    finally:
        os.umask(before)


def test_descriptor_arguments_are_32_bits(caught: Caught, tree: Path) -> None:
    assert dirfd(0xDEADBEEF_FFFFFF9C) == AT_FDCWD
    assert dirfd(0xFFFFFFFF_00000003) == 3
    event, _ = told(caught, "openat", 0xDEADBEEF_FFFFFF9C, b"file", os.O_WRONLY, 0)
    assert where(event, tree) == "file"
    assert error(caught, "openat", 0x1_0000_03E7, b"file", os.O_WRONLY, 0) == "EBADF"


def test_an_address_that_is_not_mapped(caught: Caught) -> None:
    assert error(caught, "open", 1, os.O_WRONLY, 0) == "EFAULT"
    assert error(caught, "open", 0, os.O_WRONLY, 0) == "EFAULT"
    assert error(caught, "open", b"x" * 5000, os.O_WRONLY, 0) == "ENAMETOOLONG"


def how(flags: int = 0, mode: int = 0, resolve: int = 0, rest: bytes = b"") -> Any:
    """struct open_how (openat2(2)) with whatever a later kernel may add."""
    return ctypes.create_string_buffer(struct.pack("QQQ", flags, mode, resolve) + rest, 24 + len(rest))


OPENAT2: list[tuple[Any, int, str]] = [
    (how(os.O_WRONLY), 24, ""),
    (how(os.O_WRONLY, rest=bytes(8)), 32, ""),
    (how(os.O_WRONLY, rest=b"\1" + bytes(7)), 32, "E2BIG"),
    (how(os.O_WRONLY), 23, "EINVAL"),
    (how(os.O_WRONLY), 0, "EINVAL"),
    (how(os.O_WRONLY), 1 << 20, "E2BIG"),
    (how(os.O_WRONLY, 0o644), 24, "EINVAL"),  # a mode without O_CREAT
    (how(CREATE, 0o10644), 24, "EINVAL"),
    (how(CREATE, 0o644), 24, ""),
    (how(os.O_WRONLY, 0, 1 << 40), 24, "EINVAL"),
    (how(os.O_WRONLY | 1 << 40), 24, "EINVAL"),
    (how(os.O_WRONLY | 0o10), 24, "EINVAL"),
    (how(os.O_WRONLY, 0, RESOLVE_CACHED), 24, "EAGAIN"),
    (how(os.O_WRONLY, 0, RESOLVE_BENEATH), 24, ""),
]


@pytest.mark.parametrize(("given", "size", "expected"), OPENAT2)
def test_openat2_arguments(caught: Caught, given: Any, size: int, expected: str) -> None:
    assert error(caught, "openat2", AT_FDCWD, b"file", given, size) == expected


def test_openat2_resolves_as_it_was_told(caught: Caught, tree: Path) -> None:
    def opened(path: bytes, flags: int, resolve: int) -> str:
        mode = 0o600 if flags & os.O_CREAT else 0
        return error(caught, "openat2", AT_FDCWD, path, how(flags, mode, resolve), 24)

    assert opened(b"link", os.O_WRONLY, RESOLVE_NO_SYMLINKS) == "ELOOP"
    assert opened(b"../tree/file", os.O_WRONLY, RESOLVE_BENEATH) == "EXDEV"
    assert opened(b"../new", CREATE, RESOLVE_BENEATH) == "EXDEV"
    assert opened(bytes(tree) + b"/new", CREATE, RESOLVE_BENEATH) == "EXDEV"
    assert opened(b"dangling", CREATE, RESOLVE_NO_SYMLINKS) == "ELOOP"
    assert opened(b"dir/new", CREATE, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH) == ""
    (tree / "out").symlink_to("../outside")
    assert opened(b"out", CREATE, RESOLVE_BENEATH) == "EXDEV"


# ------------------------------------------------------------------------------------------------------- names


def test_removing(caught: Caught, tree: Path) -> None:
    for call, args, name in (
        ("unlink", (b"file",), "file"),
        ("unlink", (b"link",), "link"),
        ("rmdir", (b"empty",), "empty"),
        ("unlinkat", (AT_FDCWD, b"file", 0), "file"),
        ("unlinkat", (AT_FDCWD, b"empty", AT_REMOVEDIR), "empty"),
    ):
        event, act = told(caught, call, *args)
        assert (event.op, where(event, tree)) == (FsOp.UNLINK, name)
        assert isinstance(act, PathAct)
        assert act.call == ("rmdir" if name == "empty" else "unlink")


REMOVE_ERRORS: list[tuple[str, tuple[Any, ...], str]] = [
    ("unlink", (b"absent",), "ENOENT"),
    ("unlink", (b"dir",), "EISDIR"),
    ("rmdir", (b"file",), "ENOTDIR"),
    ("rmdir", (b"link",), "ENOTDIR"),
    ("rmdir", (b"dir",), "ENOTEMPTY"),
    ("unlinkat", (AT_FDCWD, b"file", AT_REMOVEDIR), "ENOTDIR"),
    ("unlinkat", (AT_FDCWD, b"file", 1), "EINVAL"),
    ("unlinkat", (999, b"file", 0), "EBADF"),
    ("mkdir", (b"dir", 0o777), "EEXIST"),
    ("mkdir", (b"link", 0o777), "EEXIST"),
    ("mkdir", (b"dangling", 0o777), "EEXIST"),
    ("mkdir", (b".", 0o777), "EEXIST"),
    ("mkdir", (b"/", 0o777), "EEXIST"),
    ("symlink", (b"x", b"file"), "EEXIST"),
    ("symlink", (b"x", b"absent/y"), "ENOENT"),
    ("link", (b"absent", b"new"), "ENOENT"),
    ("link", (b"file", b"dir"), "EEXIST"),
    ("linkat", (AT_FDCWD, b"file", AT_FDCWD, b"new", 1), "EINVAL"),
    ("linkat", (999, b"", AT_FDCWD, b"new", AT_EMPTY_PATH), "EBADF"),
    ("truncate", (b"file", -1), "EINVAL"),
    ("truncate", (b"dir", 0), "EISDIR"),
    ("truncate", (b"fifo", 0), "EINVAL"),
    ("truncate", (b"absent", 0), "ENOENT"),
    ("chmod", (b"absent", 0o644), "ENOENT"),
    ("fchmod", (999, 0o644), "EBADF"),
    ("fchmodat2", (AT_FDCWD, b"file", 0o644, 0x4000), "EINVAL"),
    ("setxattr", (b"file", b"user." + b"n" * 300, b"v", 1, 0), "ERANGE"),
    ("setxattr", (b"file", b"", b"v", 1, 0), "ERANGE"),
    ("setxattr", (b"file", b"user.a", b"v", 1 << 20, 0), "E2BIG"),
    ("setxattr", (b"file", b"user.a", 1, 8, 0), "EFAULT"),
    ("utimensat", (AT_FDCWD, 0, 0, 0), "EFAULT"),
    ("utimes", (b"file", struct.pack("4q", 0, 1_000_000, 0, 0)), "EINVAL"),
]


@pytest.mark.parametrize(("call", "args", "expected"), REMOVE_ERRORS)
def test_errors_are_those_of_the_call(caught: Caught, call: str, args: tuple[Any, ...], expected: str) -> None:
    assert error(caught, call, *args) == expected


def test_making(caught: Caught, tree: Path) -> None:
    for call, args, makes in (
        ("mkdir", (b"new", 0o755), Kind.DIR),
        ("mkdir", (b"new/", 0o755), Kind.DIR),
        ("mkdirat", (AT_FDCWD, b"new", 0o755), Kind.DIR),
        ("mknod", (b"new", stat.S_IFIFO | 0o644, 0), Kind.FIFO),
        ("mknod", (b"new", stat.S_IFSOCK | 0o644, 0), Kind.SOCKET),
        ("mknod", (b"new", 0o644, 0), Kind.FILE),
        ("mknodat", (AT_FDCWD, b"new", stat.S_IFREG | 0o644, 0), Kind.FILE),
        ("symlink", (b"text", b"new"), Kind.LINK),
        ("symlinkat", (b"text", AT_FDCWD, b"new"), Kind.LINK),
    ):
        event, act = told(caught, call, *args)
        assert (event.op, event.makes, where(event, tree)) == (FsOp.CREATE, makes, "new"), call
        if makes is Kind.LINK:
            assert isinstance(act, PathAct)
            assert act.text == b"text"


def test_devices_are_never_made(caught: Caught) -> None:
    for kind in (stat.S_IFBLK, stat.S_IFCHR):
        assert error(caught, "mknod", b"new", kind | 0o644, os.makedev(1, 3)) in ("EPERM", "refused")


def test_linking(caught: Caught, tree: Path) -> None:
    event, _ = told(caught, "link", b"link", b"new")
    assert (event.target.kind, event.makes) == (Kind.LINK, Kind.LINK)  # the link itself, not what it leads to
    event, _ = told(caught, "linkat", AT_FDCWD, b"link", AT_FDCWD, b"new", AT_SYMLINK_FOLLOW)
    assert where(event, tree) == "file"
    assert event.other is not None
    assert event.other.path == os.fsencode(tree / "new")
    fd = os.open(tree / "file", os.O_RDONLY)
    event, _ = told(caught, "linkat", fd, b"", AT_FDCWD, b"new", AT_EMPTY_PATH)
    os.close(fd)
    assert where(event, tree) == "file"


def test_links_the_run_did_not_make_are_counted(caught: Caught, tree: Path) -> None:
    def links(call: str, *args: Any) -> int:
        return told(caught, call, *args)[1].links

    assert links("open", b"file", os.O_WRONLY, 0) == 0
    os.link(tree / "file", tree / "second")
    assert links("open", b"file", os.O_WRONLY, 0) == 1
    assert links("truncate", b"file", 3) == 1
    own = told(caught, "open", b"dir/new", CREATE, 0o600)[0].target
    (tree / "dir/new").write_text("x")
    os.link(tree / "dir/new", tree / "mine")
    found = os.stat(tree / "mine")
    caught.made.linked(own._replace(dev=found.st_dev, ino=found.st_ino, nlink=1), os.fsencode(tree / "mine"))
    assert links("open", b"mine", os.O_WRONLY, 0) == 0
    os.link(tree / "mine", tree / "theirs")
    assert links("open", b"mine", os.O_WRONLY, 0) == 1


def test_metadata(caught: Caught, tree: Path) -> None:
    fd = os.open(tree / "file", os.O_RDONLY)
    now = struct.pack("4q", 1, 2, 3, 4)
    calls: list[tuple[str, tuple[Any, ...], str, dict[str, Any]]] = [
        ("chmod", (b"link", 0o7777), "file", {"mode": 0o7777}),
        ("fchmod", (fd, 0o104755), "file", {"mode": 0o4755}),
        ("fchmodat", (AT_FDCWD, b"dir", 0o700), "dir", {"mode": 0o700}),
        ("fchmodat2", (AT_FDCWD, b"link", 0o600, AT_SYMLINK_NOFOLLOW), "link", {"mode": 0o600}),
        ("chown", (b"link", 5, 0xFFFFFFFF), "file", {"uid": 5, "gid": -1}),
        ("lchown", (b"link", 5, 6), "link", {"uid": 5, "gid": 6}),
        ("fchownat", (fd, b"", 1, 2, AT_EMPTY_PATH), "file", {"uid": 1, "gid": 2}),
        ("utime", (b"file", struct.pack("2q", 7, 8)), "file", {"times": (7, 0, 8, 0)}),
        ("utimes", (b"file", now), "file", {"times": (1, 2000, 3, 4000)}),
        ("utimensat", (AT_FDCWD, b"link", now, AT_SYMLINK_NOFOLLOW), "link", {"times": (1, 2, 3, 4)}),
        ("utimensat", (fd, 0, now, 0), "file", {"times": (1, 2, 3, 4)}),
        ("utimensat", (AT_FDCWD, b"file", 0, 0), "file", {"times": None}),
        ("futimesat", (AT_FDCWD, b"file", now), "file", {"times": (1, 2000, 3, 4000)}),
        ("setxattr", (b"link", b"user.a", b"value", 5, 1), "file", {"xattr": b"user.a", "value": b"value", "flags": 1}),
        ("lsetxattr", (b"link", b"user.a", b"v", 1, 0), "link", {"xattr": b"user.a"}),
        ("fsetxattr", (fd, b"user.a", b"v", 0, 0), "file", {"value": b""}),
        ("removexattr", (b"file", b"user.a"), "file", {"call": "removexattr"}),
        ("fremovexattr", (fd, b"user.a"), "file", {"call": "removexattr"}),
    ]
    try:
        for call, args, name, fields in calls:
            event, act = told(caught, call, *args)
            assert (event.op, where(event, tree)) == (FsOp.META, name), call
            assert {field: getattr(act, field) for field in fields} == fields, call
            assert event.mode == (fields["mode"] if "mode" in fields else 0), call
    finally:
        os.close(fd)


def test_what_is_judged_is_what_is_held(caught: Caught, tree: Path) -> None:
    """The name may lead elsewhere a moment later; the handle does not."""
    attempt = caught("open", b"file", os.O_WRONLY, 0)
    (tree / "file").rename(tree / "moved")
    (tree / "file").write_text("another")
    assert isinstance(attempt.act, OpenAct)
    held = os.fstat(attempt.act.handle)
    assert held.st_ino == os.stat(tree / "moved").st_ino == attempt.event.target.ino
    attempt.close()
