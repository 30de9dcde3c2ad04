"""Directory descriptors and working directories of every *at call, good and bad."""

from __future__ import annotations

import os

import kit
from kit import AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, case, look, names, opened, put, raw, t, text

_WRITE = os.O_WRONLY | os.O_CREAT


def _all_calls(fd: int, name: bytes) -> dict[str, object]:
    """One use of each call with a directory descriptor; ``name`` is free before each."""
    seen: dict[str, object] = {}
    seen["openat"] = opened(raw("openat", fd, name, _WRITE, 0o640))
    seen["openat2"] = opened(kit.openat2(name, os.O_WRONLY, 0, 0, fd))
    seen["fchmodat"] = raw("fchmodat", fd, name, 0o600)
    seen["fchmodat2"] = raw("fchmodat2", fd, name, 0o604, 0)
    seen["fchownat"] = raw("fchownat", fd, name, os.getuid(), os.getgid(), 0)
    seen["utimensat"] = raw("utimensat", fd, name, 0, 0)
    seen["linkat"] = raw("linkat", fd, name, fd, name + b".l", 0)
    seen["symlinkat"] = raw("symlinkat", b"target", fd, name + b".s")
    seen["mkdirat"] = raw("mkdirat", fd, name + b".d", 0o750)
    seen["mknodat"] = raw("mknodat", fd, name + b".p", 0o10600, 0)
    seen["renameat2"] = raw("renameat2", fd, name + b".l", fd, name + b".r", kit.RENAME_NOREPLACE)
    seen["renameat"] = raw("renameat", fd, name + b".r", fd, name + b".q")
    seen["unlinkat"] = raw("unlinkat", fd, name, 0)
    seen["rmdirat"] = raw("unlinkat", fd, name + b".d", AT_REMOVEDIR)
    seen["xattrat"] = raw("removexattrat", fd, name + b".q", 0, b"user.none")
    return seen


@case
def good() -> object:
    os.mkdir("d")
    seen = {}
    for label, flags in (("path", os.O_PATH), ("read", os.O_RDONLY), ("directory", os.O_RDONLY | os.O_DIRECTORY)):
        fd = os.open("d", flags)
        seen[label] = _all_calls(fd, label.encode())
    return [seen, names(), names("d"), {n: look(f"d/{n}", follow=False) for n in names("d")}]


@case
def absolute_path_ignores_the_descriptor() -> object:
    here = os.getcwdb()
    return [_all_calls(999, here + b"/x"), names()]


@case
def not_open() -> object:
    return [_all_calls(999, b"x"), _all_calls(-1, b"x"), _all_calls(-99, b"x"), names()]


@case
def not_a_directory() -> object:
    put("f")
    os.symlink("f", "l")
    seen = {}
    for label, fd in (
        ("file", os.open("f", os.O_RDONLY)),
        ("path", os.open("f", os.O_PATH)),
        ("link", os.open("l", os.O_PATH | os.O_NOFOLLOW)),
        ("pipe", os.pipe()[0]),
        ("device", os.open("/dev/null", os.O_RDONLY)),
    ):
        seen[label] = [
            _all_calls(fd, b"x"),
            opened(raw("openat", fd, b".", os.O_WRONLY, 0)),
            raw("mkdirat", fd, b"..", 0o700),
        ]
    return [seen, names()]


@case
def upper_half_of_the_number_is_ignored() -> object:
    os.mkdir("d")
    fd = os.open("d", os.O_PATH)
    return [
        opened(raw("openat", fd | 7 << 32, b"x", _WRITE, 0o600)),
        raw("mkdirat", 0xFFFFFF9C, b"y", 0o700),
        names(),
        names("d"),
    ]


@case
def two_descriptors() -> object:
    for where in ("a", "b"):
        os.mkdir(where)
    put("a/f", "1")
    a, b = os.open("a", os.O_PATH), os.open("b", os.O_PATH)
    return [
        raw("renameat2", a, b"f", b, b"g", 0),
        raw("linkat", b, b"g", a, b"h", 0),
        raw("renameat2", a, b"h", b, b"g", kit.RENAME_EXCHANGE),
        raw("renameat2", a, b"h", AT_FDCWD, b"top", 0),
        raw("renameat2", AT_FDCWD, b"top", a, b"../b/sub", 0),
        raw("renameat2", a, b"x", 999, b"y", 0),
        raw("renameat2", 999, b"x", a, b"y", 0),
        names(),
        names("a"),
        names("b"),
    ]


