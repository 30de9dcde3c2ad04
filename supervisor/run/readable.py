"""What the supervisor reads by a name that comes from the run: nothing that the run could not read itself.

The supervisor is in no domain of the run: it could open hidden folders, govrun's own records and its own ``/proc``, and
what it says of a file is told to the run. So every such name is judged like an open of the run's. It has the same uid
and no capabilities, so the permissions of a file already hold for both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from supervisor.commands.world import Untold, Withheld
from supervisor.decide import decide
from supervisor.invariants.places import Zone, locate
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.surfaces.applied import Limits, Seen, look
from supervisor.surfaces.mounts import Alias, aliases
from supervisor.vocabulary.events import Actor, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect

_SOMEBODY = Actor(0, 0, 0, b"", (), 0)  # no rule about reads asks who reads


class Readable:
    """``ignored``: whether ignore rules cover a file of the tree, which a ``read`` scope leaves alone; None: nothing
    is known to be ignored."""

    def __init__(self, policy: CompiledPolicy, ignored: Callable[[bytes], bool] | None = None) -> None:
        self._policy = policy
        self._ignored = ignored
        self._limits = Limits(self._is_withheld, self._is_hidden, self.writes)
        self._aliases: tuple[Alias, ...] | None = None

    def look(self, path: bytes, most: int) -> Seen:
        """What would be applied (``surfaces.applied.look``)."""
        return look(path, most, self._limits)

    def content(self, path: bytes, most: int) -> bytes | None:
        """What a file says, less than ``most`` bytes; None where there is none or it is empty. ``Untold``: the run may
        not read it, or nobody can tell what whoever executes would read."""
        seen = look(path, most - 1, self._limits, settled=False, listing=False)
        if seen.withheld:
            raise Withheld(path)
        if seen.why and not seen.absent:
            raise Untold(path)
        return seen.content or None

    def writes(self, path: bytes, fd: int) -> bool:
        """Whether the run may write to what ``fd`` is open on, or did while it had another name; unsure means yes."""
        info = os.fstat(fd)
        if info.st_nlink != 1:
            return True
        # What it made itself, and what is ignored, is what most is allowed of.
        target = Target(self._in_tree(path), Kind.FILE, info.st_dev, info.st_ino, 1, made=True, ignored=True)
        event = FsEvent(_SOMEBODY, FsOp.WRITE, "open", target)
        return decide(self._policy, NO_STATE, event).effect not in (Effect.DENY, Effect.KILL)

    def _is_withheld(self, path: bytes) -> bool:
        return locate(self._policy, path).zone in (Zone.STATE, Zone.HIDDEN)

    def _is_hidden(self, path: bytes, fd: int) -> bool:
        policy = self._policy
        if policy.judges_reads:
            path = self._in_tree(path)
        info = os.fstat(fd)
        scoped = bool(policy.hidden) and bool(policy.hidden.read)
        ignored = scoped and self._ignored is not None and self._ignored(path)
        kind = Kind.DIR if stat.S_ISDIR(info.st_mode) else Kind.FILE
        target = Target(path, kind, info.st_dev, info.st_ino, info.st_nlink, ignored=ignored)
        return decide(policy, NO_STATE, FsEvent(_SOMEBODY, FsOp.READ, "open", target)).effect >= Effect.ASK

    def _in_tree(self, path: bytes) -> bytes:
        """The name in the tree of what is mounted elsewhere too. OSError: it cannot be told."""
        if self._aliases is None:
            self._aliases = aliases(self._policy.tree)
        for alias in self._aliases:
            if path == alias.path or path.startswith(alias.path + b"/"):
                return alias.real + path[len(alias.path) :]
        return path
