"""What a verdict on content depends on while something waits to be fixed: the episodes, and how many violations stand.

Counted is the difference to the start, in files that the run has changed: what each said before the run first touched
it, and what it says now. Other people's changes are no difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from supervisor.invariants import content
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.invariants.remediation import EpisodeStates
from supervisor.vocabulary.content import Findings
from supervisor.vocabulary.events import Actor, ContentEvent, Kind, Target
from supervisor.vocabulary.versions import Identity

_NOBODY = Actor(0, 0, 0, b"", (), 0)


class Standing:
    """``episodes`` are those of the moment. ``first``: what the file at an absolute path said before the run touched
    it; ``now``: what it says (None: there is none). Nothing is counted where no rule asks for it."""

    def __init__(
        self,
        policy: CompiledPolicy,
        episodes: Callable[[], EpisodeStates],
        first: Callable[[bytes], Findings],
        now: Callable[[bytes], Findings | None],
    ) -> None:
        self._policy, self._episodes = policy, episodes
        self._first, self._now = first, now
        self._inside = policy.tree + b"/"
        self._counts = policy.remediation.counts()
        self._held: dict[bytes, int] = {}
        self._total = 0
        self._tried: dict[bytes, int] = {}  # of what is about to land together
        self._changed: set[bytes] = set()
        # What no fix may change and somebody could write to when something was refused: what it said then.
        self._kept: dict[bytes, object] = {}

    def total(self) -> int | None:
        """How many more there are than at the start; None where nobody counts."""
        if not self._counts:
            return None
        while self._changed:
            path = self._changed.pop()
            self._put(path, self._count(path, self._now(path)))
        return self._total

    def keeps(self, path: bytes) -> bool:
        """Whether the file is one that no fix may change."""
        return self._policy.remediation.keep(path.removeprefix(self._inside))

    def waits(self, path: bytes) -> bool:
        """Whether a change of the file may be refused whatever it says."""
        return self.is_waiting() and self.keeps(path)

    def is_waiting(self) -> bool:
        """Whether content was refused that is not put right."""
        return bool(self._episodes().fixable)

    def keep(self, said: Mapping[bytes, tuple[bytes | None, Identity]]) -> None:
        """What those files say that no fix may change and somebody can write to, as something new begins to wait; None:
        it is too large to be read."""
        self._kept = {path: _mark(*each) for path, each in said.items()}

    def state(self, state: RunState, path: bytes, text: bytes | None, identity: Identity) -> RunState:
        """``state`` with what bears on a verdict on the file at ``path``, which says ``text``."""
        episodes = self._episodes()
        if not episodes:
            return state
        total = self.total() or 0
        if self._counts and episodes.fixable:
            total -= self._of(path)
            total += sum(count - self._of(each) for each, count in self._tried.items() if each != path)
        changed = self.waits(path) and self._kept.get(path) != _mark(text, identity)
        return state._replace(episodes=episodes, standing=total, changed=changed)

    def put(self, path: bytes, event: ContentEvent | None, *, whole: bool = True) -> None:
        """A version was accepted; None: nothing in it concerns a rule. What is still being written (``whole`` False)
        may say more than before, and less only once it is done."""
        if self._counts:
            count = self._counted(path, event)
            self._put(path, count if whole else max(count, self._of(path)))

    def theirs(self, path: bytes, found: Findings) -> None:
        """Somebody else changed the file."""
        if self._counts:
            self._held[path] = self._count(path, found)

    def changed(self, path: bytes) -> None:
        """Govrun itself puts something else there."""
        if self._counts and path in self._held:
            self._changed.add(path)

    def gone(self, path: bytes) -> None:
        """The file was removed."""
        self.put(path, None)

    def tried(self, path: bytes, event: ContentEvent | None) -> None:
        """If the act happens, the file says this (None: nothing that concerns a rule, or it is gone)."""
        if self._counts:
            self._tried[path] = self._counted(path, event)

    def settled(self, *, happened: bool) -> None:
        """What was tried has happened, or has not."""
        tried, self._tried = self._tried, {}
        for path, count in tried.items() if happened else ():
            self._put(path, count)

    def _of(self, path: bytes) -> int:
        if path not in self._held:
            self._held[path] = self._count(path, self._first(path))
        return self._held[path]

    def _put(self, path: bytes, count: int) -> None:
        self._total += count - self._of(path)
        self._held[path] = count

    def _count(self, path: bytes, found: Findings | None) -> int:
        if found is None:
            return 0
        return self._counted(path, ContentEvent(_NOBODY, Target(path, Kind.FILE), found))

    def _counted(self, path: bytes, event: ContentEvent | None) -> int:
        if event is None or not path.startswith(self._inside):
            return 0
        return content.standing(self._policy, event, path[len(self._inside) :])


def _mark(text: bytes | None, identity: Identity) -> object:
    return identity[:4] if text is None else hashlib.sha1(text, usedforsecurity=False).digest()
