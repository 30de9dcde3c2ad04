"""Control groups of version 2: where one can be made, and one that was made (cgroups(7), Documentation/admin-guide/
cgroup-v2.rst).

A group lies below the one that this process is in, so whoever has limited that has limited it too. The kernel lends
controllers only to children of a group that has no processes of its own; the root of the hierarchy is the exception.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.vocabulary.errors import HostError

PREFIX = "govrun-"
_TRIES = 100
_PAUSE = 0.01  # seconds between tries to remove a group whose processes are ending
_DELEGATED = "systemd-run --user --scope -p Delegate=yes govrun …"


class Offer(NamedTuple):
    """``path``: the folder of the group below which one can be made, empty where none can. ``controllers``: those that
    can be given limits. ``alone``: this process has to move for that, as it is the only one in the group. ``why``:
    what is missing, and what helps."""

    path: str = ""
    controllers: frozenset[str] = frozenset()
    alone: bool = False
    why: str = ""


def look(wanted: Iterable[str]) -> Offer:
    """What this process could have. Changes nothing."""
    place = _own_group()
    if place is None:
        return Offer(why="no cgroup v2 file system is mounted, or it does not show the group of this process")
    if not (os.access(place, os.W_OK | os.X_OK) and os.access(f"{place}/cgroup.procs", os.W_OK)):
        return Offer(why=f"the cgroup {place} is not this user's to divide; {_DELEGATED} starts in one that is")
    top = not os.path.exists(f"{place}/cgroup.type")
    if not top and _read(f"{place}/cgroup.type").strip() != "domain":
        return Offer(why=f"the cgroup {place} holds threads, not processes")
    if not top and os.path.isdir("/run/systemd/system") and not _is_delegated(place):
        return Offer(why=f"systemd keeps the cgroup {place} for itself; {_DELEGATED} starts in one that it does not")
    there = frozenset(_read(f"{place}/cgroup.controllers").split())
    missing = [name for name in wanted if name not in there]
    why = f"cgroup v2 has no controller {' and '.join(missing)} here" if missing else ""
    others = frozenset(_read(f"{place}/cgroup.procs").split()) - {str(os.getpid())}
    if not top and others:
        why = f"other processes are in the cgroup {place}, so it lends no controllers; {_DELEGATED} starts in one alone"
        return Offer(place, why=why)
    return Offer(place, there.intersection(wanted), not top, why)


class Group:
    """A group named ``name``, which is made here with its limits: file -> what is written there (``pids.max`` …).

    ``procs``, ``kill_fd``, ``freeze_fd``: its control files, opened while this process may: what is written there later
    is judged by who opened them. Errors: ``HostError``; then nothing is left of it.
    """

    def __init__(self, offer: Offer, name: str, limits: dict[str, str]) -> None:
        self.path = f"{offer.path}/{PREFIX}{name}"
        self._base = offer.path
        self._own = f"{self.path}-own" if offer.alone and limits else ""
        self._enabled: list[str] = []
        self.procs = self._kill = self._freeze = -1
        try:
            if limits:
                self._enable(dict.fromkeys(file.partition(".")[0] for file in limits))
            os.mkdir(self.path, 0o755)
            for file, value in limits.items():
                _write(f"{self.path}/{file}", value)
            self.procs, self._kill, self._freeze = (
                os.open(f"{self.path}/{file}", os.O_WRONLY | os.O_CLOEXEC)
                for file in ("cgroup.procs", "cgroup.kill", "cgroup.freeze")
            )
        except OSError as error:
            self.remove()
            fix = "start without the limits in [scope], or in a cgroup of your own: " + _DELEGATED
            raise HostError("cannot make a cgroup for the run", str(error), fix) from error

    def _enable(self, controllers: Iterable[str]) -> None:
        if self._own:
            os.mkdir(self._own, 0o755)
            _write(f"{self._own}/cgroup.procs", "0")
        known = _read(f"{self._base}/cgroup.subtree_control").split()
        for name in controllers:
            if name not in known:
                _write(f"{self._base}/cgroup.subtree_control", f"+{name}")
                self._enabled.append(name)

    def kill(self) -> None:
        """End every process in it at once, also those that are being started."""
        os.write(self._kill, b"1")

    def freeze(self, *, still: bool) -> None:
        """Hold every process in it still, or let them go on. The kernel does it in its own time."""
        os.write(self._freeze, b"1" if still else b"0")

    def remove(self) -> bool:
        """Take everything back; whoever is left in it is killed. False: it is still there."""
        for fd in (self.procs, self._kill, self._freeze):
            if fd >= 0:
                os.close(fd)
        self.procs = self._kill = self._freeze = -1
        return remove(self.path, self._enabled)


def remove(path: str, enabled: Iterable[str] = ("memory", "pids")) -> bool:
    """Take away the group at ``path`` with whoever is left in it, and the one beside it that its supervisor was in.
    ``enabled``: controllers that were switched on for it. False: it is still there."""
    base, _, name = path.rpartition("/")
    if not name.startswith(PREFIX) or not os.path.isfile(f"{base}/cgroup.procs"):
        return True  # nothing of ours
    gone = _remove(path, kill=True)
    own = f"{path}-own"
    if os.path.isdir(own):
        for controller in enabled:
            _try(f"{base}/cgroup.subtree_control", f"-{controller}")
        for pid in _lines(f"{own}/cgroup.procs"):
            _try(f"{base}/cgroup.procs", pid)
        gone = _remove(own, kill=False) and gone
    return gone


def _remove(path: str, *, kill: bool) -> bool:
    for _ in range(_TRIES):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                return False
        else:
            return True
        if kill:
            _try(f"{path}/cgroup.kill", "1")
        time.sleep(_PAUSE)
    return False


def _own_group() -> str | None:
    """The folder of the group this process is in."""
    own = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::/")), None)
    if own is None or own.startswith("/.."):
        return None
    for line in _lines("/proc/self/mountinfo"):  # proc(5): … root, mount point, options, fields, "-", type
        words = line.split(" ")
        if "-" not in words or words[words.index("-") + 1] != "cgroup2":
            continue
        root, point = (word.encode().decode("unicode_escape") for word in words[3:5])
        if own == root or own.startswith(root.rstrip("/") + "/"):
            found = (point + "/" + own[len(root.rstrip("/")) :].strip("/")).rstrip("/")
            if os.path.isfile(f"{found}/cgroup.procs"):
                return found
    return None


def _is_delegated(path: str) -> bool:
    """Whether systemd leaves what lies below to others (its CGROUP_DELEGATION document)."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(path, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _lines(path: str) -> list[str]:
    return _read(path).splitlines()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _try(path: str, text: str) -> None:
    try:
        _write(path, text)
    except OSError:
        return  # gone, or not ours any more
