"""The guardrails of a run: what an act would add is worked out before it is judged, and counted when it is done."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from supervisor.decide import decide
from supervisor.invariants import content
from supervisor.invariants.guardrail import FAILS, GuardRules, Increment, LoopState
from supervisor.invariants.places import governed
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.run.answering import answers
from supervisor.run.depths import Depths
from supervisor.run.endings import Command, Endings
from supervisor.run.loops import Loops
from supervisor.run.preserving import Preserving
from supervisor.run.record import Recorder
from supervisor.run.repairing import Repairing
from supervisor.run.undoing import Undoing
from supervisor.run.windows import Windows
from supervisor.surfaces.contents import names_beside, plain_content
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.events import (
    Actor,
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    FsOp,
    Kind,
    LifecycleEvent,
    NetEvent,
    Target,
)
from supervisor.vocabulary.verdicts import Effect, Verdict
from supervisor.vocabulary.versions import Version

_MOST_DIFFERED = 8 << 20  # bytes of a file whose lines are compared
_MOST_KEPT = 20_000  # paths of one action
_MOST_ACTIONS = 4  # what was written in one may be looked at when the next has begun
_SHOWN = 32  # words of a command line
_LONGEST = 200  # bytes of one
_READING = frozenset(
    b"cat ls stat test grep head tail find git sleep true curl wget kubectl docker ps pgrep ping nc date".split()
)
_NOBODY = Actor(0, 0, 0, b"", (), 0)


class Guarding:
    """``crossed`` is told the verdict on something that has happened already. ``undoing`` keeps what is going to be
    changed, and puts it back. Errors: ``HostError`` when it cannot be told what counted before this run."""

    def __init__(
        self,
        policy: CompiledPolicy,
        agent: str,
        crossed: Callable[[LifecycleEvent | ContentEvent, Verdict], None],
        undoing: Undoing,
        recorder: Recorder,
    ) -> None:
        self._policy, self._agent = policy, agent
        self._inside = policy.tree + b"/"
        self._crossed = crossed
        self._undoing = undoing
        rules = self._rules = policy.guards or GuardRules()
        self._windows = Windows(rules, self.governed, time.monotonic(), time.time())
        self._folder = Path(os.fsdecode(policy.state)) / "guards"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._windows.load(self._folder, os.fsdecode(policy.tree), agent, time.monotonic(), time.time())
        self.loops = Loops()
        fails = any(at == FAILS for rule in rules.rules for at, _ in rule.ceilings)
        self.repairs = Repairing(policy, recorder, self._tree) if policy.remediation else None
        self.endings = Endings(self._ended, os.getpid()) if rules.loops or fails else None
        self._counts_content = content.is_counted(policy)
        firm = any(rule.irreversible is not Effect.ALLOW for rule in rules.rules)
        self._preserving = Preserving(undoing.keep, self.governed) if firm else None
        self._depths = Depths(os.getpid()) if any(rule.depth for rule in rules.rules) else None
        self._reverts = any(rule.effect is Effect.REVERT for rule in rules.rules)
        self._keeps_folders = any(rule.never_empty for rule in rules.rules)
        self._increment = Increment()
        self._event: Event | None = None
        self._before: dict[bytes, bytes | None] = {}
        self._kept: dict[int, dict[bytes, Version]] = {}  # by action
        self._action = 0

    def _tree(self) -> str:
        """The state that the changed files are in, as far as that is followed."""
        return f"{self.loops.tree:032x}"

    def governed(self, target: Target) -> bytes | None:
        """The path in the tree of what is counted."""
        return governed(self._policy, target)

    # -- before an act ------------------------------------------------------------------------------------------

    def state(self, event: Event) -> RunState:
        """What bears on the act, and what it would add; ``after`` is told how it ended."""
        self._increment, self._event = Increment(), event
        if self.repairs is not None:
            return self._counted(event)._replace(episodes=self.repairs.states())
        return self._counted(event)

    def _counted(self, event: Event) -> RunState:
        if not isinstance(event, FsEvent | ExecEvent | NetEvent):
            return RunState()
        if isinstance(event, FsEvent) and event.op is FsOp.READ:
            return RunState()
        if isinstance(event, ExecEvent) and event.stage == "stop":
            return RunState()  # no further one: it was counted when it was let begin
        now, action = time.monotonic(), event.actor.action
        if action != self._action:
            self._action = action
            while len(self._kept) > _MOST_ACTIONS:
                del self._kept[next(iter(self._kept))]
            self._windows.action_began(action, time.time())
        moving = isinstance(event, FsEvent) and event.carried
        branch = isinstance(event, FsEvent) and _sets_branch(event)
        depth = self._depths.of(event) if self._depths is not None and isinstance(event, ExecEvent) else 0
        lost = b""
        if self._preserving is not None and isinstance(event, FsEvent) and not moving:
            lost = self._preserving.lost(event)
        self._increment = self._windows.before(event, now, moving=moving, branch=branch, lost=lost, depth=depth)
        remaining = self._remaining(event) if self._keeps_folders and isinstance(event, FsEvent) else {}
        usage = self._windows.snapshot(now, action)
        if not isinstance(event, ExecEvent) or not self._rules.loops:
            return RunState(True, usage, self._increment, remaining, LoopState())
        words = _words(event)
        loop = self.loops.snapshot(words, now, reads=_reads(event))
        return RunState(True, usage, self._increment, remaining, loop, " ".join(words))

    def _remaining(self, event: FsEvent) -> dict[bytes, int]:
        """How many entries the folder of what goes would keep."""
        if event.op not in (FsOp.UNLINK, FsOp.RENAME) or (relative := self.governed(event.target)) is None:
            return {}
        folder = event.target.path.rpartition(b"/")[0]
        return {relative.rpartition(b"/")[0]: len(names_beside(folder)) - 1}

    def before(self, event: FsEvent) -> None:
        """The change is going to be made: what it replaces is looked at, and kept where a rule would put it back."""
        if event.op is FsOp.READ or event.carried:
            return
        kept = self._kept.setdefault(event.actor.action, {})
        for target in (event.target, event.other):
            if target is None or self.governed(target) is None:
                continue
            path = target.path
            if self._reverts and path not in kept and len(kept) < _MOST_KEPT:
                version = self._undoing.keep(path)
                if version is not None:
                    kept[path] = version
            if self._counts_content and event.op in (FsOp.UNLINK, FsOp.RENAME):
                self._before[path] = _content(path)

    # -- what has happened --------------------------------------------------------------------------------------

    def after(self, *, done: bool) -> None:
        """The act that was judged last was made, or has failed."""
        before, self._before = self._before, {}
        # A program is an act of the action that it begins: ``executed`` is told of it.
        if self.repairs is not None and self._event is not None and not isinstance(self._event, ExecEvent):
            self.repairs.acted(self._event)
        if not done:
            return
        if self._preserving is not None and isinstance(self._event, FsEvent):
            self._preserving.landed(self._event)
        self._windows.commit(self._increment, time.monotonic())
        for path, was in before.items():
            now = _content(path)
            if now != was:
                self.rewritten(path, was, now)
        if self.repairs is not None:
            self.repairs.counted(self._event)

    def rewritten(
        self, path: bytes, before: bytes | None, now: bytes | None, *, carried: bool = False, action: int = 0
    ) -> None:
        """A governed file has another content; None: it is not there, or was not. ``carried``: git brought it.
        ``action``: the one that wrote it, else that of the act which was judged last."""
        self.loops.changed(path, _digest(now), _digest(before))
        if carried:
            return
        target = Target(path, Kind.FILE if now is not None else Kind.ABSENT)
        event = ContentEvent(_NOBODY._replace(action=action or self._action), target, NOTHING_FOUND)
        increment = self._windows.content(event, len(now or b""), _lines_gone(before or b"", now or b""))
        self._late(event, increment)
        if self._rules.loops:
            self._circles("", self.loops.look())

    def executed(self, pid: int, event: ExecEvent) -> None:
        """A program runs; its actor is the process as it is now."""
        if self.repairs is not None:
            self.repairs.acted(event)
        if self._depths is not None:
            self._depths.executed(pid)
        if self.endings is not None:
            command = Command(_words(event), _reads(event), answers(event, self._inside))
            self.endings.started(pid, event, command)

    def _ended(self, ended: Command, status: int) -> None:
        command = " ".join(ended.words)
        status = 0 if status in ended.answers else status
        shown = status if status >= 0 else 128 - status
        state = self.loops.ended(ended.words, shown, time.monotonic(), reads=ended.reads, counts=ended.counts)
        event = ExecEvent(_NOBODY._replace(action=self._action), Target(b"", Kind.OTHER), b"", (), b"", "end")
        self._late(LifecycleEvent("ended", command), self._windows.ended(event, failed=status != 0))
        self._circles(command, state)

    def _late(self, event: LifecycleEvent | ContentEvent, increment: Increment) -> None:
        """Judge something that has happened, and count it."""
        now = time.monotonic()
        state = RunState(True, self._windows.snapshot(now, increment.action), increment)
        told = LifecycleEvent("counted" if isinstance(event, LifecycleEvent) else "written", _shown(event))
        verdict = decide(self._policy, state, told)
        self._windows.commit(increment, now)
        if verdict.effect is not Effect.ALLOW:
            self._crossed(told, verdict)
            self._answered(verdict, increment)

    def _circles(self, command: str, state: LoopState) -> None:
        told = LifecycleEvent("circles", command)
        verdict = decide(self._policy, RunState(loop=state, command=command), told)
        if verdict.effect is not Effect.ALLOW:
            self._crossed(told, verdict)

    # -- verdicts -----------------------------------------------------------------------------------------------

    def is_fixer(self, actor: Actor) -> bool:
        """Whether govrun itself has started who acts."""
        fixing = self.repairs.fixing if self.repairs is not None else None
        return fixing is not None and fixing.acts(actor)

    def refused(self, event: Event, verdict: Verdict, text: bytes = b"") -> None:
        """An act was refused, or content was taken back, which said ``text``."""
        self._before = {}
        if self.repairs is not None:
            self.repairs.refused(event, verdict, text)
        self._answered(verdict, self._increment)

    def _answered(self, verdict: Verdict, increment: Increment) -> None:
        """Where a guardrail has spoken and says so, the whole action is put back."""
        guards = [match for match in verdict.matches if match.invariant.kind == "guardrail"]
        if not guards:
            return
        self._windows.refused(guards, increment, time.monotonic())
        kept = self._kept.get(increment.action)
        if any(match.effect is Effect.REVERT for match in guards) and kept:
            del self._kept[increment.action]
            self._undoing.undo(kept, verdict)

    def acknowledged(self) -> None:
        """A person has looked at what happened and lets the run go on: counting begins anew."""
        for rule in self._rules.rules:
            self._windows.forgive(rule.invariant.id)
        self.loops.forget()

    def over(self) -> None:
        """Nothing is attempted any more."""
        if self.repairs is not None:
            self.repairs.close()

    def close(self) -> None:
        """Keep what counts for later runs. Errors: ``StopRun``."""
        self._windows.save(
            self._folder, os.fsdecode(self._policy.tree), self._agent, time.monotonic(), time.time(), patience=1.0
        )


def _sets_branch(event: FsEvent) -> bool:
    return event.op is FsOp.RENAME and event.other is not None and b"/refs/heads/" in event.other.path


def _words(event: ExecEvent) -> tuple[str, ...]:
    return tuple(word[:_LONGEST].decode("utf-8", "backslashreplace") for word in event.argv[:_SHOWN])


def _reads(event: ExecEvent) -> bool:
    return event.target.path.rpartition(b"/")[2] in _READING


def _digest(text: bytes | None) -> bytes | None:
    return hashlib.blake2b(text, digest_size=16).digest() if text is not None else None


def _shown(event: LifecycleEvent | ContentEvent) -> str:
    return event.detail if isinstance(event, LifecycleEvent) else event.target.path.decode("utf-8", "backslashreplace")


def _content(path: bytes) -> bytes | None:
    try:
        return plain_content(path, _MOST_DIFFERED) if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError:
        return None


def _lines_gone(before: bytes, now: bytes) -> int:
    """How many lines of the one are not in the other, wherever they stand: a line that moves is none."""
    if not before or len(before) > _MOST_DIFFERED or len(now) > _MOST_DIFFERED:
        return max(0, before.count(b"\n") - now.count(b"\n"))
    gone = Counter(before.split(b"\n"))
    gone.subtract(Counter(now.split(b"\n")))
    return sum(count for count in gone.values() if count > 0)
