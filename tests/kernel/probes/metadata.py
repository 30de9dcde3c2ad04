"""chmod, chown, utimes and extended attributes, by path and by descriptor."""

from __future__ import annotations

import os
import struct
import time

import kit
from kit import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, case, look, put, raw, t

NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2


def _times(atime: tuple[int, int], mtime: tuple[int, int]) -> bytes:
    return struct.pack("qqqq", *atime, *mtime)


def _stamp(path: str, follow: bool = True) -> list[object]:
    """Times as numbers, or the word ``recent`` for the last hour."""
    st = os.stat(path, follow_symlinks=follow)
    now = time.time_ns()
    return ["recent" if abs(now - value) < 3600 * 10**9 else value for value in (st.st_atime_ns, st.st_mtime_ns)]


@case
def chmod() -> object:
    put("f", "x")
    os.mkdir("d")
    os.symlink("f", "l")
    os.symlink("nowhere", "dangling")
    os.mkfifo("p")
    seen = {}
    for mode in (0, 0o644, 0o1777, 0o2755, 0o2711, 0o3777, 0o10644, 0o173777):
        seen[oct(mode)] = [
            raw("fchmodat", AT_FDCWD, b"f", mode),
            look("f"),
            raw("chmod", b"d", mode | 0o700),
            look("d"),
        ]
    seen["others"] = [t(os.chmod, "l", 0o601), look("f"), look("l", follow=False), t(os.chmod, "p", 0o666), look("p")]
    seen["errors"] = [t(os.chmod, p, 0o600) for p in ("dangling", "missing", "f/x", "")]
    return seen


@case
def fchmod() -> object:
    put("f", "x")
    os.mkdir("d")
    writer, reader, at, directory = (
        os.open("f", os.O_WRONLY),
        os.open("f", os.O_RDONLY),
        os.open("f", os.O_PATH),
        os.open("d", os.O_RDONLY),
    )
    return [[raw("fchmod", fd, 0o640 + n), look("f")] for n, fd in enumerate((writer, reader, at, 999))] + [
        raw("fchmod", directory, 0o711),
        look("d"),
        raw("fchmod", os.pipe()[0], 0o600),
    ]


@case
def fchmodat2() -> object:
    put("f", "x")
    os.symlink("f", "l")
    at = os.open("f", os.O_PATH)
    return [
        raw("fchmodat2", AT_FDCWD, b"l", 0o601, 0),
        raw("fchmodat2", AT_FDCWD, b"l", 0o602, AT_SYMLINK_NOFOLLOW),
        raw("fchmodat2", AT_FDCWD, b"f", 0o603, AT_SYMLINK_NOFOLLOW),
        raw("fchmodat2", at, b"", 0o604, AT_EMPTY_PATH),
        raw("fchmodat2", AT_FDCWD, b"f", 0o605, 0x1),
        raw("fchmodat2", AT_FDCWD, b"", 0o700, AT_EMPTY_PATH),
        look("f"),
        look("l", follow=False),
    ]


@case
def chmod_of_an_unlinked_file() -> object:
    put("f", "x")
    fd = os.open("f", os.O_RDWR)
    os.unlink("f")
    return [
        t(os.fchmod, fd, 0o640),
        look(fd),
        t(os.fchown, fd, os.getuid(), -1),
        t(os.utime, fd, (1, 2)),
        t(os.setxattr, fd, "user.a", b"1"),
        t(os.getxattr, fd, "user.a").decode(),
    ]


@case
def chown_to_self() -> object:
    put("f", "x", 0o2755)
    os.symlink("f", "l")
    me, mine = os.getuid(), os.getgid()
    fd = os.open("f", os.O_RDONLY)
    return [
        raw("chown", b"f", me, mine),
        raw("chown", b"f", -1, -1),
        raw("lchown", b"l", me, mine),
        raw("fchown", fd, me, mine),
        raw("fchownat", AT_FDCWD, b"l", me, mine, AT_SYMLINK_NOFOLLOW),
        raw("fchownat", AT_FDCWD, b"f", me, mine, 0x1),
        raw("fchown", 999, me, mine),
        raw("fchown", os.open("f", os.O_PATH), me, mine),
        t(os.chown, "missing", me, mine),
        look("f"),
    ]


@case
def chown_to_others() -> object:
    """Without CAP_CHOWN: EPERM, whoever performs it."""
    put("f", "x")
    fd = os.open("f", os.O_RDONLY)
    other = 54321
    return [
        t(os.chown, "f", other, -1),
        t(os.chown, "f", -1, other),
        t(os.fchown, fd, other, other),
        t(os.lchown, "f", other, -1),
        look("f"),
    ]


@case
def chown_clears_setgid() -> object:
    put("f", "x")
    os.chmod("f", 0o2755)
    os.chown("f", os.getuid(), os.getgid())
    return look("f")


