"""mkdir, rmdir, mknod, and directories with many entries."""

from __future__ import annotations

import os
import shutil
import socket
import stat

import kit
from kit import AT_FDCWD, case, look, names, put, raw, t


@case
def mkdir() -> object:
    put("f")
    os.symlink("f", "l")
    return [
        raw("mkdir", b"a", 0o755),
        t(os.mkdir, "a"),
        t(os.mkdir, "f"),
        t(os.mkdir, "l"),
        t(os.mkdir, "f/x"),
        t(os.mkdir, "missing/x"),
        t(os.mkdir, "a/b"),
        t(os.makedirs, "a/b/c/d"),
        t(os.makedirs, "a/b/c/d"),
        look("a"),
        names(),
        names("a"),
    ]


@case
def rmdir() -> object:
    put("f")
    os.makedirs("full/in")
    os.mkdir("a")
    os.symlink("a", "l")
    return [
        t(os.rmdir, p)
        for p in (
            "f",
            "l",
            "full",
            "missing",
            "missing/x",
            "f/x",
            "a/.",
            "a/..",
            ".",
            "..",
            "a",
            "a",
            "full/in/",
            "full",
        )
    ] + [raw("rmdir", b"missing"), names()]


@case
def node() -> object:
    """Ordinary users may make fifos, sockets and regular files; devices need a capability."""
    seen = {}
    for label, mode in (
        ("regular", stat.S_IFREG),
        ("none", 0),
        ("fifo", stat.S_IFIFO),
        ("socket", stat.S_IFSOCK),
        ("char", stat.S_IFCHR),
        ("block", stat.S_IFBLK),
        ("dir", stat.S_IFDIR),
        ("link", stat.S_IFLNK),
        ("bogus", 0o150000),
    ):
        path = label.encode()
        seen[label] = [
            raw("mknodat", AT_FDCWD, path, mode | 0o2640, os.makedev(1, 3)),
            look(path, follow=False),
            raw("mknodat", AT_FDCWD, path, mode | 0o600, 0),
        ]
    return [
        seen,
        raw("mknod", b"plain", stat.S_IFREG | 0o600, 0),
        t(os.mknod, "missing/x"),
        t(os.mknod, "plain/x"),
        t(os.mkfifo, "plain"),
        names(),
    ]


@case
def whiteout_device() -> object:
    """A 0:0 character device needs no capability on newer kernels."""
    return [raw("mknodat", AT_FDCWD, b"w", stat.S_IFCHR | 0o600, 0), look("w", follow=False)]


@case
def many_entries() -> object:
    os.mkdir("d")
    for number in range(2000):
        os.close(os.open(f"d/{number:05d}-{'n' * 100}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    first = len(os.listdir("d"))
    for number in range(0, 2000, 2):
        os.rename(f"d/{number:05d}-{'n' * 100}", f"d/x{number}")
    second = len([n for n in os.listdir("d") if n.startswith("x")])
    shutil.rmtree("d")
    return [first, second, names()]


@case
def copy_tree_and_remove() -> object:
    os.makedirs("a/b/c")
    for where in ("a", "a/b", "a/b/c"):
        put(f"{where}/f", where)
        os.symlink("f", f"{where}/l")
    shutil.copytree("a", "copy", symlinks=True)
    shutil.rmtree("a")
    return [[sorted(fs) + sorted(ds) for _, ds, fs in sorted(os.walk("copy"))], names()]


@case
def socket_path() -> object:
    """bind makes the socket file: umask, EADDRINUSE, missing directory, long name; the pair talks."""
    os.umask(0o027)
    seen: list[object] = []
    server = socket.socket(socket.AF_UNIX)
    seen += [t(server.bind, "s"), look("s"), t(server.listen)]
    client = socket.socket(socket.AF_UNIX)
    seen.append(t(client.connect, "s"))
    peer, _ = server.accept()
    client.send(b"hello")
    seen += [peer.recv(9).decode(), server.getsockname(), client.getpeername()]
    for path in ("s", "missing/s", "f/s", "", "x" * 107):
        other = socket.socket(socket.AF_UNIX)
        seen.append(t(other.bind, path))
    again = socket.socket(socket.AF_UNIX)
    seen += [t(server.bind, "s2"), t(again.connect, "missing"), t(os.unlink, "s"), t(again.connect, "s"), names()]
    os.mkdir("d")
    os.chdir("d")
    relative = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    seen += [t(relative.bind, "../r"), look("../r"), t(relative.sendto, b"x", "../r"), t(relative.recv, 9) == b"x"]
    return seen


kit.main()