@case
def empty_path() -> object:
    """AT_EMPTY_PATH: the descriptor itself is the object, also one that was opened O_PATH or read-only."""
    put("f", "data")
    os.mkdir("d")
    os.symlink("f", "l")
    seen = {}
    for label, fd in (
        ("file", os.open("f", os.O_RDONLY)),
        ("path", os.open("f", os.O_PATH)),
        ("dir", os.open("d", os.O_PATH)),
        ("link", os.open("l", os.O_PATH | os.O_NOFOLLOW)),
        ("closed", 999),
        ("cwd", AT_FDCWD),
    ):
        seen[label] = [
            raw("fchownat", fd, b"", os.getuid(), os.getgid(), AT_EMPTY_PATH),
            raw("fchmodat2", fd, b"", 0o700, AT_EMPTY_PATH),
            raw("utimensat", fd, b"", 0, AT_EMPTY_PATH),
            raw("linkat", fd, b"", AT_FDCWD, b"hard-" + label.encode(), AT_EMPTY_PATH) if label != "file" else "",
            raw("fchmodat", fd, b"", 0o700),
            raw("unlinkat", fd, b"", 0),
            raw("openat", fd, b"", os.O_WRONLY, 0),
            raw("mkdirat", fd, b"", 0o700),
        ]
    return [seen, names(), look("f"), look("d")]


@case
def null_path_is_the_descriptor() -> object:
    put("f", "data")
    fd = os.open("f", os.O_RDONLY)
    at_path = os.open("f", os.O_PATH)
    first = raw("utimensat", fd, 0, (1).to_bytes(8, "little") + bytes(8) + (2).to_bytes(8, "little") + bytes(8), 0)
    st = os.stat("f")
    return [
        first,
        int(st.st_atime),
        int(st.st_mtime),
        raw("utimensat", at_path, 0, 0, 0),
        raw("utimensat", AT_FDCWD, 0, 0, 0),
        raw("utimensat", 999, 0, 0, 0),
    ]


@case
def moved_directory() -> object:
    """A descriptor follows the directory, not its name."""
    os.makedirs("a/deep")
    os.mkdir("b")
    fd = os.open("a/deep", os.O_PATH)
    os.rename("a/deep", "b/moved")
    seen = [
        opened(raw("openat", fd, b"f", _WRITE, 0o600)),
        raw("mkdirat", fd, b"../beside", 0o700),
        raw("renameat2", fd, b"f", fd, b"../g", 0),
    ]
    return [seen, names("a"), names("b"), names("b/moved")]


@case
def removed_directory() -> object:
    os.mkdir("d")
    fd = os.open("d", os.O_RDONLY)
    os.rmdir("d")
    return [
        _all_calls(fd, b"x"),
        names(),
        raw("fchmod", fd, 0o700),
        raw("mkdirat", fd, b"../y", 0o700),
        opened(raw("openat", fd, b".", os.O_RDONLY, 0)),
    ]


@case
def removed_working_directory() -> object:
    os.mkdir("d")
    os.chdir("d")
    os.rmdir("../d")
    seen = _all_calls(AT_FDCWD, b"x")
    more = [
        t(os.mkdir, "."),
        t(os.mkdir, "./y"),
        t(os.open, ".", os.O_RDONLY | os.O_DIRECTORY) is not None,
        t(os.truncate, "x", 0),
        t(os.chmod, ".", 0o700),
    ]
    absent = t(put, "../up", "x")
    return [seen, more, absent]


@case
def replaced_working_directory() -> object:
    """A new directory of the old name is another one."""
    os.mkdir("d")
    os.chdir("d")
    os.rename("../d", "../old")
    os.mkdir("../d")
    put("f", "1")
    os.mkdir("sub")
    os.chdir("..")
    return [names("d"), names("old")]


@case
def working_directory_per_thread_and_fork() -> object:
    os.mkdir("d")

    def inner() -> object:
        os.chdir("d")
        put("child", "c")
        return names(".")

    seen = kit.child(inner)
    put("parent", "p")
    os.chdir("d")
    put("late", "l")
    os.fchdir(os.open("..", os.O_RDONLY))
    put("back", text("parent"))
    return [seen, names("."), names("d")]


kit.main()
