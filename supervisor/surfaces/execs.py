"""execve(2) -> exec events: what is asked for at the call, and what is really there at the exec stop."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.kernel import memory
from supervisor.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from supervisor.surfaces.contents import told_by_kernel
from supervisor.surfaces.files import Call, dirfd
from supervisor.surfaces.ownlinks import own_link
from supervisor.surfaces.paths import Caller, Refused, Resolver, Spot
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target

_MOST_ENVIRONMENT = 8 << 20  # the kernel takes 6 MiB of arguments and environment at most (execve(2))
_OWN_EXE = re.compile(rb"/proc/(?:self|thread-self|(\d+))/exe\Z")


class Judged(NamedTuple):
    """The exec that was judged: its event, and the name the kernel would give a script of it."""

    event: ExecEvent
    script: bytes


class Execs:
    """``hide`` are folders whose mention in an argument is reported with the event."""

    def __init__(self, resolver: Resolver, hide: tuple[bytes, ...]) -> None:
        self._resolver = resolver
        self._hide = hide
        self._hints = tuple(folder.rpartition(b"/")[2] for folder in hide)

    def attempt(self, call: Call) -> Judged:
        """The program and arguments of an execve or execveat. OSError: answer that errno (a PATH probe that finds
        nothing, a file that is no program)."""
        if call.name == "execve":
            base, path_at, argv_at, flags = AT_FDCWD, call.args[0], call.args[1], 0
        else:
            base, path_at, argv_at, flags = dirfd(call.args[0]), call.args[1], call.args[2], call.args[4] & 0xFFFFFFFF
        if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        path = memory.string(call.caller.tid, path_at)
        spot, script = self._program(call.caller, base, path, flags)
        try:
            refusal = _unusable(spot)
            argv = memory.strings(call.caller.tid, argv_at)
            cwd = os.readlink(b"/proc/%d/cwd" % call.caller.tid)
        finally:
            spot.close()
        target = spot.target
        event = ExecEvent(
            call.actor,
            target,
            path,
            argv or (b"",),  # Linux 5.18 puts an empty string where there is none
            cwd,
            "call",
            _alias(path, target.path, cwd) if base == AT_FDCWD or path.startswith(b"/") else b"",
            anonymous=target.unlinked,
            hidden=self._mentions(argv, cwd) if self._hide else (),
            refusal=refusal,
        )
        return Judged(event, script)

    def _program(self, caller: Caller, base: int, path: bytes, flags: int) -> tuple[Spot, bytes]:
        if path == b"" and flags & AT_EMPTY_PATH:
            return self._resolver.descriptor(caller, base), b"/dev/fd/%d" % base
        own = _OWN_EXE.match(path)
        if own is not None and own[1] in (None, b"%d" % caller.tgid):
            handle = os.open(b"/proc/%d/exe" % caller.tgid, os.O_PATH | os.O_CLOEXEC)
            return self._resolver.pinned(handle), path
        spot = self._resolver.existing(caller, base, path, nofollow=bool(flags & AT_SYMLINK_NOFOLLOW))
        script = path if base == AT_FDCWD or path.startswith(b"/") else b"/dev/fd/%d/%s" % (base, path)
        return spot, script

    def _mentions(self, argv: tuple[bytes, ...], cwd: bytes) -> tuple[bytes, ...]:
        found = []
        for word in argv[1:64]:
            if not any(hint in word for hint in self._hints):
                continue
            full = os.path.normpath(word if word.startswith(b"/") else cwd + b"/" + word)
            if full.startswith(b"/proc/"):  # through a root or cwd link there; only to tell the reason
                full = os.path.realpath(full)
            if any(full == folder or full.startswith(folder + b"/") for folder in self._hide) and os.path.lexists(full):
                found.append(full)
        return tuple(found)


def _alias(given: bytes, path: bytes, cwd: bytes) -> bytes:
    """Where a program was found under another name than its own (/usr/bin/awk, which is mawk); empty otherwise."""
    folder, name = os.path.split(given if given.startswith(b"/") else cwd + b"/" + given)
    if name == path.rpartition(b"/")[2] or folder.startswith((b"/proc", b"/dev")):
        return b""
    return os.path.realpath(folder) + b"/" + name


def _unusable(spot: Spot) -> str:
    """Raise what the kernel would answer for a file that is no program; say why one cannot be supervised."""
    target, path = spot.target, b"/proc/self/fd/%d" % spot.handle
    if target.kind is Kind.LINK:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.kind is not Kind.FILE or not os.access(path, os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    if not os.access(path, os.R_OK):
        # The kernel makes such an image undumpable: its memory, and so its acts, could not be read.
        return "a program that its user cannot read cannot be supervised"
    return ""


def verify(judged: Judged, pid: int) -> ExecEvent | None:
    """At the exec stop: the judged event as it came true (``stage`` "stop", with the script chain), or None when
    program or arguments are not what was judged. Nothing of the new image has run yet. OSError: the process is gone."""
    event = judged.event
    image = os.stat(f"/proc/{pid}/exe")
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        raw = file.read()
    argv = tuple(raw.split(b"\0")[:-1])
    if (image.st_dev, image.st_ino) == (event.target.dev, event.target.ino):
        return event._replace(stage="stop") if argv == event.argv else None
    # A script: the kernel put the interpreter, its option and the script's own name before argv[1:] (execve(2)).
    prefix = argv[: len(argv) - len(event.argv) + 1]
    if len(prefix) < 2 or argv[len(prefix) :] != event.argv[1:] or prefix[-1] != judged.script:
        return None
    if not _same_file(pid, judged.script, event.target):
        return None
    return event._replace(stage="stop", chain=prefix[:-1])


def _same_file(pid: int, script: bytes, target: Target) -> bool:
    link = own_link(script, pid, pid)
    if _OWN_EXE.match(script) or (link is not None and not link.entry):
        return False  # at the stop the one already names the interpreter, and the other nothing of this process
    if link is not None:
        script = link.entry + link.rest
    elif not script.startswith(b"/"):
        script = b"/proc/%d/cwd/%s" % (pid, script)
    found = os.stat(script)
    return (found.st_dev, found.st_ino) == (target.dev, target.ino)


def image_of(actor: Actor, pid: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Executable and arguments of a process that has just executed."""
    try:
        exe = os.readlink(b"/proc/%d/exe" % pid)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return exe, tuple(file.read(65536).split(b"\0")[:-1])
    except OSError:
        return actor.exe, actor.argv


def variables(words: Iterable[bytes]) -> dict[bytes, bytes]:
    """An environment by name; of two values of one name the first counts, as for getenv(3)."""
    found: dict[bytes, bytes] = {}
    for word in words:
        name, equals, value = word.partition(b"=")
        if equals:
            found.setdefault(name, value)
    return found


def environment_of(pid: int) -> dict[bytes, bytes]:
    """The environment that a process was executed with. OSError: it is gone."""
    return variables(told_by_kernel(f"/proc/{pid}/environ", _MOST_ENVIRONMENT).split(b"\0"))


__all__ = ["Execs", "Judged", "Refused", "environment_of", "image_of", "variables", "verify"]
