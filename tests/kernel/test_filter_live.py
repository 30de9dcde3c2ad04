"""The filter in the kernel: a child is put under it, a parent plays supervisor, the child tells each errno."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.subproc import run

pytestmark = [
    pytest.mark.needs("notify", "yama", landlock=2),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64"),
]

REFUSED = """
area = ctypes.create_string_buffer(256)
path, text = addr(b"/nonexistent"), addr(b"x")
passing = bytes([6, 0, 0, 0, 0, 0, 255, 127])
# Arguments that are harmless, or wrong in another way, should the filter ever let the call through.
def fd(): return os.open("/etc/passwd", os.O_RDONLY)
def act():
    file = fd()
    return {
        "io_uring_setup": sc(425, 8, ctypes.addressof(area)), "io_setup": sc(206, 8, ctypes.addressof(area)),
        "clone3": sc(435, ctypes.addressof(area), 88), "unshare user": sc(272, 0x10000000),
        "unshare time": sc(272, 0x80), "unshare files": sc(272, 0x400), "clone newuser": sc(56, 0x10000011),
        "setns": sc(308, file, 0), "mount": sc(165, path, path, text, 0, 0), "umount2": sc(166, path, 0),
        "open_tree": sc(428, -100, path, 0), "fsopen": sc(430, text, 0), "chroot": sc(161, path),
        "pivot_root": sc(155, path, path), "bpf": sc(321, 0, 0, 0), "perf": sc(298, 0, 0, -1, -1, 0),
        "userfaultfd": sc(323, 0), "keyctl": sc(250, 0, 0), "add_key": sc(248, text, text, text, 1, -3),
        "open_by_handle_at": sc(304, file, 0, 0), "kexec": sc(246, 0, 0, 0, 0), "fanotify": sc(300, 0, 0),
        "memfd_secret": sc(447, 0), "swapon": sc(167, path, 0), "acct": sc(163, path), "reboot": sc(169, 0, 0, 0, 0),
        "sethostname": sc(170, 0, 1), "iopl": sc(172, 0), "settimeofday": sc(164, 0, 0),
        "TIOCSTI": sc(16, file, 0x5412, text), "TIOCLINUX": sc(16, file, 0x541C, text),
        "SETFLAGS": sc(16, file, 0x40086602, ctypes.addressof(area)),
        "GETFLAGS": sc(16, file, 0x80086601, ctypes.addressof(area)) in ("ok", "ENOTTY", "EOPNOTSUPP"),
        "F_SETLEASE": sc(72, file, 1024, 0), "F_SETSIG": sc(72, file, 10, 9), "F_SETOWN 0": sc(72, file, 8, 0),
        "MPTCP": sc(41, 2, 1, 262), "raw": sc(41, 2, 3, 1), "packet": sc(41, 17, 3, 0), "alg": sc(41, 38, 5, 0),
        "vsock": sc(41, 40, 1, 0), "uevent": sc(41, 16, 3, 15), "route": sc(41, 16, 3, 0), "tcp": sc(41, 2, 1, 0),
        "PR_SET_MM": sc(157, 35, 1, 0, 0, 0), "undumpable": sc(157, 4, 0), "dumpable": libc.prctl(3),
        "personality": sc(135, 0x400000), "unknown": sc(600),
        "listener": attempt(bpf.load, passing, bpf.LISTENER), "own filter": attempt(bpf.load, passing, 0),
    }
