"""Swapping a name's content in one step, and noticing afterwards whose it was.

A test before a rename is a guess: between both, somebody else may save the file. So the test is made on what came out,
which nobody can replace any more, and what was somebody else's goes back. Going back is a race of its own: whatever
comes out then and is not what was put in is newer still, so the exchange is repeated until our own comes out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from supervisor.enforce.quarantine import Quarantine
from supervisor.enforce.staging import Intent, Spot, identity_of, move, remove_built, same
from supervisor.kernel import libc
from supervisor.vocabulary.versions import Identity

_ATTEMPTS = 32


class Judged(NamedTuple):
    """What may be displaced: the inode that was judged, unchanged since, or whatever ``ours`` says is the run's.

    ``by_inode``: the inode alone counts (another name of one that was displaced already: that changed its ctime).
    """

    identity: Identity | None
    ours: Callable[[os.stat_result], bool]
    by_inode: bool = False

    def accepts(self, there: os.stat_result) -> bool:
        """Whether what lies at the target may be displaced. A folder is known by its inode: entries change it."""
        judged = self.identity
        if judged is None or not same(there, judged):
            return self.ours(there)
        unchanged = self.by_inode or stat.S_ISDIR(there.st_mode) or identity_of(there) == judged
        return unchanged or self.ours(there)

    def confirms(self, came: os.stat_result, there: os.stat_result) -> bool:
        """Whether what came out is what was accepted just before. ctime cannot be compared: a rename changes it."""
        expected = identity_of(there)
        if not same(came, expected):
            return self.ours(came)
        unchanged = self.by_inode or stat.S_ISDIR(came.st_mode) or identity_of(came)[:4] == expected[:4]
        return unchanged or self.ours(came)


class Came(NamedTuple):
    """``how``: ``in`` (done), ``external``, ``gone``, ``busy``. ``held``: the staging name holds something that was
    visible and belongs into quarantine; ``own``: and it is what was built here."""

    how: str
    held: bool = False
    own: bool = False


def swap_in(staged: Spot, target: Spot, judged: Judged, intend: Callable[[Identity, Identity | None], None]) -> Came:
    """Put what lies at ``staged`` at ``target``; what was there lies at ``staged`` afterwards.

    ``intend`` is called before each attempt with both identities. Errors: ``OSError``, at any point.
    """
    own = _there(staged)
    for _ in range(_ATTEMPTS):
        there = target.look()
        if there is None:
            if judged.identity is not None:
                return Came("gone")
            intend(identity_of(own), None)
            try:
                move(staged, target, libc.RENAME_NOREPLACE)
            except FileExistsError:
                continue
            return Came("in")
        if not judged.accepts(there):
            return Came("external")
        intend(identity_of(own), identity_of(there))
        try:
            move(staged, target, libc.RENAME_EXCHANGE)
        except FileNotFoundError:
            continue
        if judged.confirms(_there(staged), there):
            return Came("in", held=True)
        return Came("external", held=True, own=put_back(staged, target, own))
    return Came("busy")


def take_out(staged: Spot, target: Spot, judged: Judged, intend: Callable[[Identity], None]) -> Came:
    """Move what lies at ``target`` to ``staged``, which is free. Errors: ``OSError``, at any point."""
    there = target.look()
    if there is None:
        return Came("gone")
    if not judged.accepts(there):
        return Came("external")
    intend(identity_of(there))
    try:
        move(target, staged, libc.RENAME_NOREPLACE)
    except FileNotFoundError:
        return Came("gone")
    if judged.confirms(_there(staged), there):
        return Came("in", held=True)
    return Came("external", held=not _returned(staged, target))


def _returned(staged: Spot, target: Spot) -> bool:
    try:
        move(staged, target, libc.RENAME_NOREPLACE)
    except FileExistsError:
        return False  # there is a newer one already
    return True


def put_back(staged: Spot, target: Spot, own: os.stat_result) -> bool:
    """Somebody else's version lies at ``staged`` and ``own`` at ``target``: put it back, newest last.

    Returns whether ``staged`` holds ``own``, untouched, afterwards; else it holds an older version of theirs. Either
    was visible, so somebody may have it open for writing: it is not to be removed. Errors: ``OSError``.
    """
    mine = identity_of(own)
    put = mine
    for _ in range(_ATTEMPTS):
        back = identity_of(_there(staged))
        try:
            move(staged, target, libc.RENAME_EXCHANGE)
        except FileNotFoundError:
            return False  # they removed the name since: it stays removed
        came = identity_of(_there(staged))
        if came[:4] == put[:4]:
            return came[:4] == mine[:4]
        put = back
    return False


def finish(intent: Intent, staged: Spot, target: Spot | None, quarantine: Quarantine) -> str:
    """Bring an operation that broke off at any point to one of its two ends; may be repeated, and may break off too.

    ``target`` is None when its folder cannot be reached any more. Returns what was found at ``staged``: ``nothing``,
    ``unused`` (built and never visible: removed), ``back`` (what was built had been put back), ``displaced``
    (what was to be displaced: the operation was done), ``external`` (somebody else's). Errors: ``OSError``.
    """
    there = staged.look()
    if there is None:
        return "nothing"
    if intent.made or (intent.own is not None and identity_of(there) == intent.own):
        # Every rename changes ctime, so this one was never at the target.
        remove_built(staged)
        return "unused"
    if intent.own is not None and same(there, intent.own):
        quarantine.take(staged, intent.path, own=True, again=True)
        return "back"
    if intent.out is not None and same(there, intent.out):
        quarantine.take(staged, intent.path, again=True)
        return "displaced"
    if target is not None and intent.own is None:
        if not _returned(staged, target):
            quarantine.take(staged, intent.path, again=True)
        return "external"
    now = target.look() if target is not None else None
    if target is not None and now is not None and intent.own is not None and identity_of(now)[:4] == intent.own[:4]:
        put_back(staged, target, now)
    if staged.look() is not None:
        quarantine.take(staged, intent.path, again=True)
    return "external"


def _there(staged: Spot) -> os.stat_result:
    return os.stat(staged.name, dir_fd=staged.folder, follow_symlinks=False)
