"""Descriptor numbers, close-on-exec, RLIMIT_NOFILE, and what can be done with a descriptor that was handed in."""

from __future__ import annotations

import array
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable

import kit
from kit import AT_FDCWD, case, fdlook, look, lowest, names, opened, put, raw, t, text

_WRITE = os.O_RDWR | os.O_CREAT


@case
def lowest_number() -> object:
    base = lowest()
    first = [os.open(f"f{n}", _WRITE) for n in range(5)]
    os.close(first[1])
    os.close(first[3])
    again = [os.open("f0", os.O_WRONLY) - base, os.open("g", _WRITE) - base, os.open("h", _WRITE) - base]
    os.close(0)
    zero = os.open("zero", _WRITE)
    return [[fd - base for fd in first], again, zero]


@case
def cloexec() -> object:
    seen = []
    for flags in (0, os.O_CLOEXEC):
        fd = raw("openat", AT_FDCWD, b"f", _WRITE | flags, 0o600)
        seen.append(fdlook(fd))
    return seen


@case
def cloexec_over_exec() -> object:
    kept = raw("openat", AT_FDCWD, b"kept", _WRITE, 0o600)
    gone = raw("openat", AT_FDCWD, b"gone", _WRITE | os.O_CLOEXEC, 0o600)
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", f"echo inherited >&{kept}; echo x 2>/dev/null >&{gone}"])
    return [os.waitpid(pid, 0)[1] != 0, text("kept"), text("gone")]


def _limit(room: int) -> None:
    """Leave exactly ``room`` free numbers."""
    used = len(os.listdir("/proc/self/fd")) - 1
    top = max(int(n) for n in os.listdir("/proc/self/fd"))
    for number in range(top + 1):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(0, number)
            used += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1 + room, top + 1 + room + 100))


