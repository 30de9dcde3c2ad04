"""link, linkat, unlink, symlink."""

from __future__ import annotations

import os

import kit
from kit import AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, case, look, names, put, raw, t, text


def _ln(old: bytes, new: bytes, flags: int = 0) -> object:
    return raw("linkat", AT_FDCWD, old, AT_FDCWD, new, flags)


@case
def hard() -> object:
    put("f", "1")
    os.mkdir("d")
    os.symlink("f", "l")
    os.symlink("d", "ld")
    os.symlink("nowhere", "dangling")
    os.mkfifo("p")
    return {
        "file": [_ln(b"f", b"h1"), look("h1"), raw("link", b"f", b"h2")],
        "existing": _ln(b"f", b"h1"),
        "directory": [_ln(b"d", b"h3"), _ln(b"ld", b"h3", AT_SYMLINK_FOLLOW)],
        "link": [
            _ln(b"l", b"h4"),
            look("h4", follow=False),
            _ln(b"l", b"h5", AT_SYMLINK_FOLLOW),
            look("h5", follow=False),
        ],
        "dangling": [_ln(b"dangling", b"h6"), _ln(b"dangling", b"h7", AT_SYMLINK_FOLLOW), _ln(b"f", b"dangling")],
        "fifo": [_ln(b"p", b"h8"), look("h8")],
        "missing": [_ln(b"missing", b"h9"), _ln(b"f", b"missing/h"), _ln(b"f/x", b"h9"), _ln(b"f", b"f/x")],
        "flags": [_ln(b"f", b"h10", 0x100), _ln(b"f", b"h10", 1 << 30)],
        "same": _ln(b"f", b"f"),
        "names": names(),
    }


@case
def from_descriptors() -> object:
    put("f", "1")
    fd = os.open("f", os.O_RDONLY)
    at = os.open("f", os.O_PATH)
    return [
        _ln(b"/proc/self/fd/%d" % fd, b"a", AT_SYMLINK_FOLLOW),
        _ln(b"/proc/self/fd/%d" % at, b"b", AT_SYMLINK_FOLLOW),
        _ln(b"/proc/self/fd/%d" % fd, b"c"),
        raw("linkat", at, b"", AT_FDCWD, b"d", AT_EMPTY_PATH),
        raw("linkat", at, b"", AT_FDCWD, b"e", 0),
        look("f")["nlink"],
        names(),
    ]


@case
def unlinked_file_cannot_come_back() -> object:
    put("f", "1")
    fd = os.open("f", os.O_RDWR)
    os.unlink("f")
    return [_ln(b"/proc/self/fd/%d" % fd, b"back", AT_SYMLINK_FOLLOW), t(os.write, fd, b"23"), look(fd), names()]


@case
def writing_one_name_changes_the_other() -> object:
    """Links that were made here stay links when written."""
    put("f", "1")
    os.link("f", "g")
    with open("g", "a") as g:
        g.write("2")
    os.truncate("f", 1)
    os.chmod("g", 0o600)
    return [text("f"), text("g"), look("f"), os.stat("f").st_ino == os.stat("g").st_ino]


@case
def unlink() -> object:
    put("f", "1")
    put("g", "1")
    os.makedirs("d/sub")
    os.mkfifo("p")
    return [
        raw("unlink", b"g"),
        raw("unlinkat", AT_FDCWD, b"f", AT_REMOVEDIR),
        raw("unlinkat", AT_FDCWD, b"d", 0),
        raw("unlinkat", AT_FDCWD, b"d", AT_REMOVEDIR),
        raw("unlinkat", AT_FDCWD, b"d/sub", AT_REMOVEDIR),
        raw("unlinkat", AT_FDCWD, b"f", 0x1),
        raw("unlinkat", AT_FDCWD, b"f", 0),
        raw("unlinkat", AT_FDCWD, b"f", 0),
        raw("unlinkat", AT_FDCWD, b"p", 0),
        raw("unlinkat", AT_FDCWD, b"d/.", AT_REMOVEDIR),
        raw("unlinkat", AT_FDCWD, b"d/..", AT_REMOVEDIR),
        raw("unlinkat", AT_FDCWD, b".", 0),
        raw("unlinkat", AT_FDCWD, b"/", 0),
        raw("unlinkat", AT_FDCWD, b"missing/x", 0),
        names(),
    ]


@case
def open_file_lives_on() -> object:
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"still")
    os.unlink("f")
    put("f", "another")
    return [os.pread(fd, 9, 0).decode(), text("f"), look(fd)["nlink"]]


@case
def symlink_errors() -> object:
    put("f", "1")
    os.mkdir("d")
    return [
        raw("symlink", b"t", b"l"),
        t(os.symlink, "t", "f"),
        t(os.symlink, "t", "d"),
        t(os.symlink, "t", "l"),
        t(os.symlink, "t", "missing/l"),
        t(os.symlink, "t", "f/l"),
        t(os.symlink, "t", "d/"),
        t(os.symlink, "t", "new/"),
        t(os.symlink, "t", "d/l"),
        look("d/l", follow=False),
        names(),
    ]


kit.main()
