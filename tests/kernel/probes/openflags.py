"""Flags of open: each alone and together, on existing, missing and odd targets."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os

import kit
from kit import AT_FDCWD, case, fdlook, look, names, opened, put, raw, t, text

O = {n: getattr(os, n) for n in dir(os) if n.startswith("O_")}
_LARGEFILE = 0o100000
_NOTHING = 0o40000000000 >> 3


def _open(path: bytes, flags: int, mode: int = 0o644) -> object:
    return opened(raw("openat", AT_FDCWD, path, flags, mode))


@case
def access_modes() -> object:
    put("f", "data")
    seen: dict[str, object] = {}
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, 3):
        for extra in (0, os.O_CREAT, os.O_TRUNC, os.O_APPEND, os.O_CREAT | os.O_EXCL):
            seen[f"{mode} {extra:o}"] = [_open(b"f", mode | extra), text("f")]
            put("f", "data")
        for extra in (0, os.O_CREAT, os.O_TRUNC, os.O_CREAT | os.O_EXCL):
            seen[f"new {mode} {extra:o}"] = [_open(b"new", mode | extra), look("new")]
            t(os.unlink, "new")
    return seen


@case
def read_write_really_work() -> object:
    put("f", "0123456789")
    fd = os.open("f", os.O_RDWR)
    seen: list[object] = [os.read(fd, 3).decode(), os.write(fd, b"XY"), os.lseek(fd, 0, os.SEEK_CUR)]
    os.ftruncate(fd, 7)
    os.posix_fallocate(fd, 0, 9)
    os.fsync(fd)
    seen += [
        text("f"),
        look(fd),
        t(os.read, os.open("f", os.O_WRONLY), 1),
        t(os.write, os.open("f", os.O_RDONLY), b"x"),
    ]
    return seen


@case
def trunc() -> object:
    put("f", "data")
    return [_open(b"f", os.O_WRONLY | os.O_TRUNC), text("f"), _open(b"missing", os.O_WRONLY | os.O_TRUNC), names()]


@case
def trunc_keeps_the_inode_and_other_descriptors() -> object:
    put("f", "data")
    reader = os.open("f", os.O_RDONLY)
    before = os.stat("f").st_ino
    writer = os.open("f", os.O_WRONLY | os.O_TRUNC)
    os.write(writer, b"new")
    return [before == os.stat("f").st_ino, os.read(reader, 9).decode()]


@case
def append() -> object:
    put("f", "ab")
    fd = os.open("f", os.O_RDWR | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"cd")
    seen = [text("f"), os.lseek(fd, 0, os.SEEK_CUR), fdlook(fd)]
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"Z")
    return [seen, text("f"), fdlook(fd)]


@case
def excl() -> object:
    put("f", "data")
    os.symlink("nowhere", "dangling")
    os.symlink("f", "link")
    os.mkdir("d")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return [
        [_open(p, flags) for p in (b"f", b"dangling", b"link", b"d", b"new", b"new")],
        _open(b"f", os.O_WRONLY | os.O_EXCL),
        names(),
    ]


@case
def nofollow() -> object:
    put("f", "data")
    os.mkdir("d")
    for target in ("f", "d", "nowhere"):
        os.symlink(target, f"to-{target}")
    seen = {}
    for path in (b"f", b"d", b"to-f", b"to-d", b"to-nowhere", b"to-d/"):
        for flags in (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_PATH, os.O_RDONLY | os.O_DIRECTORY):
            seen[f"{path!r} {flags:o}"] = _open(path, flags | os.O_NOFOLLOW)
    return [seen, names(), text("f")]


@case
def directory() -> object:
    put("f", "data")
    os.mkdir("d")
    os.symlink("d", "to-d")
    seen = {}
    for path in (b"f", b"d", b"to-d", b"missing"):
        for flags in (
            os.O_RDONLY,
            os.O_WRONLY,
            os.O_RDWR,
            os.O_RDONLY | os.O_CREAT,
            os.O_WRONLY | os.O_CREAT,
            os.O_RDONLY | os.O_TRUNC,
        ):
            seen[f"{path!r} {flags:o}"] = _open(path, flags | os.O_DIRECTORY)
            seen[f"{path!r} {flags:o} without"] = _open(path, flags)
    return [seen, names()]


@case
def tmpfile() -> object:
    put("f")
    seen: list[object] = [
        _open(b".", os.O_TMPFILE | os.O_RDONLY),
        _open(b"f", os.O_TMPFILE | os.O_RDWR),
        _open(b"missing", os.O_TMPFILE | os.O_RDWR),
        _open(b".", os.O_TMPFILE | os.O_WRONLY, 0o2640),
        _open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CREAT),
        names(),
    ]
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"hello")
    seen.append(fdlook(fd))
    seen.append(raw("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"linked", kit.AT_SYMLINK_FOLLOW))
    seen += [
        look("linked"),
        text("linked"),
        raw("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"linked", 0x400),
    ]
    excl = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o640)
    seen.append(raw("linkat", AT_FDCWD, b"/proc/self/fd/%d" % excl, AT_FDCWD, b"never", kit.AT_SYMLINK_FOLLOW))
    return [seen, names()]


@case
def path_only() -> object:
    put("f", "data")
    os.mkdir("d")
    os.symlink("f", "link")
    seen = {}
    for path in (b"f", b"d", b"link", b"missing"):
        for flags in (0, os.O_CREAT, os.O_TRUNC | os.O_WRONLY, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_RDWR | os.O_CLOEXEC):
            seen[f"{path!r} {flags:o}"] = _open(path, flags | os.O_PATH)
    fd = os.open("f", os.O_PATH)
    seen["use"] = [t(os.read, fd, 1), t(os.write, fd, b"x"), t(os.fchmod, fd, 0o600), t(os.ftruncate, fd, 0)]
    seen["reopen"] = _open(b"/proc/self/fd/%d" % fd, os.O_WRONLY)
    return [seen, text("f"), names()]


@case
def sync_direct_noatime_nonblock() -> object:
    put("f", "data")
    seen: dict[str, object] = {}
    for flag in ("O_SYNC", "O_DSYNC", "O_DIRECT", "O_NOATIME", "O_NONBLOCK", "O_NOCTTY", "O_ASYNC", "O_CLOEXEC"):
        seen[flag] = [
            _open(b"f", os.O_RDWR | O.get(flag, 0o20000)),
            _open(b"n-" + flag.encode(), os.O_WRONLY | os.O_CREAT | O.get(flag, 0o20000)),
        ]
    seen["large"] = _open(b"f", os.O_RDWR | _LARGEFILE)
    return seen


@case
def direct_write_is_direct() -> object:
    fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
    page = mmap.mmap(-1, 8192)
    page.write(b"d" * 8192)
    aligned = t(os.writev, fd, [memoryview(page)[:4096]])
    unaligned = t(os.writev, fd, [memoryview(page)[1:514]])
    return [aligned, unaligned, look("f")]


@case
def unknown_bits() -> object:
    """open ignores bits it does not know."""
    put("f", "data")
    seen = {}
    for bit in (0o4, 0o10, 0o20, 0o40, 1 << 23, 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 30, 1 << 31, 1 << 33, 1 << 62):
        seen[hex(bit)] = [_open(b"f", os.O_WRONLY | bit), _open(b"n%x" % bit, os.O_WRONLY | os.O_CREAT | bit, 0o600)]
    return [seen, names()]


@case
def busy_text() -> object:
    """ETXTBSY both ways: a running image is not writable, a file with a writer does not run."""
    with open("/bin/sleep", "rb") as source:
        image = source.read()
    for path in ("running", "written"):
        with open(path, "wb") as copy:
            copy.write(image)
        os.chmod(path, 0o755)
    pid = os.posix_spawn("./running", ["running", "30"], {})
    while b"running" not in open(f"/proc/{pid}/comm", "rb").read():
        pass
    writer = os.open("written", os.O_WRONLY)
    seen = [
        t(os.open, "running", os.O_WRONLY),
        t(os.truncate, "running", 0),
        t(os.posix_spawn, "./written", ["w", "0"], {}),
    ]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(writer)
    done = os.posix_spawn("./written", ["w", "0"], {})
    return [seen, os.waitpid(done, 0)[1], look("running")["mode"]]


@case
def just_written_programs_run_at_once() -> object:
    """Nobody else may still hold the writer when close returns, or exec answers ETXTBSY."""
    with open("/bin/true", "rb") as source:
        image = source.read()
    seen: dict[object, int] = {}
    for number in range(60):
        fd = os.open(f"p{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
        os.write(fd, image)
        os.close(fd)
        try:
            status: object = os.waitpid(os.posix_spawn(f"./p{number}", ["p"], {}), 0)[1]
        except OSError as error:
            status = errno.errorcode[error.errno or 0]
        seen[status] = seen.get(status, 0) + 1
    return {str(k): v for k, v in seen.items()}


kit.main()
