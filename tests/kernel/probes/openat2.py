"""openat2: strict checking of the struct and every RESOLVE_ flag."""

from __future__ import annotations

import os

import kit
from kit import case, look, names, openat2, opened, put, raw, t, text

NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, CACHED = 1, 2, 4, 8, 16, 32
_WRITE = os.O_WRONLY | os.O_CREAT


def _scene() -> None:
    os.mkdir("d")
    put("f", "data")
    put("d/g", "inner")
    os.symlink("../f", "d/up")
    os.symlink("g", "d/side")
    os.symlink("/d/g", "d/absolute")
    os.symlink("d", "to-d")


@case
def resolve_flags() -> object:
    _scene()
    top = os.open(".", os.O_PATH)
    seen = {}
    for resolve in (0, NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, BENEATH | NO_SYMLINKS):
        for path in (
            b"f",
            b"d/up",
            b"d/side",
            b"to-d/g",
            b"d/../f",
            b"../resolve_flags/f",
            b"new%d" % resolve,
            b"to-d/n%d" % resolve,
        ):
            seen[f"{resolve} {path!r}"] = opened(openat2(path, _WRITE, 0o644, resolve, top))
            seen[f"{resolve} {path!r} rd"] = opened(openat2(path, os.O_RDONLY, 0, resolve, top))
    return [seen, names(), names("d")]


@case
def in_root_reads_absolute_links_inside() -> object:
    _scene()
    top = os.open(".", os.O_PATH)
    return [
        opened(openat2(b"d/absolute", os.O_WRONLY, 0, IN_ROOT, top)),
        opened(openat2(b"/f", os.O_WRONLY, 0, IN_ROOT, top)),
        opened(openat2(b"../../../f", os.O_WRONLY, 0, IN_ROOT, top)),
        opened(openat2(b"/f", os.O_WRONLY, 0, BENEATH, top)),
        opened(openat2(b"/made", _WRITE, 0o600, IN_ROOT, top)),
        look("made"),
    ]


@case
def magic_links() -> object:
    put("f", "data")
    fd = os.open("f", os.O_RDONLY)
    path = b"/proc/self/fd/%d" % fd
    return [opened(openat2(path, os.O_WRONLY, 0, flag)) for flag in (0, NO_MAGICLINKS, NO_SYMLINKS, NO_XDEV)]


@case
def struct_checks() -> object:
    put("f", "data")
    how = kit.OpenHow(os.O_WRONLY, 0, 0)
    return {
        "mode without creat": openat2(b"f", os.O_WRONLY, 0o644),
        "bad mode": openat2(b"n", _WRITE, 0o10000),
        "big mode": openat2(b"n", _WRITE, 1 << 40),
        "unknown flag": openat2(b"f", os.O_WRONLY | 1 << 31),
        "high flag": openat2(b"f", os.O_WRONLY | 1 << 40),
        "low unknown": openat2(b"f", os.O_WRONLY | 0o10),
        "unknown resolve": openat2(b"f", os.O_WRONLY, 0, 1 << 20),
        "both": openat2(b"f", os.O_WRONLY, 0, BENEATH | IN_ROOT),
        "path and write": openat2(b"f", os.O_PATH | os.O_WRONLY),
        "path and trunc": openat2(b"f", os.O_PATH | os.O_TRUNC),
        "short": openat2(b"f", os.O_WRONLY, size=16),
        "zero": openat2(b"f", os.O_WRONLY, size=0),
        "huge": openat2(b"f", os.O_WRONLY, size=8192),
        "null": raw("openat2", -100, b"f", 0, 24),
        "null path": raw("openat2", -100, 0, how, 24),
        "bad pointer": raw("openat2", -100, b"f", 8, 24),
        "names": names(),
    }


@case
def longer_struct() -> object:
    """A later, longer struct passes when the tail is zero, else E2BIG."""
    put("f", "data")
    how = os.O_WRONLY.to_bytes(8, "little") + bytes(16)
    return [
        opened(raw("openat2", -100, b"f", how + bytes(16), 40)),
        raw("openat2", -100, b"f", how + b"\1" * 16, 40),
        text("f"),
    ]


@case
def flags_pass() -> object:
    put("f", "data")
    seen = {}
    for flags in (
        os.O_TRUNC,
        os.O_APPEND,
        os.O_CLOEXEC,
        os.O_EXCL | os.O_CREAT,
        os.O_NOFOLLOW,
        os.O_DIRECTORY,
        os.O_TMPFILE,
        os.O_PATH,
    ):
        mode = 0o640 if flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY) else 0
        seen[oct(flags)] = opened(
            openat2(b"." if flags == os.O_TMPFILE else b"f", (0 if flags == os.O_PATH else os.O_RDWR) | flags, mode)
        )
    return [seen, text("f"), names()]


@case
def cached_is_an_answer_or_again() -> object:
    """RESOLVE_CACHED may say EAGAIN at any time; with O_CREAT and O_TRUNC always."""
    put("f", "data")
    first = openat2(b"f", os.O_WRONLY, 0, CACHED)
    return [
        isinstance(first, int) or first == "!EAGAIN",
        openat2(b"n", _WRITE, 0o600, CACHED),
        openat2(b"f", os.O_WRONLY | os.O_TRUNC, 0, CACHED),
        names(),
        text("f"),
    ]


@case
def umask_applies() -> object:
    os.umask(0o077)
    return [opened(openat2(b"n", _WRITE, 0o666)), t(os.stat, "n").st_mode]


kit.main()
