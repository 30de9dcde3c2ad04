"""Odd path names: slashes, dots, lengths, bytes, pointers."""

from __future__ import annotations

import ctypes
import mmap
import os

import kit
from kit import AT_FDCWD, case, names, opened, put, raw, t, text

_WRITE = os.O_WRONLY | os.O_CREAT


@case
def trailing_slashes() -> object:
    put("f", "data")
    os.mkdir("d")
    seen = {}
    for path in (b"f/", b"f//", b"d/", b"new/", b"f/.", b"f/..", b"f/../x", b"d/.", b"d/..", b"new/.", b"."):
        seen[repr(path)] = {
            "open": opened(raw("openat", AT_FDCWD, path, os.O_WRONLY, 0)),
            "create": opened(raw("openat", AT_FDCWD, path, _WRITE, 0o600)),
            "excl": opened(raw("openat", AT_FDCWD, path, _WRITE | os.O_EXCL, 0o600)),
            "truncate": t(os.truncate, path, 2),
            "mknod": t(os.mknod, path),
            "symlink": t(os.symlink, b"t", path),
            "link": t(os.link, b"f", path),
            "unlink": t(os.unlink, path),
            "rename from": t(os.rename, path, b"y"),
            "rename to": t(os.rename, b"f", path),
            "rmdir": t(os.rmdir, path) if path not in (b"d/",) else "",
            "chmod": t(os.chmod, path, 0o755) if path in (b"f/", b"new/", b"d/", b"d/.") else "",
            "names": names(),
        }
    return seen


@case
def mkdir_with_slashes() -> object:
    put("f")
    return [
        t(os.mkdir, p) for p in ("a/", "b//", "a/./c", "a/c/../d/", "f/", "f/x", "x/y", "a/.", "a/..", "/", ".", "..")
    ] + [names(), names("a")]


@case
def dots() -> object:
    os.mkdir("d")
    put("d/../f", "1")
    put("./d/./../d/g", "2")
    put("d/..//.//h", "3")
    here = os.path.basename(os.getcwd())
    put(f"../{here}/i", "4")
    return [names(), names("d"), t(os.open, "missing/../f", os.O_WRONLY), t(os.open, "f/../f", os.O_WRONLY)]


@case
def doubled_and_absolute() -> object:
    here = os.getcwdb()
    put(b"/" + here + b"//a", "1")
    put(here.replace(b"/", b"///") + b"/b", "2")
    return names()


@case
def lengths() -> object:
    long = b"n" * 255
    seen: list[object] = [
        opened(raw("openat", AT_FDCWD, long, _WRITE, 0o600)),
        opened(raw("openat", AT_FDCWD, long + b"n", _WRITE, 0o600)),
    ]
    seen += [
        raw("mkdirat", AT_FDCWD, long + b"n", 0o700),
        raw("unlinkat", AT_FDCWD, long + b"n", 0),
        raw("symlinkat", b"t", AT_FDCWD, long + b"n"),
    ]
    seen += [
        raw("renameat2", AT_FDCWD, long, AT_FDCWD, long + b"n", 0),
        raw("mknodat", AT_FDCWD, long + b"n", 0o100600, 0),
    ]
    for total in (4094, 4095, 4096, 4097, 9000):
        path = (b"./" * 5000)[: total - 1] + b"f"
        seen.append(
            [
                total,
                opened(raw("openat", AT_FDCWD, path, _WRITE, 0o600)),
                raw("unlinkat", AT_FDCWD, path, 0),
                raw("mkdirat", AT_FDCWD, path, 0o700),
            ]
        )
        seen.append(
            [
                raw("renameat2", AT_FDCWD, path, AT_FDCWD, b"q", 0),
                raw("fchmodat", AT_FDCWD, path, 0o700),
                t(os.rmdir, "q"),
                t(os.rmdir, "f"),
            ]
        )
    return [seen, [len(n) for n in names()]]


@case
def deep_directories() -> object:
    """Deeper than PATH_MAX: reachable step by step only."""
    depth, refusal = 0, None
    while depth < 30 and refusal is None:
        refusal = t(os.mkdir, "d" * 200)
        if refusal is None:
            os.chdir("d" * 200)
            depth += 1
    seen = [
        t(put, "f", "deep"),
        t(os.rename, "f", "g"),
        t(os.truncate, "g", 2),
        t(os.chmod, "g", 0o600),
        names(),
        t(os.unlink, "g"),
    ]
    return [depth, refusal, seen]