@case
def limit_is_checked_before_the_act() -> object:
    put("full", "content")
    _limit(0)
    seen = [
        raw("openat", AT_FDCWD, b"new", os.O_WRONLY | os.O_CREAT, 0o600),
        raw("openat", AT_FDCWD, b"excl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
        raw("openat", AT_FDCWD, b"full", os.O_WRONLY | os.O_TRUNC, 0),
        raw("openat", AT_FDCWD, b".", os.O_TMPFILE | os.O_WRONLY, 0o600),
        kit.openat2(b"new2", os.O_WRONLY | os.O_CREAT, 0o600),
    ]
    exists = [os.path.lexists(p) for p in ("new", "excl", "new2")]
    return [seen, exists, os.stat("full").st_size]


@case
def limit_with_one_left() -> object:
    _limit(1)
    first = raw("openat", AT_FDCWD, b"one", os.O_WRONLY | os.O_CREAT, 0o600)
    second = raw("openat", AT_FDCWD, b"two", os.O_WRONLY | os.O_CREAT, 0o600)
    return [isinstance(first, int), second, os.path.lexists("one"), os.path.lexists("two")]


@case
def limit_below_open_numbers() -> object:
    """A limit under the numbers in use: holes below the limit still serve."""
    high = fcntl.fcntl(0, fcntl.F_DUPFD, 40)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    fd = raw("openat", AT_FDCWD, b"hole", os.O_WRONLY | os.O_CREAT, 0o600)
    return [isinstance(fd, int) and fd < 20, high]


@case
def limit_order_of_errors() -> object:
    """The path string is copied first, then a number is taken, then the path is walked."""
    _limit(0)
    return [
        raw("openat", AT_FDCWD, b"missing/x", os.O_WRONLY, 0),
        raw("openat", AT_FDCWD, b"", os.O_WRONLY, 0),
        raw("openat", AT_FDCWD, 0, os.O_WRONLY, 0),
        raw("openat", 999, b"x", os.O_WRONLY, 0),
        raw("openat", AT_FDCWD, b"x" * 5000, os.O_WRONLY, 0),
    ]


@case
def file_size_limit() -> object:
    """RLIMIT_FSIZE is the caller's, also for truncate on behalf."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    put("f", "x" * 100)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    fd = os.open("f", os.O_RDWR)
    return [
        t(os.truncate, "f", 2000),
        t(os.ftruncate, fd, 2000),
        t(os.truncate, "f", 900),
        t(os.pwrite, fd, b"x", 1000),
        look("f")["size"],
    ]


@case
def use() -> object:
    fd = os.open("f", _WRITE, 0o600)
    os.write(fd, b"0123456789" * 500)
    other = os.open("g", _WRITE, 0o600)
    seen: dict[str, object] = {
        "copy": os.copy_file_range(fd, other, 100, 0),
        "sendfile": os.sendfile(other, fd, 0, 100),
        "name": os.path.relpath(os.readlink(f"/proc/self/fd/{fd}")),
        "dup": fdlook(os.dup(fd)),
        "dupfd": fcntl.fcntl(fd, fcntl.F_DUPFD, 60),
    }
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as area:
        area[:5] = b"MMAP!"
    seen["mapped"] = os.pread(fd, 5, 0).decode()
    os.unlink("f")
    seen["deleted"] = [os.readlink(f"/proc/self/fd/{fd}").endswith(" (deleted)"), look(fd), t(os.write, fd, b"x")]
    return seen


@case
def passed_over_a_socket() -> object:
    ours, theirs = socket.socketpair()
    fd = os.open("f", _WRITE | os.O_APPEND, 0o640)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])

    def receive() -> object:
        _, control, _, _ = theirs.recvmsg(1, 64)
        got = array.array("i", control[0][2])[0]
        os.write(got, b"passed")
        return fdlook(got)

    return [kit.child(receive), text("f")]


@case
def opens_from_many_threads() -> object:
    """Each thread gets its own file, whatever the interleaving."""
    bad: list[object] = []

    def work(who: int) -> None:
        for number in range(40):
            mine = f"t{who}-{number}"
            fd = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, mine.encode())
            if os.pread(fd, 99, 0).decode() != mine or not os.readlink(f"/proc/self/fd/{fd}").endswith("/" + mine):
                bad.append(mine)
            os.close(fd)
            os.rename(mine, mine + ".done")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [bad, len(names()), all(text(n) == n[:-5] for n in names())]


@case
def opens_from_many_processes() -> object:
    os.mkdir("d")
    pids = []
    for who in range(8):
        pid = os.fork()
        if pid == 0:
            for number in range(40):
                put(f"d/{who}-{number}", f"{who}-{number}")
                os.rename(f"d/{who}-{number}", f"d/{who}-{number}.done")
            os._exit(0)
        pids.append(pid)
    return [[os.waitpid(p, 0)[1] for p in pids], len(names("d")), all(text(f"d/{n}") == n[:-5] for n in names("d"))]


@case
def shared_file_table() -> object:
    """A process cloned with CLONE_FILES gets the descriptor into the table both use."""
    base = lowest()
    pid = raw("clone", 0x400 | 17, 0, 0, 0, 0)
    if pid == 0:
        fd = kit.libc.open(ctypes.c_char_p(b"shared"), os.O_RDWR | os.O_CREAT, 0o600)
        os._exit(0 if fd == base else 1)
    status = os.waitpid(pid, 0)[1]
    return [status, t(os.write, base, b"both"), text("shared")]


def _in_thread(function: Callable[[], object]) -> object:
    """Result of a function in a thread whose descriptor table is its own (unshare(CLONE_FILES))."""
    seen: list[object] = []

    def work() -> None:
        assert kit.libc.unshare(0x400) == 0
        seen.append(function())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return seen[0]


@case
def thread_with_its_own_table() -> object:
    """The descriptor arrives in the table of the thread that called."""
    base = lowest()

    def work() -> object:
        fd = os.open("mine", _WRITE, 0o600)
        os.write(fd, b"x")
        return fd - base

    return [_in_thread(work), t(os.fstat, base), text("mine")]


@case
def directory_descriptor_of_a_thread() -> object:
    """A directory descriptor means what it means to the calling thread, not to the leader."""
    os.mkdir("leader")
    os.mkdir("thread")
    fd = os.open("leader", os.O_RDONLY)

    def work() -> object:
        os.dup2(os.open("thread", os.O_RDONLY), fd)
        return [
            raw("mkdirat", fd, b"sub", 0o755),
            opened(raw("openat", fd, b"f", _WRITE, 0o600)),
            raw("fchmod", fd, 0o711),
        ]

    seen = _in_thread(work)
    return [seen, names("leader"), names("thread"), look("leader")["mode"], look("thread")["mode"]]


@case
def magic_links_of_a_thread() -> object:
    """/proc/self is the leader's table, /proc/thread-self the thread's own."""
    put("leader", "leader")
    put("thread", "thread")
    fd = os.open("leader", os.O_RDONLY)

    def work() -> object:
        os.dup2(os.open("thread", os.O_RDONLY), fd)
        seen = []
        for prefix in ("/proc/self/fd", "/proc/thread-self/fd", "/dev/fd"):
            again = t(os.open, f"{prefix}/{fd}", os.O_RDWR)
            seen.append(t(os.pread, again, 9, 0).decode() if isinstance(again, int) else again)
        return seen

    return _in_thread(work)


@case
def limit_of_a_thread_with_its_own_table() -> object:
    """Its table is full, the leader's is not: nothing may be made."""

    def work() -> object:
        taken = [os.dup(0) for _ in range(20)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + 1, taken[-1] + 100))
        return raw("openat", AT_FDCWD, b"new", _WRITE, 0o600)

    return [_in_thread(work), os.path.exists("new")]


kit.main()
