"""Symbolic links inside the tree as final and intermediate components."""

from __future__ import annotations

import os

import kit
from kit import AT_FDCWD, case, look, names, opened, put, raw, t, text

_WRITE = os.O_WRONLY | os.O_CREAT


@case
def dangling() -> object:
    os.mkdir("d")
    os.symlink("made", "l1")
    os.symlink("d/made", "l2")
    os.symlink("missing/made", "l3")
    os.symlink("l5", "l4")
    os.symlink("end", "l5")
    os.symlink("made/", "l6")
    seen = [
        [t(opened, t(os.open, f"l{n}", _WRITE, 0o640)), t(os.open, f"l{n}", os.O_WRONLY | os.O_EXCL | os.O_CREAT)]
        for n in range(1, 7)
    ]
    return [seen, names(), names("d")]


@case
def dangling_for_other_calls() -> object:
    os.symlink("missing", "l")
    return {
        "mkdir": t(os.mkdir, "l"),
        "mkdir/": t(os.mkdir, "l/"),
        "mkfifo": t(os.mkfifo, "l"),
        "symlink": t(os.symlink, "x", "l"),
        "truncate": t(os.truncate, "l", 1),
        "chmod": t(os.chmod, "l", 0o600),
        "utime": t(os.utime, "l"),
        "rmdir": t(os.rmdir, "l"),
        "setxattr": t(os.setxattr, "l", "user.a", b"1"),
        "names": names(),
    }


@case
def loops() -> object:
    os.symlink("a", "b")
    os.symlink("b", "a")
    os.symlink("self", "self")
    seen = [t(os.open, p, _WRITE) for p in ("a", "self", "a/x", "self/x", "self/")]
    return [
        seen,
        t(os.mkdir, "self/d"),
        t(os.rename, "self/x", "y"),
        t(os.truncate, "a", 0),
        t(os.unlink, "self/x"),
        t(os.unlink, "self"),
        names(),
    ]


@case
def forty_deep() -> object:
    put("l0", "data")
    for number in range(1, 43):
        os.symlink(f"l{number - 1}", f"l{number}")
    return [t(opened, t(os.open, f"l{n}", os.O_WRONLY)) for n in (39, 40, 41, 42)]


@case
def through_directories() -> object:
    os.makedirs("a/b/c")
    os.symlink("a/b", "ab")
    os.symlink("../../..", "a/b/c/top")
    os.symlink(os.getcwd() + "/a", "absolute")
    put("ab/c/f", "1")
    put("a/b/c/top/g", "2")
    put("ab/../h", "3")
    put("absolute/i", "4")
    put("absolute/../j", "5")
    return [names(), names("a"), names("a/b"), names("a/b/c"), text("g"), text("a/h"), text("j")]


@case
def last_component_calls_do_not_follow() -> object:
    put("f", "data")
    os.mkdir("d")
    os.symlink("f", "lf")
    os.symlink("d", "ld")
    os.link("lf", "hard", follow_symlinks=False)
    seen = [
        look("hard", follow=False)["mode"],
        t(os.rmdir, "ld"),
        t(os.rmdir, "ld/"),
        t(os.unlink, "ld/"),
        t(os.rename, "ld", "moved"),
    ]
    seen += [
        t(os.readlink, "moved"),
        t(os.unlink, "lf"),
        text("f"),
        t(os.rename, "moved/", "again"),
        names(),
        names("d"),
    ]
    return seen


@case
def trailing_slash_on_link_to_directory() -> object:
    os.mkdir("d")
    os.symlink("d", "l")
    return [
        t(opened, t(os.open, "l/", os.O_RDONLY)),
        t(os.open, "l/", _WRITE),
        t(os.mkdir, "l/"),
        t(os.rename, "l/", "m/"),
        t(os.rename, "d", "l/"),
        t(os.symlink, "x", "l/"),
        t(os.chmod, "l/", 0o700),
        look("d"),
        names(),
    ]


@case
def contents_are_kept_literally() -> object:
    targets = [b"a", b"/", b"../../x", b"\xff\xfe", b"a\nb", b"x" * 4095, b" ", b"//a//"]
    seen = []
    for number, target in enumerate(targets):
        link = b"l%d" % number
        seen.append([raw("symlinkat", target, AT_FDCWD, link), t(os.readlink, link) == target])
    return [
        seen,
        raw("symlinkat", b"", AT_FDCWD, b"e"),
        raw("symlinkat", b"x" * 4096, AT_FDCWD, b"e"),
        raw("symlinkat", 0, AT_FDCWD, b"e"),
    ]


kit.main()