told, seen, status = supervised(act)
print(json.dumps([told, seen]))
"""

EXPECTED = {
    "io_uring_setup": "ENOSYS", "io_setup": "ENOSYS", "clone3": "ENOSYS", "unshare user": "EPERM",
    "unshare time": "EPERM", "unshare files": "ok", "clone newuser": "EPERM", "setns": "EPERM", "mount": "EPERM",
    "umount2": "EPERM", "open_tree": "EPERM", "fsopen": "EPERM", "chroot": "EPERM", "pivot_root": "EPERM",
    "bpf": "EPERM", "perf": "EACCES", "userfaultfd": "EPERM", "keyctl": "ENOSYS", "add_key": "ENOSYS",
    "open_by_handle_at": "EPERM", "kexec": "EPERM", "fanotify": "EPERM", "memfd_secret": "ENOSYS", "swapon": "EPERM",
    "acct": "EPERM", "reboot": "EPERM", "sethostname": "EPERM", "iopl": "EPERM", "settimeofday": "EPERM",
    "TIOCSTI": "EPERM", "TIOCLINUX": "EPERM", "SETFLAGS": "EOPNOTSUPP", "GETFLAGS": True, "F_SETLEASE": "EINVAL",
    "F_SETSIG": "EINVAL", "F_SETOWN 0": "ok", "MPTCP": "EPROTONOSUPPORT", "raw": "EPERM", "packet": "EAFNOSUPPORT",
    "alg": "EAFNOSUPPORT", "vsock": "EAFNOSUPPORT", "uevent": "EPROTONOSUPPORT", "route": "ok", "tcp": "ok",
    "PR_SET_MM": "EPERM", "undumpable": "ok", "dumpable": 1, "personality": "EPERM", "unknown": "ENOSYS",
    "listener": "EBUSY", "own filter": "ok",
}  # fmt: skip


def test_refusals_with_their_errno() -> None:
    told, seen = run(REFUSED, supervised=True)
    assert told == EXPECTED
    assert seen == [], "a refusal or an allowed call reached the supervisor"


ASKED = """
path, text, other = addr(b"/nonexistent/x"), addr(b"user.x"), addr(b"/nonexistent/y")
pair = struct.pack("=HH", 1, 0) + bytes(12)
where = addr(pair)
empty = ctypes.create_string_buffer(64)
def act():
    file = os.open("/etc/passwd", os.O_RDONLY)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    calls = [
        (257, -100, path, 1), (257, -100, path, 0o100, 0o600), (257, -100, path, 0o1000), (2, path, 2),
        (85, path, 0o600),
        (437, -100, path, ctypes.addressof(empty), 24), (82, path, other), (264, -100, path, -100, other),
        (316, -100, path, -100, other, 2), (87, path), (263, -100, path, 0), (84, path), (86, path, other),
        (265, -100, path, -100, other, 0), (88, path, other), (266, path, -100, other), (83, path, 0o700),
        (258, -100, path, 0o700), (133, path, 0o100600, 0), (259, -100, path, 0o100600, 0), (76, path, 0),
        (90, path, 0o600), (91, file, 0o600), (268, -100, path, 0o600), (452, -100, path, 0o600, 0), (92, path, 0, 0),
        (93, file, 0, 0), (94, path, 0, 0), (260, -100, path, 0, 0, 0), (132, path, 0), (235, path, 0),
        (261, -100, path, 0), (280, -100, path, 0, 0), (280, file, 0, 0, 0), (188, path, text, text, 1, 0),
        (189, path, text, text, 1, 0), (190, file, text, text, 1, 0), (197, path, text), (198, path, text),
        (199, file, text), (463, -100, path, 0, text, ctypes.addressof(empty), 16), (466, -100, path, 0, text),
        (42, unix.fileno(), where, 16), (49, unix.fileno(), where, 16), (50, unix.fileno(), 1),
        (62, os.getpid(), 0), (129, os.getpid(), 0, ctypes.addressof(empty)), (424, 99, 0, 0, 0),
        (297, os.getpid(), os.getpid(), 0, ctypes.addressof(empty)), (44, unix.fileno(), text, 1, 0, where, 16),
        (46, unix.fileno(), ctypes.addressof(empty), 0), (307, unix.fileno(), ctypes.addressof(empty), 1, 0),
        (302, os.getppid(), 7, 0, 0), (203, os.getppid(), 8, ctypes.addressof(empty)), (144, os.getppid(), 0, 0),
        (142, os.getppid(), 0), (141, 0, os.getppid(), 5),
        (141, 1, 0, 5), (251, 1, os.getppid(), 0), (72, file, 8, os.getppid()), (72, file, 15, ctypes.addressof(empty)),
        (101, 16, os.getppid(), 0, 0), (310, os.getppid(), 0, 0, 0, 0, 0), (311, os.getppid(), 0, 0, 0, 0, 0),
        (438, 99, 0, 0), (440, 99, 0, 0, 0, 0), (157, 0x676F7672, ctypes.addressof(empty), 27),
        (59, path, 0, 0), (322, -100, path, 0, 0, 0),
    ]
    return [(call[0], sc(*call)) for call in calls]
