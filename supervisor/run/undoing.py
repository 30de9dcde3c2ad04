"""A whole action put back: what a guardrail reverts is not one file but everything that was done in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

from supervisor.enforce.explain import reason
from supervisor.run.content_parts import ContentParts
from supervisor.run.external import Touched
from supervisor.run.record import Recorder
from supervisor.surfaces.reading import identity_of
from supervisor.trees.accepted import Unkept
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.verdicts import Verdict
from supervisor.vocabulary.versions import Identity, Version


class Undoing:
    """``room`` gives the store and the reverter; ``told`` says a line to the user."""

    def __init__(
        self, room: Callable[[], ContentParts], touched: Touched, recorder: Recorder, told: Callable[[str], None]
    ) -> None:
        self._room = room
        self._touched = touched
        self._recorder = recorder
        self._told = told

    def keep(self, path: bytes) -> Version | None:
        """What lies at the path, kept so that it can be put back; None for what cannot be."""
        accepted = self._room().accepted
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            return accepted.absent(path)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        if stat.S_ISLNK(info.st_mode):
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        elif not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
            return None
        try:
            fd = os.open(path, flags)
        except OSError:
            return None
        try:
            if stat.S_ISLNK(info.st_mode):
                return accepted.keep_link(path, fd)
            return accepted.keep_folder(path, fd) if stat.S_ISDIR(info.st_mode) else accepted.keep(path, fd)
        except (Unkept, OSError):
            return None
        finally:
            os.close(fd)

    def undo(self, kept: Mapping[bytes, Version], verdict: Verdict) -> None:
        """Put all of it back, but for what somebody else has changed since."""
        room = self._room()
        seq = self._recorder.note("state", call="undo", paths=len(kept), reason=verdict.matches[0].message)
        content = room.accepted.source
        now = {path: _now(path) for path in kept}
        wanted = {path: was for path, was in kept.items() if now[path] is not None or was.kind is not Kind.ABSENT}
        done = room.reverter.restore_all(wanted, content, lambda path: now[path], self._is_ours_at(now))
        good = [path for path, each in done.items() if each.outcome in ("restored", "removed", "replaced")]
        failed = [path for path, each in done.items() if each.outcome in ("failed", "external")]
        self._recorder.counts.reverted += len(good)
        told = [os.fsdecode(path) for path in failed[:20]]
        left = f"; left as they are: {', '.join(told)}" if told else ""
        self._recorder.note("state", call="undone", paths=len(good), left=told, intent=seq)
        line = reason(verdict.matches[0], verdict.effect, f"{len(good)} path{'' if len(good) == 1 else 's'} put back")
        self._told(line + left)

    def _is_ours_at(self, now: Mapping[bytes, Identity | None]) -> Callable[[os.stat_result], bool]:
        inodes = {inode for path in now if (inode := self._touched.names.get(path)) is not None}
        return lambda info: (info.st_dev, info.st_ino) in inodes


def _now(path: bytes) -> Identity | None:
    try:
        return identity_of(os.lstat(path))
    except OSError:
        return None
