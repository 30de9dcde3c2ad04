"""truncate, locks, leases, concurrent appending, mappings, notifications."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
import subprocess
import threading

import kit
from kit import case, look, names, put, raw, t, text


@case
def truncate() -> object:
    put("f", "0123456789")
    os.mkdir("d")
    os.symlink("f", "l")
    os.mkfifo("p")
    return [
        [
            t(os.truncate, "f", 4),
            text("f"),
            t(os.truncate, "l", 6),
            text("f"),
            t(os.truncate, "f", 0),
            look("f")["size"],
        ],
        [
            raw("truncate", b"f", -1),
            t(os.truncate, "d", 0),
            t(os.truncate, "p", 0),
            t(os.truncate, "missing", 0),
            t(os.truncate, "f/x", 0),
        ],
        [raw("truncate", b"f", 1 << 40), look("f")["size"], raw("truncate", b"f", 1 << 62), t(os.truncate, "f/", 0)],
    ]


@case
def ftruncate() -> object:
    put("f", "0123456789")
    writer, reader, at = os.open("f", os.O_WRONLY), os.open("f", os.O_RDONLY), os.open("f", os.O_PATH)
    return [
        t(os.ftruncate, writer, 5),
        t(os.ftruncate, reader, 3),
        t(os.ftruncate, at, 3),
        t(os.ftruncate, writer, 8),
        text("f"),
    ]


@case
def truncate_read_only_file() -> object:
    put("f", "data", 0o444)
    return [t(os.truncate, "f", 1), text("f")]


@case
def truncate_keeps_times_when_it_does_nothing() -> object:
    """truncate to the present size still updates mtime on ext4; both runs must agree."""
    put("f", "data")
    os.utime("f", (1, 1))
    os.truncate("f", 4)
    return int(os.stat("f").st_mtime) == 1


@case
def flock() -> object:
    """flock belongs to the open file: after close nobody else may still hold it."""
    seen: list[object] = []
    for _ in range(30):
        a = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
        b = os.open("f", os.O_RDWR)
        fcntl.flock(a, fcntl.LOCK_EX)
        held = t(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(a)
        seen.append([held, t(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)])
        os.close(b)
    return seen


@case
def flock_is_free_after_close() -> object:
    """No other call is made between open, close and the next lock: whoever handed the file in has let it go before."""
    watcher = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
    busy = 0
    for _ in range(500):
        fd = os.open("f", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.close(fd)
        busy += t(fcntl.flock, watcher, fcntl.LOCK_EX | fcntl.LOCK_NB) is not None
        fcntl.flock(watcher, fcntl.LOCK_UN)
    return busy


@case
def open_file_lock_is_free_after_close() -> object:
    write = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    unlock = struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0)
    set_lock = 37  # F_OFD_SETLK
    watcher = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
    busy = 0
    for _ in range(500):
        fd = os.open("f", os.O_RDWR)
        fcntl.fcntl(fd, set_lock, write)
        os.close(fd)
        busy += t(fcntl.fcntl, watcher, set_lock, write) != write
        fcntl.fcntl(watcher, set_lock, unlock)
    return busy


@case
def flock_over_fork_and_dup() -> object:
    a = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(a, fcntl.LOCK_SH)

    def other() -> object:
        b = os.open("f", os.O_RDWR)
        return [t(fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB), t(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)]

    seen = kit.child(other)
    c = os.dup(a)
    os.close(a)
    return [seen, kit.child(other), t(os.close, c), kit.child(other)]


@case
def record_locks() -> object:
    """POSIX locks belong to the process; closing another descriptor of the file drops them."""
    put("f", "0123456789")
    a = os.open("f", os.O_RDWR)
    fcntl.lockf(a, fcntl.LOCK_EX, 5, 0)

    def other() -> object:
        b = os.open("f", os.O_RDWR)
        return [
            t(fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0),
            t(fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5),
        ]

    seen = [kit.child(other), t(fcntl.lockf, a, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 1)]
    os.truncate("f", 8)
    kept = kit.child(other)
    os.close(os.open("f", os.O_WRONLY))
    return [seen, kept, kit.child(other)]


@case
def open_file_locks() -> object:
    put("f", "x")
    a, b = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    set_lock = 37  # F_OFD_SETLK
    first = t(fcntl.fcntl, a, set_lock, request) == request
    second = t(fcntl.fcntl, b, set_lock, request)
    os.close(a)
    return [first, second, t(fcntl.fcntl, b, set_lock, request) == request]


@case
def appenders() -> object:
    """O_APPEND from many processes: no line lost, none torn."""
    pids = []
    for who in range(6):
        pid = os.fork()
        if pid == 0:
            for number in range(50):
                fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.write(fd, f"{who}:{number}:{'x' * 50}\n".encode())
                os.close(fd)
            os._exit(0)
        pids.append(pid)
    status = [os.waitpid(p, 0)[1] for p in pids]
    with open("log") as log:
        lines = sorted(log.read().split("\n"))
    return [status, len(lines), len(set(lines)), {len(line.split(":")[-1]) for line in lines} == {0, 50}]


@case
def shared_mapping_writes() -> object:
    import mmap

    put("f", "0" * 4096)
    fd = os.open("f", os.O_RDWR)
    area = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fd)
    area[0:3] = b"abc"
    area.flush()
    reader = os.open("f", os.O_RDONLY)
    refused = t(mmap.mmap, reader, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)
    return [text("f")[:4], refused]


@case
def private_mapping_of_a_truncated_file() -> object:
    """SIGBUS beyond the end: truncate reached the same inode."""
    import mmap

    put("f", "x" * 8192)
    fd = os.open("f", os.O_RDWR)
    area = mmap.mmap(fd, 8192)
    pid = os.fork()
    if pid == 0:
        os.truncate("f", 100)
        area[5000:5001]
        os._exit(0)
    return os.waitpid(pid, 0)[1] & 0x7F == signal.SIGBUS


@case
def watchers_see_the_same() -> object:
    """inotify of a program inside (build watchers): kinds of events per name, opens by others left out."""
    os.mkdir("d")
    put("d/old", "1")
    fd = kit.libc.inotify_init1(os.O_NONBLOCK)
    kit.libc.inotify_add_watch(fd, ctypes.c_char_p(b"d"), 0xFFF & ~0x30 & ~0x1)
    put("d/new", "12")
    os.truncate("d/old", 0)
    os.rename("d/new", "d/moved")
    os.chmod("d/moved", 0o600)
    os.link("d/moved", "d/hard")
    os.mkdir("d/sub")
    os.rmdir("d/sub")
    os.symlink("x", "d/l")
    os.unlink("d/hard")
    os.close(os.open("d/old", os.O_WRONLY | os.O_TRUNC))
    os.close(os.open("d/old", os.O_WRONLY | os.O_APPEND))
    data, seen = os.read(fd, 65536), []
    while data:
        _, mask, _, size = struct.unpack("iIII", data[:16])
        seen.append([hex(mask), data[16 : 16 + size].rstrip(b"\0").decode()])
        data = data[16 + size :]
    return seen


@case
def threads_truncate_and_write() -> object:
    put("f", "")
    bad: list[str] = []

    def work() -> None:
        for _ in range(50):
            fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            if os.fstat(fd).st_size > 10:
                bad.append("size")
            os.write(fd, b"0123456789")
            os.close(fd)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [bad, text("f"), look("f")]


@case
def sed_and_mv_and_cp() -> object:
    put("f", "one\n", 0o640)
    commands = (
        "sed -i s/one/two/ f; cp -p f g; cp --reflink=auto f h; mv h i; ln -f i g; install -m 600 f j; "
        "dd if=f of=k bs=1 count=2 conv=notrunc status=none; touch -d 2001-01-01 k; tee -a f </dev/null; shred -u -n1 j"
    )
    out = subprocess.run(["/bin/sh", "-ec", commands], capture_output=True, text=True, check=False)
    return [
        out.returncode,
        out.stderr,
        names(),
        [text(n) for n in names()],
        [look(n) for n in names()],
        int(os.stat("k").st_mtime),
    ]


kit.main()
