"""Breaking hard links: one name of a shared inode gets a copy of its own, at full fidelity, in one step."""

from __future__ import annotations

import errno
import os

from supervisor.kernel import libc

_LARGEST = 64 << 20  # a larger shared file is refused: copying it would hold up every other process


def break_link(handle: int, path: bytes, keep: bool) -> int:
    """Replace ``path``, a name of the inode behind ``handle``, by a copy (empty unless ``keep``).

    Returns an O_PATH descriptor of the copy. Errors: ETXTBSY-free ``OSError`` (EFBIG over 64 MiB; ESTALE when the name
    no longer leads to the inode). Mode, times and extended attributes are kept.
    """
    info = os.fstat(handle)
    if keep and info.st_size > _LARGEST:
        raise OSError(errno.EFBIG, "a file this large is shared with names outside the run")
    folder, name = os.path.split(path)
    parent = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = b".govrun-%s" % os.urandom(8).hex().encode()
    try:
        there = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if (there.st_dev, there.st_ino) != (info.st_dev, info.st_ino):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        _copy(handle, info, parent, temporary, keep)
        try:
            libc.renameat2(parent, temporary, parent, name, 0)
        except OSError:
            os.unlink(temporary, dir_fd=parent)
            raise
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)


def renew(path: bytes, content: bytes) -> None:
    """Give ``path`` a new inode with the mode it has and this content: whoever holds the old one open writes into
    nothing. Errors leave as ``OSError``, with the old one in place."""
    folder, name = os.path.split(path)
    parent = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = b".govrun-%s" % os.urandom(8).hex().encode()
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode & 0o7777
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        target = os.open(temporary, flags, 0o600, dir_fd=parent)
        try:
            with open(target, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
            libc.renameat2(parent, temporary, parent, name, 0)
        except OSError:
            os.unlink(temporary, dir_fd=parent)
            raise
    finally:
        os.close(parent)


def _copy(handle: int, info: os.stat_result, parent: int, name: bytes, keep: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    target = os.open(name, flags, 0o600, dir_fd=parent)
    try:
        source_path = b"/proc/self/fd/%d" % handle
        if keep:
            source = os.open(source_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                while os.copy_file_range(source, target, 1 << 24):
                    pass
            finally:
                os.close(source)
        for key in os.listxattr(source_path):
            os.setxattr(target, key, os.getxattr(source_path, key))
        os.fchmod(target, info.st_mode & 0o7777)
        os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
    except OSError:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(target)