@case
def empty() -> object:
    return {
        "open": raw("openat", AT_FDCWD, b"", _WRITE, 0o600),
        "mkdir": raw("mkdirat", AT_FDCWD, b"", 0o700),
        "unlink": raw("unlinkat", AT_FDCWD, b"", 0),
        "rename": raw("renameat2", AT_FDCWD, b"", AT_FDCWD, b"x", 0),
        "rename to": raw("renameat2", AT_FDCWD, b"x", AT_FDCWD, b"", 0),
        "link": raw("linkat", AT_FDCWD, b"", AT_FDCWD, b"x", 0),
        "symlink": raw("symlinkat", b"t", AT_FDCWD, b""),
        "mknod": raw("mknodat", AT_FDCWD, b"", 0o100600, 0),
        "truncate": raw("truncate", b"", 0),
        "chmod": raw("fchmodat", AT_FDCWD, b"", 0o600),
        "chown": raw("fchownat", AT_FDCWD, b"", os.getuid(), os.getgid(), 0),
        "utime": raw("utimensat", AT_FDCWD, b"", 0, 0),
        "setxattr": raw("setxattr", b"", b"user.a", b"1", 1, 0),
        "exec": raw("execve", b"", 0, 0),
    }


@case
def bad_pointers() -> object:
    seen = {}
    hole = mmap.mmap(-1, 8192)
    address = ctypes.addressof(ctypes.c_char.from_buffer(hole))
    kit.libc.munmap(ctypes.c_void_p(address + 4096), ctypes.c_size_t(4096))
    hole[4093:4096] = b"abc"
    for label, pointer in (
        ("null", 0),
        ("low", 8),
        ("kernel", -4096),
        ("noncanonical", 1 << 62),
        ("runs out", address + 4093),
    ):
        seen[label] = [
            raw("openat", AT_FDCWD, pointer, _WRITE, 0o600),
            raw("mkdirat", AT_FDCWD, pointer, 0o700),
            raw("unlinkat", AT_FDCWD, pointer, 0),
            raw("renameat2", AT_FDCWD, pointer, AT_FDCWD, b"x", 0),
            raw("renameat2", AT_FDCWD, b"missing", AT_FDCWD, pointer, 0),
            raw("linkat", AT_FDCWD, pointer, AT_FDCWD, b"x", 0),
            raw("symlinkat", pointer, AT_FDCWD, b"x"),
            raw("symlinkat", b"x", AT_FDCWD, pointer),
            raw("mknodat", AT_FDCWD, pointer, 0o100600, 0),
            raw("truncate", pointer, 0),
            raw("fchmodat", AT_FDCWD, pointer, 0o600),
            raw("fchownat", AT_FDCWD, pointer, -1, -1, 0),
            raw("setxattr", pointer, b"user.a", b"1", 1, 0),
            raw("removexattr", pointer, b"user.a"),
            raw("execve", pointer, 0, 0),
        ]
    return [seen, names()]


@case
def string_that_ends_at_the_page_end() -> object:
    area = mmap.mmap(-1, 8192)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    kit.libc.munmap(ctypes.c_void_p(address + 4096), ctypes.c_size_t(4096))
    area[4091:4096] = b"last\0"
    return [opened(raw("openat", AT_FDCWD, address + 4091, _WRITE, 0o600)), names()]


@case
def any_bytes() -> object:
    odd = [
        b"\xff",
        b"\xc3\x28",
        b"a\nb",
        b"\x1b[31m",
        b"tab\t",
        b" ",
        b"-rf",
        b"*",
        b"\\",
        b"\xe2\x80\xae\xe2\x81\xa6",
        b"\x01",
        b"$(x)",
        b"'\"",
    ]
    for number, path in enumerate(odd):
        os.mkdir(path)
        put(path + b"/" + path, str(number))
        os.rename(path + b"/" + path, path + b"/" + path + path)
        os.symlink(path, path + b"/l")
        os.chmod(path + b"/" + path + path, 0o600)
    return [names(), [names(p) for p in odd], [text(p + b"/" + p + p) for p in odd]]


@case
def any_bytes_executed() -> object:
    seen = []
    for path in (b"\xffx", b"a\nb", b"\xe2\x80\xaex"):
        put(path, "#!/bin/sh\nprintf '%s' \"$1\"; exit 7\n", 0o755)
        pid = os.posix_spawn(b"./" + path, [path, b"arg\xfe\n"], {})
        seen.append(os.waitpid(pid, 0)[1])
    return seen


kit.main()