@case
def utimensat() -> object:
    put("f", "x")
    os.symlink("f", "l")
    seen: list[object] = []
    for label, buffer in (
        ("set", _times((1000, 5), (2000, 999999999))),
        ("omit atime", _times((1, OMIT), (3000, 7))),
        ("omit mtime", _times((4000, 0), (1, OMIT))),
        ("omit both", _times((1, OMIT), (1, OMIT))),
        ("now atime", _times((1, NOW), (5000, 0))),
        ("now both", _times((1, NOW), (1, NOW))),
        ("too many ns", _times((1, 1000000000), (1, 0))),
        ("negative", _times((-5, 0), (-6, 3))),
        ("far", _times((1 << 33, 0), (1 << 33, 0))),
    ):
        seen.append([label, raw("utimensat", AT_FDCWD, b"f", buffer, 0), _stamp("f")])
    seen.append([raw("utimensat", AT_FDCWD, b"f", 0, 0), _stamp("f")])
    seen.append(
        [
            raw("utimensat", AT_FDCWD, b"l", _times((7, 0), (8, 0)), AT_SYMLINK_NOFOLLOW),
            _stamp("f"),
            _stamp("l", follow=False),
        ]
    )
    seen.append([raw("utimensat", AT_FDCWD, b"l", _times((9, 0), (10, 0)), 0), _stamp("f"), _stamp("l", follow=False)])
    seen.append(
        [
            raw("utimensat", AT_FDCWD, b"f", 0, 0x1),
            raw("utimensat", AT_FDCWD, b"missing", 0, 0),
            raw("utimensat", AT_FDCWD, b"f", 8, 0),
        ]
    )
    return seen


@case
def older_time_calls() -> object:
    put("f", "x")
    fd = os.open("f", os.O_RDONLY)
    micro = struct.pack("qqqq", 11, 22, 33, 44)
    return [
        [raw("utime", b"f", struct.pack("qq", 100, 200)), _stamp("f")],
        [raw("utime", b"f", 0), _stamp("f")],
        [raw("utimes", b"f", micro), _stamp("f")],
        [raw("utimes", b"f", struct.pack("qqqq", 1, 1000000, 1, 0)), raw("utimes", b"missing", 0)],
        [raw("futimesat", AT_FDCWD, b"f", micro), _stamp("f")],
        [raw("futimesat", fd, 0, struct.pack("qqqq", 5, 6, 7, 8)), _stamp("f")],
        [t(os.utime, fd, (12, 13)), _stamp("f")],
    ]


@case
def xattrs() -> object:
    put("f", "x")
    os.mkdir("d")
    os.symlink("f", "l")
    fd = os.open("f", os.O_RDONLY)
    seen: list[object] = [
        [
            raw("setxattr", b"f", b"user.a", b"12345", 5, 0),
            raw("setxattr", b"f", b"user.a", b"1", 1, 1),
            raw("setxattr", b"f", b"user.b", b"1", 1, 2),
        ],
        [
            raw("setxattr", b"f", b"user.a", b"67", 2, 2),
            os.getxattr("f", "user.a").decode(),
            raw("setxattr", b"l", b"user.l", b"8", 1, 0),
        ],
        [
            raw("lsetxattr", b"l", b"user.l", b"9", 1, 0),
            raw("lsetxattr", b"f", b"user.ll", b"9", 1, 0),
            raw("fsetxattr", fd, b"user.f", b"10", 2, 0),
        ],
        [raw("setxattr", b"d", b"user.d", b"", 0, 0), os.listxattr("d"), sorted(os.listxattr("f"))],
        [
            raw("setxattr", b"f", n, b"1", 1, 0)
            for n in (b"user.", b"user", b"", b"bogus.x", b"trusted.x", b"user." + b"n" * 251)
        ],
        [
            raw("setxattr", b"f", b"user.big", b"x" * 65537, 65537, 0),
            raw("setxattr", b"f", b"user.a", 8, 4, 0),
            raw("setxattr", b"f", b"user.a", b"1", 1, 99),
        ],
        [
            raw("setxattr", b"f", 0, b"1", 1, 0),
            raw("setxattr", b"f", b"user." + b"n" * 250, b"1", 1, 0),
            raw("setxattr", b"f", b"user.z", 0, 0, 0),
        ],
        [
            raw("removexattr", b"f", b"user.a"),
            raw("removexattr", b"f", b"user.a"),
            raw("lremovexattr", b"f", b"user.ll"),
            raw("fremovexattr", fd, b"user.f"),
        ],
        [
            raw("removexattr", b"missing", b"user.a"),
            raw("fremovexattr", 999, b"user.a"),
            raw("fsetxattr", os.open("f", os.O_PATH), b"user.a", b"1", 1, 0),
        ],
        [
            raw("setxattr", b"f", b"user.bin", b"\0\xff\n", 3, 0),
            os.getxattr("f", "user.bin").hex(),
            sorted(os.listxattr("f")),
        ],
        [
            raw("setxattr", b"f", b"security.capability", b"x" * 20, 20, 0),
            raw("setxattr", b"f", b"system.posix_acl_access", b"x", 1, 0),
        ],
    ]
    return seen


@case
def xattr_of_read_only_file() -> object:
    put("f", "x", 0o444)
    return [
        t(os.setxattr, "f", "user.a", b"1"),
        t(os.removexattr, "f", "user.a"),
        t(os.chmod, "f", 0o600),
        t(os.setxattr, "f", "user.a", b"1"),
    ]


@case
def acls_by_tools() -> object:
    import subprocess

    put("f", "x", 0o640)
    run = subprocess.run(
        ["/bin/sh", "-c", "setfacl -m u:65534:r f && getfacl -cn f && setfacl -b f && getfacl -cn f"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [run.returncode, run.stdout, run.stderr, look("f")]


kit.main()
