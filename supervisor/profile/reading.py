"""Bytes of a profile, pack or decision record: read once, bounded, from a regular file and nothing else."""

from __future__ import annotations

import errno
import os
import stat

from supervisor.profile.problems import Problems

PROFILE_LIMIT = 256 << 10


def read_file(path: str, name: str, problems: Problems, *, limit: int = PROFILE_LIMIT) -> bytes | None:
    """The bytes of ``path``, or None if it does not exist or an error was reported under ``name``.

    O_NOFOLLOW: what a link points to can change without the link (open(2): ELOOP). O_NONBLOCK: opening a FIFO without a
    writer must not wait; on regular files it has no effect.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            problems.error(name, 0, "is a symbolic link; put the file itself here")
        else:
            problems.error(name, 0, f"cannot be opened: {os.strerror(error.errno or 0)}")
        return None
    except ValueError:
        problems.error(name, 0, "is not a usable file name")
        return None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            problems.error(name, 0, f"is {_kind(mode)}, not a regular file")
            return None
        parts, size = [], 0
        while size <= limit and (part := os.read(fd, limit + 1 - size)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        problems.error(name, 0, f"cannot be read: {os.strerror(error.errno or 0)}")
        return None
    finally:
        os.close(fd)
    if size > limit:
        problems.error(name, 0, f"is larger than {limit >> 10} KiB")
        return None
    return b"".join(parts)


def decode(data: bytes, name: str, problems: Problems) -> str | None:
    """UTF-8 text without a byte order mark, or None with the error reported."""
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        problems.error(name, 1, "starts with a byte order mark; save it as UTF-8 without one")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.error(name, line, f"is not UTF-8 (byte 0x{data[error.start]:02x})")
        return None


def parse_toml(text: str, name: str, problems: Problems) -> dict[str, object] | None:
    """The document, or None with the syntax error reported at its line."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        problems.error(name, 1, "is nested too deeply")
    except ValueError as error:  # TOMLDecodeError, and int() on thousands of digits
        message, _, rest = str(error).partition(" (at ")
        if rest.startswith("line "):
            digits = rest[5:].split(",", 1)[0]
            line = int(digits) if digits.isdigit() else 1
        else:
            line = text.count("\n") + (not text.endswith("\n")) if rest.startswith("end") else 1
        problems.error(name, max(line, 1), f"is not valid TOML: {message[:200]}")
    return None


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    ):
        if test(mode):
            return word
    return "something else"