told, seen, status = supervised(act)
print(json.dumps([told, seen]))
"""


def test_what_is_asked_and_that_the_answer_counts() -> None:
    told, seen = run(ASKED, supervised=True)
    assert [call for call in told if call[1] != "EREMOTEIO"] == []
    assert seen == [number for number, _ in told]


def test_reads_are_asked_only_on_request() -> None:
    snippet = """
    def act():
        return [attempt(os.open, "/etc/passwd", flags) for flags in (os.O_RDONLY, os.O_PATH)]
    plain = supervised(act)
    reads = supervised(act, bpf.FilterSpec(False, "all", 7))
    print(json.dumps([plain[:2], reads[:2]]))
    """
    assert run(snippet, supervised=True) == [[["ok", "ok"], []], [["EREMOTEIO", "ok"], [257]]]


def test_debug_asks_where_a_trace_begins() -> None:
    """ATTACH and pidfd_getfd as without it; CONT, and memory of another process, are between tracer and tracee."""
    snippet = """
    def act():
        begins = [sc(101, 16, 2**22 + 1, 0, 0), sc(438, 99, 0, 0)]
        return begins + [sc(101, 7, 2**22 + 1, 0, 0), sc(310, 2**22 + 1, 0, 0, 0, 0, 1)]
    print(json.dumps([supervised(act)[:2], supervised(act, bpf.FilterSpec(True, "writes", 7))[:2]]))
    """
    assert run(snippet, supervised=True) == [
        [["EREMOTEIO"] * 4, [101, 438, 101, 310]],
        [["EREMOTEIO"] * 2 + ["ESRCH", "EINVAL"], [101, 438]],
    ]


def test_thread_signals_below_landlock_6() -> None:
    snippet = """
    def act():
        return [sc(200, os.getpid(), 0), sc(234, os.getpid(), os.getpid(), 0)]
    print(json.dumps([supervised(act, bpf.FilterSpec(False, "writes", abi))[:2] for abi in (5, 6)]))
    """
    assert run(snippet, supervised=True) == [[["EREMOTEIO"] * 2, [200, 234]], [["ok", "ok"], []]]


def test_x32_call_kills() -> None:
    snippet = """
    told, seen, status = supervised(lambda: sc(0x40000000 | 39))
    print(json.dumps([told, seen, os.WIFSIGNALED(status), os.WTERMSIG(status)]))
    """
    assert run(snippet, supervised=True) == [None, [], True, signal.SIGSYS]


INT80 = r"""
#include <unistd.h>
int main(void) {
    long got;
    __asm__ volatile("int $0x80" : "=a"(got) : "a"(20L) : "memory"); /* i386 getpid; x86-64: writev */
    return got == getpid() ? 0 : 3;
}
"""


@pytest.mark.needs("gcc")
def test_i386_call_kills(tmp_path: Path) -> None:
    source, program = tmp_path / "old.c", tmp_path / "old"
    source.write_text(INT80)
    subprocess.run(["gcc", "-o", program, source], check=True)
    snippet = f"""
    told, seen, status = supervised(lambda: os.execv({str(program)!r}, ["old"]), answers={{59: "continue"}})
    print(json.dumps([seen, os.WIFSIGNALED(status) and os.WTERMSIG(status)]))
    """
    assert run(snippet, supervised=True) == [[59], signal.SIGSYS]


def test_listener_is_closed_on_exec_and_wait_killable() -> None:
    snippet = """
    import fcntl
    pid = os.fork()
    if pid == 0:
        caps.no_new_privs()
        fd = bpf.load(bpf.build(bpf.FilterSpec(False, "writes", 7)))
        os._exit(0 if fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC else 1)
    print(json.dumps([os.waitpid(pid, 0)[1], bpf.LISTENER]))
    """
    assert run(snippet) == [0, 0x28]


def test_load_needs_no_new_privs_of_a_user() -> None:
    snippet = """
    if os.geteuid() == 0: caps.set_effective(0)
    print(json.dumps(attempt(bpf.load, bytes([6,0,0,0,0,0,255,127]), 0)))
    """
    assert run(snippet) == "EACCES"


@pytest.mark.parametrize(
    "program",
    [b"", b"1234567", bytes(8), bytes([6, 0, 0, 0, 1]) * 3, bytes([5, 0, 0, 0, 9, 0, 0, 0])],
    ids=["empty", "cut", "unknown", "no instructions", "jump out"],
)
def test_bad_program_is_refused(program: bytes) -> None:
    assert run(f"caps.no_new_privs(); print(json.dumps(attempt(bpf.load, {program!r}, 0)))") == "EINVAL"


def test_a_missing_supervisor_fails_closed() -> None:
    """With the listener closed a notified call answers ENOSYS; it neither runs nor hangs."""
    snippet = """
    pid = os.fork()
    if pid == 0:
        caps.no_new_privs()
        os.close(bpf.load(bpf.build(bpf.FilterSpec(False, "writes", 7))))
        got = [attempt(os.mkdir, "/tmp/govrun-never"), attempt(os.open, "/dev/null", os.O_WRONLY)]
        os._exit(0 if got == ["ENOSYS", "ENOSYS"] else 1)
    print(json.dumps([os.waitpid(pid, 0)[1], os.path.exists("/tmp/govrun-never")]))
    """
    assert run(snippet) == [0, False]


ORDINARY = """
import threading, os, socket, select, time, mmap, signal
t = threading.Thread(target=lambda: time.sleep(0.01)); t.start(); t.join()
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
m = mmap.mmap(-1, 4096); m[0] = 1
e = select.epoll(); e.register(b, 1); e.poll(0)
if os.fork() == 0: os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
os.sched_getaffinity(0); os.listdir("/"); os.stat("/etc")
os._exit(42)
"""


def test_the_interpreter_works_under_it() -> None:
    """Threads, children, pipes, sockets, mappings: nothing ordinary is refused, and only the exec is asked about."""
    argv = [sys.executable, "-I", "-S", "-B", "-c", ORDINARY]
    snippet = f"""
    told, seen, status = supervised(lambda: os.execv({argv[0]!r}, {argv!r}), answers={{59: "continue"}})
    print(json.dumps([told, sorted(set(seen)), os.waitstatus_to_exitcode(status)]))
    """
    assert run(snippet, supervised=True) == [None, [59], 42]


def test_the_program_stays_small() -> None:
    """Every call that is not constant in the kernel's bitmap walks it; a table that exploded would show here."""
    assert 200 < run("print(len(bpf.build(bpf.FilterSpec(False, 'writes', landlock.abi()))) // 8)") < 1500
