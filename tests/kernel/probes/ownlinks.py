"""Paths that begin with a link of /proc to what the caller holds: every call form through every spelling."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import kit
from kit import AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, RENAME_EXCHANGE, case, look, names, opened, put, raw, t, text


def _spellings(fd: int) -> dict[str, str]:
    me, tid = os.getpid(), threading.get_native_id()
    return {
        "self": f"/proc/self/fd/{fd}",
        "thread-self": f"/proc/thread-self/fd/{fd}",
        "pid": f"/proc/{me}/fd/{fd}",
        "task": f"/proc/self/task/{tid}/fd/{fd}",
        "pid task": f"/proc/{me}/task/{tid}/fd/{fd}",
        "dev": f"/dev/fd/{fd}",
        "slashes": f"//proc/./self//fd/././{fd}//.",
    }


def _folder(name: str = "d") -> int:
    os.mkdir(name)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY)


def _each(act: Callable[[str], Any]) -> dict[str, Any]:
    fd = _folder()
    return {label: act(top) for label, top in _spellings(fd).items()} | {"names": [names(), names("d")]}


@case
def opens() -> object:
    def act(top: str) -> object:
        seen = [opened(t(os.open, f"{top}/f", os.O_WRONLY)), t(put, f"{top}/f", "text")]
        seen += [opened(t(os.open, f"{top}/f", os.O_RDWR | os.O_CREAT | os.O_EXCL))]
        seen += [t(text, f"{top}/f"), opened(t(os.open, f"{top}/f", os.O_RDWR | os.O_APPEND))]
        seen += [opened(t(os.open, f"{top}/f/", os.O_RDWR)), opened(t(os.open, f"{top}/f/x", os.O_RDWR | os.O_CREAT))]
        seen += [opened(t(os.open, f"{top}/new/", os.O_RDWR | os.O_CREAT)), opened(t(os.open, f"{top}/f", os.O_PATH))]
        seen += [t(raw, "creat", os.fsencode(f"{top}/f"), 0o600), look("d/f")["size"], t(os.truncate, f"{top}/f", 7)]
        seen += [look("d/f")["size"], opened(t(os.open, top, os.O_WRONLY)), t(os.unlink, f"{top}/f")]
        return seen

    return _each(act)


@case
def opens_of_links() -> object:
    def act(top: str) -> object:
        seen = [t(os.symlink, "target", f"{top}/l"), opened(t(os.open, f"{top}/l", os.O_WRONLY))]
        seen += [opened(t(os.open, f"{top}/l", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))]
        seen += [opened(t(os.open, f"{top}/l", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))]
        seen += [opened(t(os.open, f"{top}/l", os.O_WRONLY | os.O_CREAT, 0o600)), look("d/target")["mode"]]
        seen += [opened(t(os.open, f"{top}/l", os.O_WRONLY | os.O_NOFOLLOW)), t(os.readlink, f"{top}/l")]
        seen += [opened(t(os.open, top, os.O_RDONLY | os.O_NOFOLLOW)), t(os.unlink, "d/l"), t(os.unlink, "d/target")]
        return seen

    return _each(act)


@case
def names_made_and_removed() -> object:
    def act(top: str) -> object:
        seen = [t(os.mkdir, f"{top}/s"), t(os.mkdir, f"{top}/s"), t(os.mkdir, f"{top}/s/"), t(os.mkdir, f"{top}/u/")]
        seen += [t(os.mkfifo, f"{top}/p"), t(os.symlink, "p", f"{top}/l"), t(os.link, f"{top}/p", f"{top}/p2")]
        seen += [t(os.mkdir, f"{top}/a/b"), t(os.mkdir, f"{top}/p/b"), names("d")]
        seen += [
            t(os.unlink, f"{top}/s"),
            t(os.rmdir, f"{top}/p"),
            t(os.unlink, f"{top}/p2"),
            t(os.unlink, f"{top}/p/"),
        ]
        seen += [t(os.rmdir, f"{top}/s/"), t(os.rmdir, f"{top}/u/."), t(os.rmdir, f"{top}/u"), t(os.unlink, f"{top}/l")]
        seen += [raw("unlinkat", AT_FDCWD, os.fsencode(f"{top}/p"), 0), t(os.rmdir, f"{top}/.")]
        seen += [raw("mkdirat", 999, os.fsencode(f"{top}/q"), 0o750), look("d/q")["mode"]]
        seen += [raw("unlinkat", 999, os.fsencode(f"{top}/q"), AT_REMOVEDIR), t(os.mkdir, f"{top}/.")]
        return seen

    return _each(act)


@case
def two_names() -> object:
    def act(top: str) -> object:
        put("d/f", "f")
        put("g", "g")
        seen = [t(os.rename, f"{top}/f", f"{top}/f2"), t(os.rename, f"{top}/f2", "f3"), t(os.rename, "f3", f"{top}/f")]
        pair = os.fsencode(f"{top}/f"), os.fsencode(f"{top}/../g")
        seen += [raw("renameat2", AT_FDCWD, pair[0], AT_FDCWD, pair[1], RENAME_EXCHANGE), text("g"), text("d/f")]
        seen += [t(os.link, f"{top}/f", "h"), t(os.link, "g", f"{top}/h"), names(), names("d")]
        seen += [t(os.rename, f"{top}/.", "e"), t(os.rename, f"{top}/missing", "e"), t(os.rename, "g", f"{top}/h/")]
        for name in ("g", "h", "d/f", "d/h"):
            seen.append(t(os.unlink, name))
        return seen

    return _each(act)


@case
def attributes() -> object:
    def act(top: str) -> object:
        put("d/f", "f")
        seen = [t(os.chmod, f"{top}/f", 0o640), look("d/f")["mode"], t(os.utime, f"{top}/f", (3, 4))]
        seen += [int(os.stat("d/f").st_mtime), t(os.chown, f"{top}/f", -1, -1)]
        seen += [t(os.setxattr, f"{top}/f", "user.k", b"v"), t(os.listxattr, "d/f")]
        seen += [t(os.removexattr, f"{top}/f", "user.k"), t(os.listxattr, "d/f"), t(os.chmod, top, 0o750)]
        seen += [look("d")["mode"], t(os.chmod, f"{top}/", 0o755), t(os.chmod, f"{top}/missing", 0o755)]
        seen += [t(os.utime, f"{top}/f/", (3, 4)), raw("fchmodat2", AT_FDCWD, os.fsencode(f"{top}/f"), 0o600, 0x100)]
        seen += [raw("fchmodat2", AT_FDCWD, os.fsencode(f"{top}/f"), 0o604, AT_EMPTY_PATH), look("d/f")["mode"]]
        return seen

    return _each(act)


@case
def upwards_and_through_links() -> object:
    def act(top: str) -> object:
        os.makedirs("d/deep", exist_ok=True)
        seen = [t(put, f"{top}/../up", "u"), t(put, f"{top}/deep/../flat", "f"), t(os.symlink, "..", "d/parent")]
        seen += [t(put, f"{top}/parent/sideways", "s"), t(os.symlink, os.path.abspath("d"), "d/absolute")]
        seen += [t(put, f"{top}/absolute/there", "t"), t(os.mkdir, f"{top}/absolute/"), names(), names("d")]
        for name in ("up", "sideways", "d/flat", "d/there", "d/parent", "d/absolute"):
            os.unlink(name)
        return seen

    return _each(act)


@case
def what_is_no_folder() -> object:
    put("f", "f")
    file, pipe = os.open("f", os.O_RDONLY), os.pipe()[1]
    link = os.open("/proc/self/fd/0", os.O_PATH | os.O_NOFOLLOW)
    tops = [f"/proc/self/fd/{fd}" for fd in (file, pipe, 777, 10**12)] + [f"/dev/fd/{file}", "/proc/self/fd/"]
    tops += [f"/proc/self/fd/0{file}", f"/proc/self/task/1/fd/{file}", f"/proc/self/fd/{file}/..", f"/dev/fd/{link}"]
    return [
        [opened(t(os.open, f"{top}/x", os.O_WRONLY)), t(os.truncate, f"{top}/x", 1), opened(t(os.open, top, os.O_PATH))]
        for top in tops
    ]


@case
def removed_folder() -> object:
    fd = _folder()
    os.rmdir("d")
    top = f"/proc/self/fd/{fd}"
    return [
        t(put, f"{top}/x", "x"),
        t(os.mkdir, f"{top}/x"),
        t(os.unlink, f"{top}/x"),
        t(put, f"{top}/../x", "x"),
        names(),
    ]


@case
def moved_folder() -> object:
    fd = _folder()
    os.mkdir("e")
    os.rename("d", "e/d2")
    top = f"/proc/self/fd/{fd}"
    return [t(put, f"{top}/x", "x"), t(put, f"{top}/../y", "y"), names(), names("e"), names("e/d2")]


@case
def working_directory_and_root() -> object:
    os.mkdir("d")
    here = os.getcwd()
    seen = {}
    for label, top in (
        ("cwd", "/proc/self/cwd"),
        ("thread", "/proc/thread-self/cwd"),
        ("root", f"/proc/self/root{here}"),
    ):
        seen[label] = [t(put, f"{top}/d/f", "1"), t(os.mkdir, f"{top}/s"), t(os.rename, f"{top}/d/f", f"{top}/s/f")]
        seen[label] += [t(os.chmod, top, 0o750), look(".")["mode"], t(os.chmod, top, 0o700), names(), names("s")]
        seen[label] += [t(os.unlink, f"{top}/s/f"), t(os.rmdir, f"{top}/s")]
    return seen


@case
def a_thread_with_descriptors_of_its_own() -> object:
    """unshare(CLONE_FILES): /proc/self is the leader's table, /proc/thread-self the caller's."""
    os.mkdir("leader")
    os.mkdir("thread")
    fd = os.open("leader", os.O_RDONLY)
    seen = []

    def work() -> None:
        kit.libc.unshare(0x400)
        own = os.open("thread", os.O_RDONLY)
        os.dup2(own, fd)
        tid = threading.get_native_id()
        seen.append(t(put, f"/proc/self/fd/{fd}/self", "x"))
        seen.append(t(put, f"/proc/thread-self/fd/{fd}/thread", "x"))
        seen.append(t(put, f"/proc/self/task/{tid}/fd/{fd}/task", "x"))
        seen.append(t(put, f"/proc/self/task/{os.getpid()}/fd/{fd}/leader", "x"))
        seen.append(t(put, f"/proc/{tid}/fd/{fd}/tid", "x"))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    return [seen, names("leader"), names("thread")]


@case
def resolve_flags() -> object:
    fd = _folder()
    put("d/f", "f")
    seen = {}
    for resolve in (0, 1, 2, 4, 8, 16):
        for rest in ("f", "new"):
            how = b"".join(word.to_bytes(8, "little") for word in (os.O_WRONLY | os.O_CREAT, 0o600, resolve))
            got = raw("openat2", AT_FDCWD, f"/proc/self/fd/{fd}/{rest}".encode(), how, len(how))
            seen[f"{resolve} {rest}"] = got if isinstance(got, str) else "ok"
            if not isinstance(got, str):
                os.close(got)
    return [seen, names("d")]


@case
def socket_names() -> object:
    def act(top: str) -> object:
        server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        seen = [
            t(server.bind, f"{top}/s"),
            t(server.listen),
            t(client.connect, f"{top}/s"),
            names("d"),
        ]
        seen += [t(client.connect, f"{top}/missing"), t(os.unlink, f"{top}/s")]
        return seen

    return _each(act)


@case
def programs() -> object:
    fd = _folder()
    os.set_inheritable(fd, True)
    put("d/s", "#!/bin/sh\necho script $1\n")
    os.chmod("d/s", 0o755)
    os.symlink("/usr/bin/printf", "d/printf")
    seen = {}
    for label, top in _spellings(fd).items():
        if "task" in label or label == "pid":
            continue  # the child is another process
        seen[label] = [
            subprocess.run(
                [f"{top}/{name}", "one"], capture_output=True, text=True, close_fds=False, check=False
            ).stdout
            for name in ("s", "printf")
        ]
    put("d/plain", "x")
    seen["errors"] = [
        t(subprocess.run, [f"/proc/self/fd/{fd}/{name}"], close_fds=False) for name in ("plain", "missing", "s/x", ".")
    ]
    return seen


kit.main()
