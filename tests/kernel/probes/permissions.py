"""What discretionary access control refuses stays refused: the performer may not be stronger than the caller."""

from __future__ import annotations

import os

import kit
from kit import AT_FDCWD, case, look, names, put, raw, t

_WRITE = os.O_WRONLY | os.O_CREAT


@case
def read_only_file() -> object:
    put("f", "data", 0o444)
    put("none", "data", 0)
    return [
        t(os.open, "f", os.O_WRONLY),
        t(os.open, "f", os.O_RDWR),
        t(os.open, "f", os.O_RDONLY | os.O_TRUNC),
        t(os.open, "f", os.O_WRONLY | os.O_CREAT),
        t(os.open, "none", os.O_WRONLY),
        t(os.open, "none", os.O_RDONLY),
        t(os.open, "none", os.O_RDWR | os.O_CREAT | os.O_TRUNC),
        t(os.truncate, "none", 0),
        look("none")["size"],
        t(os.rename, "none", "moved"),
        t(os.unlink, "moved"),
        names(),
    ]


@case
def write_only_file() -> object:
    put("f", "data", 0o222)
    return [
        t(os.open, "f", os.O_RDWR),
        t(os.open, "f", os.O_RDONLY),
        isinstance(t(os.open, "f", os.O_WRONLY | os.O_TRUNC), int),
        look("f")["size"],
    ]


@case
def directory_without_write() -> object:
    os.mkdir("d")
    put("d/f", "data")
    os.mkdir("d/sub")
    os.chmod("d", 0o555)
    put("outside", "x")
    seen = {
        "create": t(os.open, "d/new", _WRITE),
        "existing": isinstance(t(os.open, "d/f", _WRITE), int),
        "tmpfile": t(os.open, "d", os.O_TMPFILE | os.O_RDWR),
        "unlink": t(os.unlink, "d/f"),
        "unlink missing": t(os.unlink, "d/missing"),
        "rmdir": t(os.rmdir, "d/sub"),
        "mkdir": t(os.mkdir, "d/m"),
        "mkdir existing": t(os.mkdir, "d/sub"),
        "mknod": t(os.mknod, "d/n"),
        "symlink": t(os.symlink, "x", "d/l"),
        "link in": t(os.link, "outside", "d/h"),
        "link out": t(os.link, "d/f", "h"),
        "rename in": t(os.rename, "outside", "d/o"),
        "rename out": t(os.rename, "d/f", "o"),
        "rename inside": t(os.rename, "d/f", "d/g"),
        "chmod inside": t(os.chmod, "d/f", 0o600),
        "move itself": t(os.rename, "d", "e"),
        "names": names(),
    }
    os.chmod("e" if os.path.exists("e") else "d", 0o755)
    return seen


@case
def directory_without_search() -> object:
    os.mkdir("d")
    put("d/f", "data")
    os.mkdir("d/sub")
    fd = os.open("d", os.O_PATH)
    os.chmod("d", 0o666)
    seen = [
        t(os.open, "d/f", os.O_WRONLY),
        t(os.open, "d/new", _WRITE),
        t(os.unlink, "d/f"),
        t(os.mkdir, "d/m"),
        t(os.rename, "d/f", "x"),
        t(os.chmod, "d/f", 0o600),
        t(os.truncate, "d/f", 0),
        t(os.utime, "d/f"),
        raw("openat", fd, b"f", os.O_WRONLY, 0),
        raw("mkdirat", fd, b"m", 0o700),
        t(os.open, "d/sub/../f", os.O_WRONLY),
        t(os.open, "d/../y", os.O_WRONLY | os.O_CREAT),
        names(),
    ]
    os.chmod("d", 0o755)
    return [seen, names("d")]


@case
def ancestor_without_search() -> object:
    os.makedirs("a/b/c")
    put("a/b/c/f", "1")
    top = os.open("a", os.O_RDONLY)
    os.chdir("a/b/c")
    os.chmod("../../../a", 0)
    seen = [
        t(put, "f", "2"),
        t(os.mkdir, "m"),
        t(os.rename, "f", "g"),
        t(put, "../x", "3"),
        t(os.unlink, "g"),
        t(put, "../../y", "4"),
        names("."),
    ]
    os.fchmod(top, 0o755)
    return seen


@case
def unreadable_directory_can_be_written() -> object:
    os.mkdir("d")
    os.chmod("d", 0o300)
    seen = [t(put, "d/f", "1"), t(os.mkdir, "d/m"), t(os.rename, "d/f", "d/g"), t(os.unlink, "d/g"), t(os.listdir, "d")]
    os.chmod("d", 0o755)
    return [seen, names("d")]


@case
def sticky_directory_of_mine() -> object:
    os.mkdir("d")
    os.chmod("d", 0o1777)
    put("d/f", "1")
    return [t(os.rename, "d/f", "d/g"), t(os.unlink, "d/g"), names("d"), look("d")]


@case
def access_is_judged_with_effective_ids() -> object:
    put("f", "x", 0o400)
    return [
        os.access("f", os.R_OK),
        os.access("f", os.W_OK),
        t(os.open, "f", os.O_WRONLY),
        raw("openat", AT_FDCWD, b"f", os.O_RDONLY, 0) >= 0,
    ]


kit.main()
