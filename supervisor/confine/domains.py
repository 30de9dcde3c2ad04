"""The two Landlock domains of a run, as lists of grants.

The agent's domain grants no path write but on a few devices: its files come as descriptors. Reading is granted by
naming everything except what is hidden; a rule covers all that lies beneath it, so the way down to a hidden folder is
granted sibling by sibling, as they stand at the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from supervisor.kernel import landlock

# Writing to these changes nothing that outlives the writer; terminals and pseudo-terminals are the agent's own.
DEVICES = (b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom", b"/dev/tty", b"/dev/ptmx")
DEVICE_FOLDERS = (b"/dev/pts",)
_MOST_SIBLINGS = 20_000
_REPLACE = (
    landlock.WRITE_FILE | landlock.TRUNCATE | landlock.MAKE_REG | landlock.MAKE_DIR | landlock.REMOVE_FILE
    | landlock.REMOVE_DIR
)  # fmt: skip
_WRITE_DEVICE = landlock.WRITE_FILE | landlock.TRUNCATE | landlock.READ


class Domain(NamedTuple):
    """Rights handled, scopes, and who is granted what. ``open_folders`` are the ancestors of hidden folders: they
    cannot be granted by the kernel and are listed through the supervisor."""

    handled: int
    scoped: int
    rules: tuple[tuple[bytes, int], ...]
    open_folders: frozenset[bytes] = frozenset()

    def ruleset(self) -> landlock.Ruleset:
        """The kernel object. Grants on paths that are gone by now are left out: less is granted, not more."""
        made = landlock.Ruleset(self.handled, scoped=self.scoped)
        made.grant_all(self.rules, missing_ok=True)
        return made


def agent_domain(
    hidden: Iterable[bytes],
    scoped: int,
    terminals: Iterable[bytes] = (),
    shown: Iterable[bytes] = (),
    inner: Iterable[bytes] = (),
) -> Domain:
    """Everything readable except ``hidden`` (canonical folders), of which the files ``shown`` and the folders ``inner``
    are; nothing writable but devices and the ``terminals`` that the run was started on."""
    given = tuple(hidden)
    # A folder inside a hidden one must not make that one an ancestor whose siblings are granted.
    folders = tuple(f for f in given if not any(f != other and f.startswith(other + b"/") for other in given))
    ancestors = frozenset(_above(folders))
    rules: list[tuple[bytes, int]] = [(device, _WRITE_DEVICE) for device in (*DEVICES, *terminals)]
    rules += [(folder, landlock.READ_DIR) for folder in DEVICE_FOLDERS]
    rules += [(file, landlock.READ_FILE) for file in shown]
    rules += [(folder, landlock.READ) for folder in inner]
    for folder in sorted(ancestors):
        rules += [(path, landlock.READ) for path in _siblings(folder, ancestors, folders)]
    return Domain(landlock.WRITE_ALL | landlock.READ, scoped, tuple(rules), ancestors | {b"/dev"})


def supervisor_domain(writable: Iterable[bytes], around: Iterable[bytes] = ()) -> Domain:
    """Writes only beneath ``writable``: the floor under the supervisor's own path handling. ``around``: folders of
    single files that are replaced. The kernel knows no rule for one name, so that all of the folder is granted, but
    only what that takes: no links, sockets or devices, and nothing that moves in from another folder."""
    places = (*writable, *DEVICES, *DEVICE_FOLDERS)
    rules = [(path, landlock.WRITE_ALL) for path in places] + [(path, _REPLACE) for path in around]
    return Domain(landlock.WRITE_ALL, 0, tuple(rules))


def _above(folders: Iterable[bytes]) -> Iterable[bytes]:
    yield b"/"
    for folder in folders:
        parts = folder.split(b"/")[1:-1]
        for at in range(1, len(parts) + 1):
            yield b"/" + b"/".join(parts[:at])


def _siblings(folder: bytes, ancestors: frozenset[bytes], hidden: tuple[bytes, ...]) -> list[bytes]:
    """What in ``folder`` is granted whole. Raw devices in /dev are not: uid 0 could read a disk past every rule."""
    found: list[bytes] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return found  # unreadable to this user, so to the agent too
    for entry in entries[:_MOST_SIBLINGS]:
        path = (folder if folder != b"/" else b"") + b"/" + entry.name
        if path in ancestors or path in hidden or entry.is_symlink():
            continue
        if path == b"/dev":
            found += [b"/dev/shm", b"/dev/mqueue", b"/dev/hugepages"]
            continue
        found.append(path)
    return found
