"""File acts performed for a process, from the handles that were judged.

The supervisor has the same user and groups as the run and no capabilities, so the kernel applies the same permissions
as it would have applied to the process itself. Nothing here blocks: opens are non-blocking, and what has to wait (a
FIFO without a reader, a lease) becomes ``Held``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Callable

from supervisor.enforce.links import break_link
from supervisor.kernel import libc, process
from supervisor.vocabulary.acts import CONTINUE, DONE, Held, OpenAct, PathAct, Reply
from supervisor.vocabulary.events import Kind

_ONLY_CREATION = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_GUARDED = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# What F_SETFL takes (fcntl(2)); it leaves the access mode alone.
_SETTABLE = os.O_APPEND | os.O_ASYNC | os.O_DIRECT | os.O_NOATIME | os.O_NONBLOCK
_MASTERS = (b"/dev/ptmx", b"/dev/pts/ptmx")
_TIOCGPTN = 0x80045430  # asm-generic/ioctls.h
_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY


def open_for(act: OpenAct, new_terminal: Callable[[bytes], None]) -> Reply | Held:
    """Open what was judged. Errors are those of open(2) and leave as ``OSError``. ``new_terminal`` is told the name of
    each pseudo-terminal whose master is opened here."""
    if act.kind is Kind.CHAR:
        return _device(act, new_terminal)
    if act.flags & (os.O_CREAT | os.O_TRUNC) and not _has_room(act.tid):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if act.kind is Kind.FIFO and not act.flags & os.O_NONBLOCK:
        if act.flags & os.O_ACCMODE == os.O_RDONLY:
            return CONTINUE  # O_CREAT on a FIFO that exists: reading it is not a mutation, and waits in the process
        if act.flags & os.O_ACCMODE == os.O_WRONLY:
            return _wait_for_reader(act)
    if act.links and act.handle >= 0:
        return _reply(act, _open_unlinked_copy(act))
    try:
        return _reply(act, _open(act))
    except BlockingIOError:
        if act.flags & os.O_NONBLOCK:
            raise
        return _wait(act)  # somebody holds a lease (fcntl(2)); a blocking open here would stop every other process


def _device(act: OpenAct, new_terminal: Callable[[bytes], None]) -> Reply:
    """Devices are opened by the process itself: /dev/tty would be the supervisor's terminal here, and the floor bounds
    what a swapped path could reach. Pseudo-terminals are opened for it, since the floor grants no others than those it
    was started on: another one belongs to somebody else."""
    if act.path in _MASTERS:
        reply = _reply(act, os.open(b"/proc/self/fd/%d" % act.handle, act.flags & ~_ONLY_CREATION | _GUARDED))
        number = int.from_bytes(fcntl.ioctl(reply.fd, _TIOCGPTN, b"\0" * 4), "little")
        new_terminal(b"/dev/pts/%d" % number)
        return reply
    return _reply(act, _open(act)) if act.own else CONTINUE


def _open(act: OpenAct) -> int:
    if act.handle >= 0:
        flags = act.flags & ~(0 if act.flags & _TMPFILE else _ONLY_CREATION) | _GUARDED
        return os.open(b"/proc/self/fd/%d" % act.handle, flags, act.mode)
    # Not O_NOFOLLOW: it would stay visible in the file's flags.
    resolve = libc.RESOLVE_NO_SYMLINKS | libc.RESOLVE_NO_MAGICLINKS
    flags = act.flags | _GUARDED
    return libc.openat2(act.parent, act.name, flags, act.mode if flags & os.O_CREAT else 0, resolve)


def _open_unlinked_copy(act: OpenAct) -> int:
    """A name of a file that has others outside the run gets an inode of its own first (package managers hard-link
    their stores into trees: writing the tree's name would change the store)."""
    keep = not act.flags & os.O_TRUNC
    fresh = break_link(act.handle, act.path, keep)
    try:
        return _open(act._replace(handle=fresh))
    finally:
        os.close(fresh)


def _reply(act: OpenAct, fd: int) -> Reply:
    if not act.flags & os.O_NONBLOCK:
        fcntl.fcntl(fd, fcntl.F_SETFL, act.flags & _SETTABLE)
    return Reply(fd=fd, cloexec=bool(act.flags & os.O_CLOEXEC))


def _wait(act: OpenAct) -> Held:
    kept = act._replace(
        handle=os.dup(act.handle) if act.handle >= 0 else -1, parent=os.dup(act.parent) if act.parent >= 0 else -1
    )

    def close() -> None:
        for fd in (kept.handle, kept.parent):
            if fd >= 0:
                os.close(fd)

    def retry() -> Reply | None:
        try:
            fd = _open(kept)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.ENXIO):
                return None
            close()
            return Reply(error=libc.errno_of(error))
        close()
        return _reply(kept, fd)

    return Held(retry, close)


