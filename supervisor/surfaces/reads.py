"""Opens that only read, where files are hidden by name: what each leads to, and by which name it was asked for.

Resolved as for a write, and opened by the supervisor from what was judged, whatever it is: an open that was let go on
would read its path again, and whoever changes it in between reads what is hidden.

- ``/proc``: links to oneself are spelt with the caller's ids. Of processes outside the run only that is opened which
  asks for no access to them: the kernel refuses the rest to a run, and must not grant it to us for it (proc(5)).
- ``/dev/tty`` is another terminal in this process: the one that controls the caller is opened instead (tty(4)).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.kernel.libc import AT_FDCWD, RESOLVE_NO_MAGICLINKS, openat2
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.mounts import Alias
from supervisor.surfaces.ownlinks import own_link
from supervisor.surfaces.paths import Caller, Refused, Resolver, Spot, name_of
from supervisor.vocabulary.acts import OpenAct
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target

if TYPE_CHECKING:
    from supervisor.surfaces.files import Call

_SELF = re.compile(rb"/proc/(self|thread-self)(?=/|\Z)")
# What of another process of the run may be gone through (proc(5)); numbers as in ``ownlinks``.
_LINK = re.compile(
    rb"/proc/(?P<pid>[1-9]\d*)(?:/task/[1-9]\d*)?/(?:fd/(?:0|[1-9]\d*)|cwd|root|exe|ns/\w+)(?P<rest>/.*)?\Z", re.DOTALL
)
_PROCESS = re.compile(rb"/proc/(?P<pid>[1-9]\d*)(?P<rest>/.*)?\Z", re.DOTALL)
# Files of a process whose open asks for no access to it (fs/proc/base.c).
_OPEN_TO_ALL = frozenset(
    b"stat statm status cmdline comm cgroup limits loginuid sessionid oom_adj oom_score oom_score_adj mounts mountinfo"
    b" mountstats sched schedstat wchan io cpuset".split()
)
_OPEN_FOLDERS = frozenset((b"", b"task"))
_TTY = b"/dev/tty"
_PLAIN_DEVICES = frozenset(b"/dev/null /dev/zero /dev/full /dev/random /dev/urandom".split())
_MASTERS = (b"/dev/ptmx", b"/dev/pts/ptmx")
_OF_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATES = os.O_CREAT | os.O_EXCL | os.O_TRUNC


class Reached(NamedTuple):
    """``handle``: an O_PATH descriptor; ``name``: where it lies. ``link``: an O_PATH descriptor of the symbolic link
    that was named, -1 when it was none."""

    handle: int
    name: bytes
    link: int
    info: os.stat_result

    def close(self) -> None:
        os.close(self.handle)
        if self.link >= 0:
            os.close(self.link)

    @property
    def of_proc(self) -> bool:
        return self.name.startswith(b"/proc/") or self.name == b"/proc"


class Reads:
    """``belongs``: whether a process is of the run; ``aliases``: where else the tree is mounted."""

    def __init__(self, resolver: Resolver, belongs: Callable[[int], bool], aliases: tuple[Alias, ...] = ()) -> None:
        self._aliases = aliases
        self._resolver = resolver
        self._belongs = belongs
        self._self = b"/proc/%d/" % os.getpid()

    def attempt(self, call: Call, base: int, path: bytes, flags: int, resolve: int) -> Attempt:
        """The event and act of an open. OSError: answer that errno; ``Refused``: deny with its text."""
        if flags & os.O_PATH:
            # Only openat2(2) comes here with it. Such a descriptor cannot be handed in, and flags that the process can
            # still change are not let go on; who knows openat2 knows kernels without it.
            number = errno.EINVAL if flags & ~_OF_PATH else errno.ENOSYS
            raise OSError(number, os.strerror(number))
        try:
            reached = self.reach(call.caller, base, path, flags, resolve)
        except Refused as refused:
            refused.path = path
            raise
        given = reached.name == _TTY and stat.S_ISCHR(reached.info.st_mode)
        try:
            if given:
                terminal = os.open(_controlling(call.caller.tgid), os.O_PATH | os.O_CLOEXEC)
                os.close(reached.handle)
                reached = reached._replace(handle=terminal, name=name_of(terminal))
            target = self._of_proc(call.caller, reached) if reached.of_proc else self._resolver.describe(reached.handle)
            named = self._named(reached.link) if reached.link >= 0 else None
        except BaseException:
            reached.close()
            raise
        target = target._replace(given=target.given or given, path=self._in_tree(target.path))
        spot, link = Spot(-1, b"", reached.handle, target), Spot(-1, b"", reached.link, target)
        return self.opening(call, spot, flags, named, link)

    def opening(
        self, call: Call, spot: Spot, flags: int, named: Target | None = None, link: Spot | None = None
    ) -> Attempt:
        """The open of what ``spot`` has pinned. Devices are refused that the floor grants to no run: all but those of
        everybody and the caller's own."""
        target, kind = spot.target, spot.target.kind
        spots = (spot, link) if link is not None else (spot,)
        if kind is Kind.BLOCK or (kind is Kind.CHAR and not _may_open(target)):
            for each in spots:
                each.close()
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        if kind is Kind.CHAR and target.path not in _MASTERS:
            kind = Kind.FILE  # opened like one
        event = FsEvent(call.actor, FsOp.READ, call.name, target, named)
        act = OpenAct(-1, b"", spot.handle, flags & ~_CREATES, 0, call.caller.tid, kind, target.path, own=target.made)
        return Attempt(event, act, spots)

    def _in_tree(self, path: bytes) -> bytes:
        """The name in the tree of what is seen elsewhere too."""
        for alias in self._aliases:
            if path == alias.path or path.startswith(alias.path + b"/"):
                return alias.real + path[len(alias.path) :]
        return path

    def _named(self, link: int) -> Target | None:
        """The symbolic link that was named; no rule speaks of those in ``/proc``."""
        if name_of(link).startswith(b"/proc/"):
            return None
        named = self._resolver.describe(link)
        return named._replace(path=self._in_tree(named.path))

    def _of_proc(self, caller: Caller, reached: Reached) -> Target:
        info, match = reached.info, _PROCESS.match(reached.name)
        kind = Kind.DIR if stat.S_ISDIR(info.st_mode) else Kind.FILE
        if match is not None and (pid := int(match["pid"])) != caller.tgid:
            names = _OPEN_FOLDERS if kind is Kind.DIR else _OPEN_TO_ALL
            inner = re.sub(rb"^/task/\d+", b"", match["rest"] or b"").lstrip(b"/")
            if inner not in names and not self._belongs(pid):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return Target(reached.name, kind, info.st_dev, info.st_ino, info.st_nlink)

    def reach(self, caller: Caller, base: int, path: bytes, flags: int, resolve: int = 0) -> Reached:
        """What an open leads to. Errors: those of path_resolution(7), ``Refused``."""
        if path.startswith(b"/proc"):
            path = _SELF.sub(lambda match: _spelt(match[1], caller), path, count=1)
        nofollow = bool(flags & os.O_NOFOLLOW)
        # A link of the caller's own has no name that a rule could speak of.
        named = nofollow or own_link(path, caller.tgid, caller.tid) is None
        handle = self._walk(caller, base, path, resolve, nofollow=named)
        link = -1
        try:
            info = os.fstat(handle)
            if stat.S_ISLNK(info.st_mode):
                if nofollow:
                    number = errno.ENOTDIR if flags & os.O_DIRECTORY else errno.ELOOP
                    raise OSError(number, os.strerror(number))
                link, handle = handle, -1
                handle = self._walk(caller, base, path, resolve, nofollow=False)
                info = os.fstat(handle)
            reached = Reached(handle, name_of(handle), link, info)
            if not reached.name.startswith(self._self) or self._self[:-1] in path:
                return reached
            # A link to oneself on the way (/etc/mtab, /proc/net) led to the supervisor.
            again = b"/proc/%d/%s" % (caller.tgid, reached.name[len(self._self) :])
            own = self._walk(caller, AT_FDCWD, again, 0, nofollow=False)
            os.close(handle)
            handle = own
            return Reached(handle, name_of(handle), link, os.fstat(handle))
        except BaseException:
            for fd in (handle, link):
                if fd >= 0:
                    os.close(fd)
            raise

    def _walk(self, caller: Caller, base: int, path: bytes, resolve: int, *, nofollow: bool) -> int:
        try:
            return self._resolver.reach(caller, base, path, nofollow=nofollow, resolve=resolve)
        except Refused:
            handle = None if resolve else self._through(caller, base, path)
            if handle is None:
                raise
            return handle

    def _through(self, caller: Caller, base: int, path: bytes) -> int | None:
        """What a link in ``/proc`` of a process of the run leads to; None when it is none. Its processes may look at
        each other, and at nobody else: the kernel would refuse it to them, and must not grant it to us for them."""
        if not path.startswith(b"/"):
            start = b"cwd" if base == AT_FDCWD else b"fd/%d" % base
            path = os.readlink(b"/proc/%d/%s" % (caller.tid, start)) + b"/" + path
        match = _LINK.match(_SELF.sub(lambda found: _spelt(found[1], caller), path, count=1))
        if match is None or not self._belongs(int(match["pid"])):
            return None
        rest = (match["rest"] or b"").lstrip(b"/")
        entry = match[0][: len(match[0]) - len(match["rest"] or b"")]
        handle = os.open(entry, os.O_PATH | os.O_CLOEXEC)
        if not rest:
            return handle
        try:
            return openat2(handle, rest, os.O_PATH, 0, RESOLVE_NO_MAGICLINKS)
        finally:
            os.close(handle)


def _may_open(target: Target) -> bool:
    return target.made or target.given or target.path in _PLAIN_DEVICES or target.path in _MASTERS


def _controlling(tgid: int) -> bytes:
    """The terminal that controls a process. ENXIO when there is none (tty(4)); proc(5), field 7 of stat."""
    with open(f"/proc/{tgid}/stat", "rb") as file:
        number = int(file.read().rpartition(b")")[2].split()[4])
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if not number:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    if 136 <= major < 144:  # admin-guide/devices.txt: the other ends of pseudo-terminals
        return b"/dev/pts/%d" % (minor + (major - 136 << 8))
    return b"/dev/" + os.path.basename(os.readlink(b"/sys/dev/char/%d:%d" % (major, minor)))


def _spelt(word: bytes, caller: Caller) -> bytes:
    own = b"/proc/%d" % caller.tgid
    return own if word == b"self" else own + b"/task/%d" % caller.tid
