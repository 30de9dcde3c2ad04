"""umask: taken off on every creating call, kept per fs_struct, overridden by a default ACL."""

from __future__ import annotations

import os
import subprocess
import threading

import kit
from kit import AT_FDCWD, case, look, put, raw, t

CLONE_FS = 0x200
SIGCHLD = 17


def _make_all(tag: str) -> dict[str, object]:
    put(f"f{tag}", "x", 0o777)
    os.mkdir(f"d{tag}", 0o777)
    os.mkfifo(f"p{tag}", 0o777)
    os.mknod(f"m{tag}", 0o100777)
    os.symlink("t", f"l{tag}")
    return {kind: look(f"{kind}{tag}", follow=False) for kind in "fdpml"}


@case
def values() -> object:
    seen = {}
    for mask in (0, 0o022, 0o077, 0o137, 0o777):
        os.umask(mask)
        seen[oct(mask)] = _make_all(oct(mask))
    return seen


@case
def return_value_and_upper_bits() -> object:
    return [raw("umask", 0o027), raw("umask", 0o177777), raw("umask", 0), raw("umask", 0o22)]


@case
def tmpfile() -> object:
    os.umask(0o027)
    fd = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o666)
    raw("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"named", kit.AT_SYMLINK_FOLLOW)
    return look("named")


@case
def threads_share() -> object:
    """CLONE_FS: what one thread sets, all see."""
    os.umask(0o022)
    seen = []

    def other() -> None:
        os.umask(0o077)
        put("by-other", mode=0o666)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    put("by-main", mode=0o666)
    seen.append([look("by-other"), look("by-main")])
    return seen


@case
def thread_that_unshared() -> object:
    """unshare(CLONE_FS) in a thread gives it an own umask and working directory."""
    os.umask(0o022)
    os.mkdir("sub")
    seen: dict[str, object] = {}

    def other() -> None:
        seen["unshare"] = kit.libc.unshare(CLONE_FS)
        os.umask(0o077)
        os.chdir("sub")
        put("by-other", mode=0o666)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    put("by-main", mode=0o666)
    return [seen, look("by-main"), look("sub/by-other"), kit.names()]


@case
def process_with_shared_fs() -> object:
    """A process (not a thread) cloned with CLONE_FS shares the umask both ways."""
    os.umask(0o022)
    pid = raw("clone", CLONE_FS | SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        kit.libc.umask(0o077)
        os._exit(0)
    os.waitpid(pid, 0)
    put("after", mode=0o666)
    return [look("after"), raw("umask", 0)]


@case
def fork_inherits_then_diverges() -> object:
    os.umask(0o027)

    def inner() -> object:
        put("inherited", mode=0o666)
        os.umask(0)
        put("own", mode=0o666)
        return [look("inherited"), look("own")]

    seen = kit.child(inner)
    put("parent", mode=0o666)
    return [seen, look("parent")]


@case
def exec_keeps() -> object:
    os.umask(0o037)
    subprocess.run(["/bin/sh", "-c", "umask; : > made; mkdir dir; umask 0; : > made0"], check=True)
    put("mine")
    return [look("made"), look("dir"), look("made0"), look("mine")]


@case
def preset_before_posix_spawn() -> object:
    os.umask(0o077)
    pid = os.posix_spawn("/usr/bin/touch", ["touch", "spawned"], dict(os.environ))
    os.waitpid(pid, 0)
    return look("spawned")


@case
def default_acl_overrides() -> object:
    """A default ACL on the directory replaces the umask: rw for the group stays although umask is 077."""
    os.mkdir("d")
    subprocess.run(["setfacl", "-d", "-m", "u::rwx,g::rwx,o::r-x", "d"], check=True)
    os.umask(0o077)
    os.mkdir("plain")
    for where in ("d", "plain"):
        put(f"{where}/f", mode=0o666)
        os.mkdir(f"{where}/sub", 0o777)
        os.mkfifo(f"{where}/p", 0o666)
        os.mknod(f"{where}/m", 0o100640)
    fd = os.open("d", os.O_RDWR | os.O_TMPFILE, 0o666)
    raw("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, b"d/tmpfile", kit.AT_SYMLINK_FOLLOW)
    seen = {f"{w}/{n}": look(f"{w}/{n}") for w in ("d", "plain") for n in ("f", "sub", "p", "m")}
    return [seen, look("d/tmpfile"), os.listxattr("d/sub"), os.listxattr("d/f")]


@case
def extended_default_acl() -> object:
    """With a mask entry the group bits of the mode become the mask."""
    os.mkdir("d")
    subprocess.run(["setfacl", "-d", "-m", "u::rwx,g::r-x,o::---,u:65534:rwx,m::rwx", "d"], check=True)
    os.umask(0)
    put("d/f", mode=0o646)
    raw("mkdirat", AT_FDCWD, b"d/sub", 0o701)
    return [look("d/f"), look("d/sub"), t(os.getxattr, "d/f", "system.posix_acl_access").hex()]


kit.main()
