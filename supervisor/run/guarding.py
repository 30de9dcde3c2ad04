"""The guardrails of a run: what happens is counted, and what crosses a ceiling afterwards is judged."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from supervisor.decide import decide
from supervisor.invariants.guardrail import Usage
from supervisor.invariants.places import governed
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.run.endings import Endings
from supervisor.run.undoing import Undoing
from supervisor.run.windows import Windows
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, LifecycleEvent, NetEvent
from supervisor.vocabulary.verdicts import Effect, Verdict
from supervisor.vocabulary.versions import Version

_MOST_DIFFERED = 8 << 20  # bytes of a file whose lines are compared
_MOST_KEPT = 20_000  # paths of one action
_READING = frozenset(
    b"cat ls stat test grep head tail find git sleep true curl wget kubectl docker ps pgrep ping nc date".split()
)


class Guarding:
    """``crossed`` is told the verdict on something that has happened already. ``undoing`` keeps what is going to be
    changed, and puts it back."""

    def __init__(
        self,
        policy: CompiledPolicy,
        stored: Path,
        crossed: Callable[[LifecycleEvent, Verdict], None],
        undoing: Undoing,
    ) -> None:
        self._policy = policy
        self._inside = policy.tree + b"/"
        self._crossed = crossed
        self._undoing = undoing
        self.windows = Windows(policy.guards, stored)
        rules = policy.guards
        self.endings = Endings(self._ended) if rules.asks_loops() or rules.asks("fails") else None
        self._reads = rules.reads_content()
        self._reverts = any(rule.effect is Effect.REVERT for rule in rules.rules)
        self._before: dict[bytes, bytes | None] = {}
        self._kept: dict[bytes, Version] = {}
        self._action = -1

    def usage(self, action: int) -> Mapping[str, Usage]:
        if action != self._action:
            self._action = action
            self._kept.clear()
        return self.windows.usage(action)

    # -- files --------------------------------------------------------------------------------------------------

    def before(self, event: FsEvent) -> None:
        """The change is going to be made: what it replaces is looked at, and kept where a rule would put it back."""
        if event.op is FsOp.READ or event.carried:
            return
        changed = [each for each in (event.target, event.other) if each is not None]
        for target in changed:
            path = target.path
            if governed(self._policy, target) is None:
                continue
            if self._reverts and path not in self._kept and len(self._kept) < _MOST_KEPT:
                version = self._undoing.keep(path)
                if version is not None:
                    self._kept[path] = version
            if self._reads and event.op in (FsOp.UNLINK, FsOp.RENAME):
                self._before[path] = plain_content(path, _MOST_DIFFERED) if os.path.isfile(path) else None

    def after(self, event: FsEvent | NetEvent, *, done: bool) -> None:
        """It was made, or has failed."""
        before, self._before = self._before, {}
        if not done or (isinstance(event, FsEvent) and event.op is FsOp.READ):
            return
        changed = (event.target, event.other) if isinstance(event, FsEvent) else ()
        found = (governed(self._policy, each) for each in changed if each is not None)
        self.windows.happened(event, next((each for each in found if each is not None), None))
        for path, content in before.items():
            now = plain_content(path, _MOST_DIFFERED) if os.path.isfile(path) else None
            if now != content:
                self.rewritten(path, content, now)

    def rewritten(self, path: bytes, before: bytes | None, now: bytes | None) -> None:
        """A governed file has another content; None: it is not there, or was not."""
        loops = self.windows.loops
        loops.found(path, before)
        loops.changed(path, now)
        lines = _lines_gone(before or b"", now or b"")
        self.windows.wrote(path[len(self._inside) :], lines, len(now or b""))
        self._look()

    # -- programs -----------------------------------------------------------------------------------------------

    def executed(self, pid: int, event: ExecEvent) -> None:
        self.windows.happened(event, None)
        if self.endings is not None:
            command = " ".join(word.decode("utf-8", "backslashreplace") for word in event.argv[:32])[:400]
            reads = event.target.path.rpartition(b"/")[2] in _READING
            self.endings.started(pid, command, reads=reads)

    def _ended(self, command: str, status: int, reads: bool) -> None:
        self.windows.ended(command, status, reads=reads)
        self._look()

    # -- verdicts -----------------------------------------------------------------------------------------------

    def refused(self, verdict: Verdict) -> None:
        """An act was refused; where a guardrail did it and says so, the whole action is put back."""
        for match in verdict.matches:
            if match.invariant.kind == "guardrail":
                self.windows.fired(match.invariant.id)
                if match.effect is Effect.REVERT:
                    kept, self._kept = self._kept, {}
                    self._undoing.undo(kept, verdict)
                    break

    def _look(self) -> None:
        event = LifecycleEvent("usage", "")
        verdict = decide(self._policy, RunState(usage=self.windows.usage()), event)
        if verdict.effect is not Effect.ALLOW:
            self._crossed(event, verdict)
            self.refused(verdict)

    def close(self) -> None:
        self.windows.close()


def _lines_gone(before: bytes, now: bytes) -> int:
    """How many lines of the one are not in the other, wherever they stand: a line that moves is none."""
    if not before or len(before) > _MOST_DIFFERED or len(now) > _MOST_DIFFERED:
        return max(0, before.count(b"\n") - now.count(b"\n"))
    gone = Counter(before.split(b"\n"))
    gone.subtract(Counter(now.split(b"\n")))
    return sum(count for count in gone.values() if count > 0)


def guard_store(policy: CompiledPolicy) -> Path:
    """Where the counts of a day lie, for all runs in one tree."""
    name = hashlib.sha256(policy.tree).hexdigest()[:32]
    return Path(os.fsdecode(policy.state)) / "guards" / f"{name}.json"