def _wait_for_reader(act: OpenAct) -> Reply | Held:
    """open(O_WRONLY) of a FIFO waits for a reader; asked without blocking it says ENXIO (fifo(7))."""
    try:
        return _reply(act, _open(act))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    return _wait(act)


def _has_room(tid: int) -> bool:
    """Whether the process can take one more descriptor: asked before anything is created or truncated for it."""
    soft, _ = resource.prlimit(tid, resource.RLIMIT_NOFILE)
    return process.open_descriptors(tid) < soft


def perform(act: PathAct) -> Reply | Held:
    """Carry out one path call. Errors are those of the call and leave as ``OSError``."""
    match act.call:
        case "unlink":
            os.unlink(act.name, dir_fd=act.parent)
        case "rmdir":
            os.rmdir(act.name, dir_fd=act.parent)
        case "mkdir":
            os.mkdir(act.name, act.mode & 0o7777, dir_fd=act.parent)
        case "mknod":
            os.mknod(act.name, act.mode, act.dev, dir_fd=act.parent)
        case "symlink":
            os.symlink(act.text, act.name, dir_fd=act.parent)
        case "link":
            source = b"/proc/self/fd/%d" % act.handle
            libc.linkat(libc.AT_FDCWD, source, act.other_parent, act.other_name, libc.AT_SYMLINK_FOLLOW)
        case "rename":
            _rename(act)
        case "truncate":
            return _truncate(act)
        case _ if act.links:
            apart = break_link(act.handle, act.name, True)
            try:
                _attribute(act, b"/proc/self/fd/%d" % apart)
            finally:
                os.close(apart)
        case _:
            _attribute(act, b"/proc/self/fd/%d" % act.handle)
    return DONE


def _attribute(act: PathAct, path: bytes) -> None:
    # `path` is our own O_PATH descriptor: following it ends at the pinned inode, also at a symbolic link itself.
    match act.call:
        case "chmod":
            os.chmod(path, act.mode)
        case "chown":
            os.chown(path, act.uid, act.gid)
        case "utimens":
            libc.utimensat(libc.AT_FDCWD, path, act.times, 0)
        case "setxattr":
            os.setxattr(path, act.xattr, act.value, act.flags)
        case "removexattr":
            os.removexattr(path, act.xattr)
        case _:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _rename(act: PathAct) -> None:
    if act.replace is None:
        libc.renameat2(act.parent, act.name, act.other_parent, act.other_name, act.flags)
        return
    # The judged bytes land as a fresh inode; the lock file, which the process may still have open, goes away.
    info = os.fstat(act.handle)
    temporary = b".govrun-%s" % os.urandom(8).hex().encode()
    fd = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=act.other_parent
    )
    try:
        try:
            os.fchmod(fd, info.st_mode & 0o7777)
            view = memoryview(act.replace)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        libc.renameat2(act.other_parent, temporary, act.other_parent, act.other_name, act.flags)
    except OSError:
        os.unlink(temporary, dir_fd=act.other_parent)
        raise
    os.unlink(act.name, dir_fd=act.parent)


def _truncate(act: PathAct) -> Reply | Held:
    """truncate(2) as open and ftruncate: the call itself would wait for a lease holder, and the loop with it."""
    _within_file_limit(act)
    path = b"/proc/self/fd/%d" % act.handle
    if act.links:
        handle = break_link(act.handle, os.readlink(path), True)
        path = b"/proc/self/fd/%d" % handle
    else:
        handle = -1
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except BlockingIOError:
        kept = os.dup(act.handle)

        def retry() -> Reply | None:
            try:
                _truncate_fd(os.open(b"/proc/self/fd/%d" % kept, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC), act.size)
            except BlockingIOError:
                return None
            except OSError as error:
                os.close(kept)
                return Reply(error=libc.errno_of(error))
            os.close(kept)
            return DONE

        return Held(retry, lambda: os.close(kept))
    finally:
        if handle >= 0:
            os.close(handle)
    _truncate_fd(fd, act.size)
    return DONE


def _within_file_limit(act: PathAct) -> None:
    """RLIMIT_FSIZE of the process, which the kernel would look up in ours: EFBIG, and SIGXFSZ for the process."""
    soft, _ = resource.prlimit(act.tid, resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY and act.size > soft and act.size > os.fstat(act.handle).st_size:
        os.kill(act.tid, signal.SIGXFSZ)
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def _truncate_fd(fd: int, size: int) -> None:
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
