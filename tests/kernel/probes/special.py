"""FIFOs, devices, terminals, and the magic links of /proc and /dev."""

from __future__ import annotations

import errno
import os
import pty
import select
import signal
import subprocess
import threading
import time

import kit
from kit import AT_FDCWD, case, fdlook, look, names, opened, put, raw, t, text


@case
def fifo_blocks_both_ways() -> object:
    """The opener of either end waits for the other, and the number and flags are what open would give."""
    os.mkfifo("p")
    seen: dict[str, object] = {}

    def write_end() -> None:
        fd = os.open("p", os.O_WRONLY)
        seen["writer"] = fdlook(fd)
        os.write(fd, b"through")
        os.close(fd)

    writer = threading.Thread(target=write_end)
    writer.start()
    fd = os.open("p", os.O_RDONLY)
    seen["reader"] = fdlook(fd)
    writer.join()
    seen["data"] = os.read(fd, 99).decode()
    seen["end"] = os.read(fd, 99).decode()
    os.close(fd)
    return seen


@case
def fifo_writer_waits_for_a_late_reader() -> object:
    os.mkfifo("p")
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open("p", os.O_WRONLY)
        os.write(w, b"opened")
        os.write(fd, b"late")
        os._exit(0)
    early = select.select([r], [], [], 0.3)[0]
    fd = os.open("p", os.O_RDONLY)
    return [
        early == [],
        os.read(r, 9).decode(),
        os.read(fd, 9).decode(),
        os.waitpid(pid, 0)[1],
        os.read(fd, 9).decode(),
    ]


@case
def fifo_end_of_file_comes() -> object:
    """Nobody else keeps the write end: the reader sees the end every time."""
    os.mkfifo("p")
    seen = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            fd = os.open("p", os.O_WRONLY)
            os.write(fd, b"%d" % number)
            os._exit(0)
        with open("p", "rb") as reader:
            seen.append(reader.read().decode())
        os.waitpid(pid, 0)
    return seen


@case
def fifo_nonblocking() -> object:
    os.mkfifo("p")
    first = [t(os.open, "p", os.O_WRONLY | os.O_NONBLOCK), opened(t(os.open, "p", os.O_RDWR))]
    reader = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    return [
        first,
        opened(t(os.open, "p", os.O_WRONLY | os.O_NONBLOCK)),
        opened(t(os.open, "p", os.O_WRONLY)),
        fdlook(reader),
    ]


@case
def fifo_flags_ignored() -> object:
    os.mkfifo("p")
    return [opened(t(os.open, "p", os.O_RDWR | extra, 0o600)) for extra in (os.O_CREAT, os.O_TRUNC, os.O_APPEND)] + [
        t(os.open, "p", os.O_RDWR | os.O_CREAT | os.O_EXCL),
        t(os.open, "p", os.O_RDWR | os.O_DIRECTORY),
        t(os.truncate, "p", 0),
        look("p"),
    ]


@case
def fifo_open_interrupted_by_a_signal() -> object:
    """A handler without SA_RESTART ends a blocked open with EINTR; the process can be killed while it waits."""
    os.mkfifo("p")
    source = (
        "import ctypes,os,signal\n"
        "signal.signal(signal.SIGALRM, lambda *a: None)\n"
        "signal.siginterrupt(signal.SIGALRM, True)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.open(b'p', os.O_WRONLY), ctypes.get_errno())\n"
    )
    out = subprocess.run(["/usr/bin/python3", "-c", source], capture_output=True, text=True, timeout=30, check=False)
    pid = os.fork()
    if pid == 0:
        os.open("p", os.O_WRONLY)
        os._exit(0)
    with open(f"/proc/{pid}/wchan", encoding="ascii"):
        os.kill(pid, 9)
    return [out.stdout.replace(str(errno.EINTR), "EINTR"), os.waitpid(pid, 0)[1]]


