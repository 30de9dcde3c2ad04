"""Mode bits of creating calls."""

from __future__ import annotations

import os

import kit
from kit import AT_FDCWD, case, look, names, opened, put, raw, t


@case
def every_bit_of_open() -> object:
    os.umask(0)
    seen = {}
    for mode in (0, 0o1, 0o444, 0o644, 0o1644, 0o2755, 0o3777, 0o13777, 0o100644, 0o173777):
        seen[oct(mode)] = [
            opened(raw("openat", AT_FDCWD, b"f%o" % mode, os.O_RDWR | os.O_CREAT, mode)),
            look(f"f{mode:o}"),
        ]
    return seen


@case
def mode_without_creat() -> object:
    put("f", "x", 0o640)
    return [opened(raw("openat", AT_FDCWD, b"f", os.O_RDWR, 0o7777)), look("f")]


@case
def mode_of_existing_is_kept() -> object:
    put("f", "x", 0o600)
    return [opened(os.open("f", os.O_RDWR | os.O_CREAT, 0o777)), look("f")]


@case
def unwritable_mode_still_gives_a_writer() -> object:
    os.umask(0)
    fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0)
    return [os.write(fd, b"abc"), os.pread(fd, 3, 0).decode(), look("f"), t(os.open, "f", os.O_RDWR)]


@case
def creat() -> object:
    os.umask(0o002)
    first = [opened(raw("creat", b"c", 0o777)), look("c")]
    put("c", "content")
    return [first, opened(raw("creat", b"c", 0)), look("c")]


@case
def mkdir_bits() -> object:
    os.umask(0)
    seen = {}
    for mode in (0, 0o700, 0o755, 0o1777, 0o2755, 0o4755, 0o7777, 0o170000, 0o177777):
        seen[oct(mode)] = [raw("mkdirat", AT_FDCWD, b"d%o" % mode, mode), look(f"d{mode:o}")]
    return seen


@case
def setgid_directory_is_inherited() -> object:
    os.umask(0)
    os.mkdir("d")
    os.chmod("d", 0o2775)
    os.mkdir("d/sub", 0o755)
    put("d/f", mode=0o2775)
    put("d/plain", mode=0o666)
    os.mkfifo("d/p", 0o660)
    return [look(f"d/{n}") for n in ("sub", "f", "plain", "p")]


@case
def write_clears_setgid() -> object:
    os.umask(0)
    put("f", "abc", 0o755)
    os.chmod("f", 0o2755)
    fd = os.open("f", os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)
    after_write = look("f")
    os.chmod("f", 0o2755)
    os.truncate("f", 1)
    after_truncate = look("f")
    os.chmod("f", 0o2755)
    os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))
    return [after_write, after_truncate, look("f")]


@case
def setuid() -> object:
    """A set-user-id file: by open, mknod and the three ways of chmod."""
    os.umask(0)
    put("f", mode=0o755)
    fd = os.open("f", os.O_RDONLY)
    return [
        opened(raw("openat", AT_FDCWD, b"new", os.O_RDWR | os.O_CREAT, 0o4755)),
        opened(raw("openat", AT_FDCWD, b".", os.O_RDWR | os.O_TMPFILE, 0o4755)),
        raw("mknodat", AT_FDCWD, b"node", 0o104755, 0),
        raw("fchmodat", AT_FDCWD, b"f", 0o4755),
        raw("fchmod", fd, 0o6755),
        raw("fchmodat2", AT_FDCWD, b"f", 0o4711, 0),
        oct(os.stat("f").st_mode),
        names(),
    ]


kit.main()
