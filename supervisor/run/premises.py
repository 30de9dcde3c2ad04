"""What a run needs of a machine besides its kernel: git, folders of the user's, room. For ``doctor``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from supervisor.journal.store import check_makeable, state_path
from supervisor.run.place import TEMPORARY, cache_base, check_tree, home_folder, place_of, working_directory
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.host import Gap

MINIMUM_GIT: Final = (2, 27)  # update-ref --stdin with transactions
LITTLE_ROOM: Final = 256 << 20
NO_ROOM: Final = 1 << 20
# Where locks or renames of one machine are not what another one sees.
NETWORK: Final = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs",
))  # fmt: skip


class Premises(NamedTuple):
    """``git`` is empty without one, ``git_version`` its numbers. ``state_problem`` is (what, why, fix), or empty.
    ``free`` are the bytes that this user may still write beside ``state``, None where that cannot be told.
    ``options`` are the mount options there (``noexec``), ``cache_options`` those of the package caches. ``here`` is the
    tree that a run would govern, or why the working directory has none (``here_problem``)."""

    git: str = ""
    git_version: tuple[int, ...] = ()
    state: str = ""
    state_problem: tuple[str, str, str] | None = None
    filesystem: str = ""
    options: frozenset[str] = frozenset()
    cache_options: frozenset[str] = frozenset()
    free: int | None = None
    temporary: str = ""
    here: str = ""
    here_problem: tuple[str, str, str] | None = None


def premises(environ: Mapping[str, str]) -> Premises:
    """Look at everything; changes nothing, raises nothing."""
    found = Premises(temporary=next((p for p in map(os.fsdecode, TEMPORARY) if os.access(p, os.W_OK | os.X_OK)), ""))
    git, version = _git()
    found = found._replace(git=git, git_version=version)
    try:
        state = state_path(environ)
        found = found._replace(state=str(state))
        check_makeable(state)
    except GovrunError as error:
        found = found._replace(state_problem=(error.what, error.why, error.fix))
    if found.state:
        there = _existing(Path(found.state))
        filesystem, options = mount_of(str(there))
        found = found._replace(filesystem=filesystem, options=options, free=_free(there))
    return _here(found, environ)


def _here(found: Premises, environ: Mapping[str, str]) -> Premises:
    try:
        home = Path(os.path.realpath(home_folder(environ)))
        place = place_of(working_directory(), None)
        check_tree(place, home, Path(found.state or "/nonexistent"), explicit=False)
        caches = _existing(cache_base(dict(environ), home, place.tree))
    except GovrunError as error:
        return found._replace(here_problem=(error.what, error.why, error.fix))
    return found._replace(here=str(place.tree), cache_options=mount_of(str(caches))[1])


def _git() -> tuple[str, tuple[int, ...]]:
    from supervisor.git.neutral import Git
    from supervisor.git.program import find_git

    try:
        path = find_git()
        told = Git(None, timeout=10.0).run(["--version"]).decode("utf-8", "replace")
    except GovrunError as error:
        return ("" if "not installed" in error.what else find_git()), ()
    return path, tuple(int(part) for part in re.findall(r"\d+", told)[:3])


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not os.path.lexists(path):
        path = path.parent
    return path


def mount_of(path: str, table: str = "/proc/self/mountinfo") -> tuple[str, frozenset[str]]:
    """Type and options of the file system that holds ``path`` (proc(5), mountinfo); empty where that cannot be read."""
    best, found = -1, ("", frozenset[str]())
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                fields, _, rest = line.partition(" - ")
                words, kind = fields.split(), rest.split()
                point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4])
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= best:  # of two on one point the later one is on top
                    options = frozenset((*words[5].split(","), *kind[2].split(",")))
                    best, found = len(point), (kind[0], options)
    except (OSError, IndexError):
        return "", frozenset()
    return found


def _free(there: Path) -> int | None:
    try:
        room = os.statvfs(there)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize


def gaps(found: Premises) -> tuple[Gap, ...]:
    """What is missing, the blocking ones first."""
    told = [*_git_gaps(found), *_state_gaps(found), *_other_gaps(found)]
    return tuple(sorted(told, key=lambda gap: not gap.blocks))


def _git_gaps(found: Premises) -> list[Gap]:
    install = "Debian, Ubuntu: apt install git\nFedora, RHEL: dnf install git\nArch: pacman -S git\nAlpine: apk add git"
    if not found.git:
        return [Gap("git", "git is not installed in /usr/bin, /bin or /usr/local/bin",
                    "commits of a run are judged and noted by it; a repository is not governed without", install,
                    True)]  # fmt: skip
    if not found.git_version:
        return [Gap("git", f"{found.git} does not tell its version", "it may be broken", install, True)]
    if found.git_version < MINIMUM_GIT:
        version = ".".join(map(str, found.git_version))
        return [Gap("git", f"git {version} is too old: 2.27 is needed",
                    "notes are written by a transaction of refs that it does not know", install, True)]  # fmt: skip
    return []


def _state_gaps(found: Premises) -> list[Gap]:
    if found.state_problem is not None:
        return [Gap("state", *found.state_problem, True)]
    gaps: list[Gap] = []
    elsewhere = "export XDG_STATE_HOME=/some/local/folder/of/yours"
    if "ro" in found.options:
        gaps.append(Gap("state", f"the file system of {found.state} is mounted read-only",
                        "the record of a run is written there", elsewhere, True))  # fmt: skip
    if found.free is not None and found.free < LITTLE_ROOM:
        size = f"{found.free >> 20} MiB"
        gaps.append(Gap("room", f"little room for records: {size} free beside {found.state}",
                        "a run that cannot write its record is stopped",
                        f"free some space there, or: {elsewhere}", found.free < NO_ROOM))  # fmt: skip
    if found.filesystem in NETWORK:
        gaps.append(Gap("network", f"{found.state} is on a network file system ({found.filesystem})",
                        "each record waits for it, and `govrun recover` on another machine cannot tell live runs",
                        elsewhere, False))  # fmt: skip
    return gaps


def _other_gaps(found: Premises) -> list[Gap]:
    gaps: list[Gap] = []
    if not found.temporary:
        gaps.append(Gap("temporary", "no temporary space can be written: /tmp, /var/tmp, /dev/shm",
                        "a run gets a folder of its own there; many programs need one",
                        "sudo chmod 1777 /tmp", False))  # fmt: skip
    if "noexec" in found.cache_options:
        gaps.append(Gap("caches", "the package caches of this tree are on a file system without programs (noexec)",
                        "npx, uvx and pre-commit start what lies there",
                        "export XDG_CACHE_HOME=/some/folder where programs may start", False))  # fmt: skip
    if found.here_problem is not None:
        what, why, fix = found.here_problem
        gaps.append(Gap("here", f"not in this folder: {what}", why, fix, False))
    return gaps
