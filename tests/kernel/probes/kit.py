"""What every probe program shares: cases in a process and a directory of their own, results as JSON on stdout.

A result may hold only what does not depend on time, pids or the place of the tree, since the bare and the
mediated run of one probe are compared for equality.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import select
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from typing import Any

_CASES: dict[str, Callable[[], Any]] = {}
_CASE_SECONDS = 60.0
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

_X86 = {
    "open": 2, "creat": 85, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "chown": 92, "lchown": 94, "mknod": 133, "utime": 132, "utimes": 235, "futimesat": 261,
    "truncate": 76, "clone": 56, "vfork": 58,
    "umask": 95, "fchmod": 91, "fchown": 93, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "openat": 257, "mkdirat": 258, "mknodat": 259,
    "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268,
    "utimensat": 280, "renameat2": 316, "execve": 59, "execveat": 322, "openat2": 437, "fchmodat2": 452,
    "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
_ARM = {
    "truncate": 45, "clone": 220, "umask": 166, "fchmod": 52, "fchown": 55, "setxattr": 5, "lsetxattr": 6,
    "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "openat": 56, "mkdirat": 34,
    "mknodat": 33, "fchownat": 54, "unlinkat": 35, "renameat": 38, "linkat": 37, "symlinkat": 36, "fchmodat": 53,
    "utimensat": 88, "renameat2": 276, "execve": 221, "execveat": 281, "openat2": 437, "fchmodat2": 452,
    "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
NR = _X86 if platform.machine() == "x86_64" else _ARM

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Register a probe; it runs in a forked child whose working directory is new and empty."""
    _CASES[function.__name__] = function
    return function


def name(number: int) -> str:
    return "!" + errno.errorcode.get(number, str(number))


def t(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Result of a call, or ``!ERRNO``."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        return name(error.errno or 0)


def raw(call: str, *args: Any) -> Any:
    """The bare syscall; bytes become pointers, ints stay as they are. Returns the number or ``!ERRNO``.

    Every argument is passed as a 64-bit word: C varargs would cut the seventh to 32 bits.
    """
    words = []
    keep = []
    for arg in args:
        if isinstance(arg, bytes):
            buffer = ctypes.create_string_buffer(arg)
            keep.append(buffer)
            words.append(ctypes.c_long(ctypes.addressof(buffer)))
        elif isinstance(arg, int):
            words.append(ctypes.c_long(arg))
        else:
            words.append(ctypes.c_long(ctypes.addressof(arg)))
    if call not in NR:  # the generic syscall table has only the *at forms
        return "absent here"
    result = libc.syscall(ctypes.c_long(NR[call]), *words)
    return name(ctypes.get_errno()) if result == -1 else result


class OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(path: bytes, flags: int, mode: int = 0, resolve: int = 0, dirfd: int = AT_FDCWD, size: int = 24) -> Any:
    how = OpenHow(flags, mode, resolve)
    return raw("openat2", dirfd, path, how, size)


def text(path: str | bytes | int) -> str:
    """Content of a file by path or descriptor, as text."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if not isinstance(path, int) else path
        try:
            return os.read(fd, 4096).decode("latin-1")
        finally:
            if not isinstance(path, int):
                os.close(fd)
    except OSError as error:
        return name(error.errno or 0)


def put(path: str | bytes, content: str = "", mode: int = 0o666) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(fd, content.encode("latin-1"))
    os.close(fd)


def look(path: str | bytes | int, follow: bool = True) -> Any:
    """Kind, mode, links, size and ownership relative to the caller; never times, inodes or devices."""
    try:
        st = os.stat(path, follow_symlinks=follow) if not isinstance(path, int) else os.fstat(path)
    except OSError as error:
        return name(error.errno or 0)
    size = st.st_size if stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode) else 0
    return {
        "mode": oct(st.st_mode),
        "nlink": st.st_nlink,
        "size": size,
        "mine": [st.st_uid == os.geteuid(), st.st_gid == os.getegid()],
        "rdev": st.st_rdev,
    }


def fdlook(fd: Any) -> Any:
    """Flags of a descriptor as the program can see them; closes nothing."""
    if not isinstance(fd, int):
        return fd
    seen: dict[str, Any] = {
        "fl": oct(fcntl.fcntl(fd, fcntl.F_GETFL)),
        "fd": fcntl.fcntl(fd, fcntl.F_GETFD),
        "stat": look(fd),
    }
    with open(f"/proc/thread-self/fdinfo/{fd}", encoding="ascii") as info:
        seen["info"] = [line.split() for line in info if line.startswith(("pos", "flags"))]
    return seen


def opened(result: Any) -> Any:
    """``fdlook`` and close, for an ``os.open`` or raw result."""
    if not isinstance(result, int):
        return result
    seen = fdlook(result)
    os.close(result)
    return seen


def lowest() -> int:
    """The descriptor number the kernel would hand out next."""
    fd = os.dup(0)
    os.close(fd)
    return fd


def names(path: str | bytes = ".") -> Any:
    return t(
        lambda: sorted(os.fsdecode(n).encode("utf-8", "surrogateescape").decode("latin-1") for n in os.listdir(path))
    )


def child(function: Callable[[], Any]) -> Any:
    """Run in a fork and give back its JSON value."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(r)
            _write_all(w, json.dumps(function()).encode())
            status = 0
        except BaseException:  # the child must never unwind into the parent's frames
            _write_all(w, json.dumps({"crash": traceback.format_exc(limit=3)}).encode())
        finally:
            os._exit(status)
    os.close(w)
    data = _read_all(r, pid)
    os.close(r)
    _, status = os.waitpid(pid, 0)
    return json.loads(data) if data else {"crash": f"wait status {status}"}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_all(fd: int, pid: int) -> bytes:
    data = b""
    while True:
        ready, _, _ = select.select([fd], [], [], _CASE_SECONDS)
        if not ready:
            os.kill(pid, signal.SIGKILL)
            return json.dumps({"crash": "hangs"}).encode()
        chunk = os.read(fd, 65536)
        if not chunk:
            return data
        data += chunk


def main() -> None:
    """Run the cases named on the command line, or all."""
    top = os.getcwd()
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a case's programs print is no result
    os.umask(0o022)
    results: dict[str, Any] = {}
    for key in sys.argv[1:] or list(_CASES):
        where = os.path.join(top, key)
        os.mkdir(where)

        def go(key: str = key, where: str = where) -> Any:
            os.chdir(where)
            return _CASES[key]()

        results[key] = child(go)
    _write_all(out, json.dumps(results).encode())