@case
def shell_process_substitution_with_fifo() -> object:
    out = subprocess.run(
        ["bash", "-c", "mkfifo p; seq 3 > p & cat < p; wait; cat <(echo sub); echo to | tee >(cat >t.out) >/dev/null"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return [out.returncode, out.stdout, out.stderr]


@case
def character_devices() -> object:
    seen = {}
    for path in ("/dev/null", "/dev/zero", "/dev/full"):
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            seen[f"{path} {flags:o}"] = opened(t(os.open, path, flags, 0o666))
    seen["excl"] = t(os.open, "/dev/null", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    seen["full"] = t(os.write, os.open("/dev/full", os.O_WRONLY), b"x")
    seen["null"] = t(os.write, os.open("/dev/null", os.O_WRONLY), b"xyz")
    seen["zero"] = os.read(os.open("/dev/zero", os.O_RDWR), 3).hex()
    os.symlink("/dev/null", "sink")
    seen["link"] = opened(t(os.open, "sink", os.O_WRONLY))
    return seen


@case
def controlling_terminal() -> object:
    """/dev/tty is the caller's own terminal, not that of whoever performs the open."""
    pid, master = pty.fork()
    if pid == 0:
        fd = os.open("/dev/tty", os.O_RDWR)
        os.write(fd, b"tty %d %d\n" % (os.isatty(fd), os.fstat(0).st_rdev == os.fstat(1).st_rdev))
        other = os.open(os.ttyname(0), os.O_RDWR)
        os.write(other, b"pts\n")
        os._exit(0)
    data = b""
    try:
        while data.count(b"\n") < 2:
            data += os.read(master, 999)
    except OSError:
        pass
    return [os.waitpid(pid, 0)[1], data.decode()]


@case
def no_terminal() -> object:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try:
            os.open("/dev/tty", os.O_WRONLY)
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@case
def reopen_by_number() -> object:
    """/proc/self/fd/N, /dev/fd/N and /proc/thread-self are the caller's, whoever resolves them."""
    put("f", "0123456789")
    fd = os.open("f", os.O_RDONLY)
    os.read(fd, 4)
    seen: dict[str, object] = {}
    for prefix in (
        "/proc/self/fd",
        "/dev/fd",
        f"/proc/{os.getpid()}/fd",
        "/proc/thread-self/fd",
        f"/proc/self/task/{os.getpid()}/fd",
    ):
        again = t(os.open, f"{prefix}/{fd}", os.O_RDWR)
        seen[prefix.replace(str(os.getpid()), "PID")] = (
            [fdlook(again), t(os.write, again, b"ab")] if isinstance(again, int) else again
        )
    seen["missing"] = t(os.open, "/proc/self/fd/777", os.O_WRONLY)
    seen["trunc"] = [t(opened, t(os.open, f"/dev/fd/{fd}", os.O_WRONLY | os.O_TRUNC)), look("f")["size"]]
    return seen


@case
def reopen_of_things_without_a_name() -> object:
    r, w = os.pipe()
    put("f", "data")
    fd = os.open("f", os.O_RDONLY)
    os.unlink("f")
    memory = os.memfd_create("m")
    seen: list[object] = [
        opened(t(os.open, f"/proc/self/fd/{w}", os.O_WRONLY)),
        opened(t(os.open, f"/dev/fd/{r}", os.O_RDONLY)),
    ]
    again = t(os.open, f"/proc/self/fd/{fd}", os.O_RDWR)
    seen += [
        t(os.write, again, b"gone"),
        t(os.pread, fd, 9, 0).decode(),
        opened(t(os.open, f"/proc/self/fd/{memory}", os.O_RDWR)),
    ]
    return seen


@case
def standard_streams_by_name() -> object:
    """The shell's `> /dev/stderr` and `> /dev/stdout` with a file, a pipe and an inherited descriptor behind them."""
    os.mkfifo("p")
    script = "echo out > /dev/stdout; echo err > /dev/stderr; echo three > /dev/fd/30; echo again >> /dev/stdout"
    with open("three", "w") as three:
        os.dup2(three.fileno(), 30)
        piped = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, pass_fds=[30], check=False)
    with open("o", "a") as o, open("e", "a") as e, open("three2", "a") as three:
        os.dup2(three.fileno(), 30)
        status = subprocess.run(["/bin/sh", "-c", script], stdout=o, stderr=e, pass_fds=[30], check=False).returncode
    return [piped.returncode, piped.stdout, piped.stderr, text("three"), status, text("o"), text("e"), text("three2")]


@case
def tee_to_stderr() -> object:
    out = subprocess.run(
        ["/bin/sh", "-c", "echo a | tee /dev/stderr | tr a b"], capture_output=True, text=True, check=False
    )
    return [out.returncode, out.stdout, out.stderr]


@case
def magic_links_in_the_middle() -> object:
    os.mkdir("d")
    fd = os.open("d", os.O_PATH | os.O_DIRECTORY)
    seen = {}
    for label, top in (("cwd", "/proc/self/cwd/d"), ("fd", f"/proc/self/fd/{fd}"), ("dev", f"/dev/fd/{fd}")):
        seen[label] = [t(put, f"{top}/g", "2"), t(os.mkdir, f"{top}/sub"), t(os.truncate, f"{top}/g", 1)]
        seen[label] += [t(os.rename, f"{top}/g", f"{top}/g2"), t(os.unlink, f"{top}/g2"), t(os.rmdir, f"{top}/sub")]
    return [seen, names(), names("d")]


@case
def names_in_proc_cannot_be_changed() -> object:
    put("f", "data")
    path = f"/proc/self/fd/{os.open('f', os.O_RDONLY)}"
    return [t(os.rename, path, "x"), t(os.unlink, path), t(os.rename, "f", path), t(os.symlink, "x", path), names()]


@case
def truncate_and_metadata_by_number() -> object:
    put("f", "data")
    fd = os.open("f", os.O_RDONLY)
    path = b"/proc/self/fd/%d" % fd
    return [
        t(os.truncate, path, 2),
        t(os.chmod, path, 0o640),
        t(os.utime, path, (1, 2)),
        t(os.setxattr, path, "user.k", b"v"),
        t(os.getxattr, "f", "user.k").decode(),
        raw("linkat", AT_FDCWD, path, AT_FDCWD, b"hard", kit.AT_SYMLINK_FOLLOW),
        look("f"),
        names(),
    ]


@case
def many_blocked_fifo_openers() -> object:
    """Sixty processes wait for a reader; everybody else goes on, and then each gets through."""
    pids = []
    for number in range(60):
        os.mkfifo(f"p{number}")
        pid = os.fork()
        if pid == 0:
            fd = os.open(f"p{number}", os.O_WRONLY)
            os.write(fd, b"%d" % number)
            os._exit(0)
        pids.append(pid)
    for number in range(50):
        put("other", str(number))
        os.rename("other", "moved")
    seen = []
    for number in range(60):
        with open(f"p{number}", "rb") as reader:
            seen.append(int(reader.read()))
    return [seen == list(range(60)), [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 60, text("moved")]


@case
def killed_fifo_opener_leaves_no_writer() -> object:
    os.mkfifo("p")
    pid = os.fork()
    if pid == 0:
        os.open("p", os.O_WRONLY)
        os._exit(0)
    time.sleep(0.2)  # let it wait; if it has not come that far, the answers are the same
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    first = t(os.open, "p", os.O_WRONLY | os.O_NONBLOCK)
    reader = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    time.sleep(0.2)
    return [first, t(os.read, reader, 9) == b""]


@case
def fifo_replaced_while_an_opener_waits() -> object:
    """The opener waits for the inode it found, not for whatever has the name later."""
    os.mkfifo("p")
    pid = os.fork()
    if pid == 0:
        fd = os.open("p", os.O_WRONLY)
        os.write(fd, b"to the first")
        os._exit(0)
    time.sleep(0.3)
    os.rename("p", "first")
    put("p", "a file")
    with open("first", "rb") as reader:
        data = reader.read().decode()
    return [data, os.waitpid(pid, 0)[1], text("p")]


kit.main()
