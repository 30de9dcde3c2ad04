"""Repetition without progress: a command that fails again over an unchanged tree, a tree that goes back and forth.

The tree is known by one number: the exclusive or of a hash per (path, content). A change takes the old one out and the
new one in, so that it costs the same whatever the size of the tree, and content that comes back gives the number that
was there before. Nothing here is a defence: whoever changes a file each time is taken to get on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from supervisor.invariants.guardrail import LoopState

POLLING = 30.0  # seconds between two questions, above which they are no loop
_MOST_PATHS = 1 << 14
_MOST_COMMANDS = 512
_MOST_STATES = 256


class _Command(NamedTuple):
    status: int
    tree: int
    failing: int
    last: float


class Loops:
    """The tracker of one run. ``now`` is the monotonic clock in seconds."""

    def __init__(self) -> None:
        self.tree = 0
        self._files: dict[bytes, int] = {}
        self._commands: dict[bytes, _Command] = {}
        self._seen: dict[int, None] = {0: None}
        self._at = 0  # the state at the last look
        self._returns = 0
        self._returning: dict[bytes, None] = {}

    def changed(self, path: bytes, digest: bytes | None, before: bytes | None) -> None:
        """The file has other content, by its digest; None: it is absent. ``before``: what it was, used where that is
        not known here."""
        now = _hash(path, digest)
        old = self._files.pop(path, None)
        if old is None:
            old = _hash(path, before)
            if len(self._files) >= _MOST_PATHS:
                del self._files[next(iter(self._files))]
        self._files[path] = now
        self.tree ^= old ^ now

    def look(self) -> LoopState:
        """An action is over that no command made: has the tree gone back to an earlier state? ``returns`` is 0 when
        this one has not."""
        return LoopState(returns=self._returns if self._returned(b"") else 0)

    def ended(
        self, argv: Sequence[str], status: int, now: float, *, reads: bool = False, counts: bool = True
    ) -> LoopState:
        """A command has ended; ``argv`` in normal form, so that spellings of one command are one. ``status``: the exit
        status, 128 + n for signal n. ``reads``: it only asks, and may ask again after ``POLLING`` seconds.
        ``counts``: it is a command of the agent; how often others fail is not looked at."""
        key = _key(argv)
        if not counts:
            return LoopState(returns=self._returns if self._returned(key) else 0)
        known = self._commands.pop(key, None)
        failing = 0
        if status != 0:
            same = known is not None and (known.status, known.tree) == (status, self.tree)
            polls = reads and known is not None and now - known.last > POLLING
            failing = known.failing + 1 if known is not None and same and not polls else 1
        if len(self._commands) >= _MOST_COMMANDS:
            del self._commands[next(iter(self._commands))]
        self._commands[key] = _Command(status, self.tree, failing, now)
        back = self._returned(key)
        return LoopState(failing, self._returns if back else 0, status)

    def snapshot(self, argv: Sequence[str], now: float, *, reads: bool = False) -> LoopState:
        """What is known of a command that is about to start."""
        key = _key(argv)
        known = self._commands.get(key)
        returns = self._returns if key in self._returning else 0
        if known is None or known.tree != self.tree or (reads and now - known.last > POLLING):
            return LoopState(returns=returns)
        return LoopState(known.failing, returns, known.status)

    def forget(self) -> None:
        """A person has said that it may go on: what has been repeated so far does not count."""
        self._commands.clear()
        self._returning.clear()
        self._returns = 0
        self._seen, self._at = {self.tree: None}, self.tree

    def _returned(self, key: bytes) -> bool:
        """Whether the tree has gone back since the last look. A state that was never there before is progress."""
        if self.tree == self._at:
            return False
        self._at = self.tree
        if self.tree not in self._seen:
            if len(self._seen) >= _MOST_STATES:
                del self._seen[next(iter(self._seen))]
            self._seen[self.tree] = None
            self._returns = 0
            self._returning.clear()
            return False
        del self._seen[self.tree]  # so that the state that was left longest ago is forgotten first
        self._seen[self.tree] = None
        self._returns += 1
        if key and len(self._returning) < _MOST_COMMANDS:
            self._returning[key] = None
        return True

    # -- a run that continues another ---------------------------------------------------------------------------

    def dump(self, now: float) -> dict[str, Any]:
        """As JSON takes it; times are seconds before ``now``, states are relative to the tree as it is."""
        commands = [
            [key.hex(), known.status, f"{known.tree ^ self.tree:x}", known.failing, now - known.last]
            for key, known in self._commands.items()
        ]
        told = {"commands": commands, "seen": [f"{state ^ self.tree:x}" for state in self._seen]}
        return told | {"at": f"{self._at ^ self.tree:x}", "returns": self._returns}

    def resume(self, told: Mapping[str, Any], now: float, passed: float) -> None:
        """Take over what another run's ``dump`` said ``passed`` seconds ago, if the tree is as that run left it.
        Raises what a wrong value raises."""
        self._seen = {int(state, 16) ^ self.tree: None for state in told["seen"]}
        self._at = int(told["at"], 16) ^ self.tree
        self._returns = int(told["returns"])
        for key, status, tree, failing, age in told["commands"]:
            last = now - passed - float(age)
            self._commands[bytes.fromhex(key)] = _Command(int(status), int(tree, 16) ^ self.tree, int(failing), last)


def _hash(path: bytes, digest: bytes | None) -> int:
    if digest is None:
        return 0
    text = b"%d:%b%b" % (len(path), path, digest)
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")


def _key(argv: Sequence[str]) -> bytes:
    text = "".join(f"{len(word)}:{word}" for word in argv)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
