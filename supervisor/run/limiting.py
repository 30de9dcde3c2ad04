"""The limits of a run at work: what is set up before its start and taken back after its end, and what follows when one
is crossed."""

from __future__ import annotations

import errno
import math
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.decide import decide
from supervisor.enforce.explain import reason
from supervisor.invariants.limits import REFUSED, in_words
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.journal.store import update_meta
from supervisor.kernel import cgroups
from supervisor.surfaces.metering import Meter, tasks_of
from supervisor.vocabulary.errors import HostError
from supervisor.vocabulary.events import LifecycleEvent
from supervisor.vocabulary.limits import CONTROLLERS, KEYS, LimitFacts
from supervisor.vocabulary.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from supervisor.profile.model import Scope
    from supervisor.run.record import Recorder

_GRACE = 2  # seconds of processor time that one process gets beyond the limit: until then its end is told with a reason
_ERRORS = {"processes": errno.EAGAIN, "memory": errno.ENOMEM}
_FILES = {"processes": "pids.max", "memory": "memory.max"}
_DOES = {"processes": "refused to start more", "memory": "ended a process of the run"}


def facts(scope: Scope, *, own: bool = True) -> LimitFacts:
    """What this machine can hold and measure of the limits in ``scope``; nothing is looked at where there are none.
    ``own``: the run may have a cgroup of its own."""
    wanted = {CONTROLLERS[key]: key for key in CONTROLLERS if getattr(scope, key) is not None}
    if not any(getattr(scope, key) is not None for key in KEYS):
        return LimitFacts()
    offer = cgroups.look(wanted) if own else cgroups.Offer(why="another run makes this one")
    held = frozenset(key for name, key in wanted.items() if name in offer.controllers)
    return LimitFacts(held, bool(offer.path), os.path.exists("/proc/self/io"), offer.why)


class Bounds:
    """What a run is started in: ``group``, its cgroup, None where it can have none; ``rlimits``: (resource, value) for
    its first process, which all others inherit. Errors: ``HostError``."""

    def __init__(self, policy: CompiledPolicy, run: str, folder: Path) -> None:
        self.group: cgroups.Group | None = None
        held = {limit.key: limit for limit in policy.limits if limit.held}
        offer = cgroups.look(CONTROLLERS[key] for key in held)
        if any(CONTROLLERS[key] not in offer.controllers for key in held):
            raise HostError("limits of the run cannot be held any more", offer.why, "start again")
        if offer.path and not policy.around:  # what another run makes may write to no control files
            files = {_FILES[key]: f"{limit.most:.0f}" for key, limit in held.items()}
            if "memory" in held and os.path.exists(f"{offer.path}/memory.swap.max"):
                files["memory.swap.max"] = "0"
            # Before it is there: whoever finds the run dead looks for the group by this.
            update_meta(folder, cgroup=f"{offer.path}/{cgroups.PREFIX}{run}")
            self.group = cgroups.Group(offer, run, files)
        self.rlimits = tuple(_rlimits(policy))

    def inherited(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """What the first process takes over before it executes, as ``Launch`` has it."""
        return (self.group.procs if self.group is not None else -1), self.rlimits

    def kill(self) -> None:
        """End every process of the run at once, where that can be had. The caller looks for what is left."""
        if self.group is not None:
            self.group.kill()

    def close(self) -> None:
        """Nobody of the run is left, and nothing of its group shall be. Errors: none; what stays is for ``recover``."""
        if self.group is not None:
            self.group.remove()


def _rlimits(policy: CompiledPolicy) -> list[tuple[int, int]]:
    """A second layer, from the kernel, against what goes on between two looks."""
    found = []
    for limit in policy.limits:
        (match,) = decide(policy, NO_STATE, LifecycleEvent(limit.key, "")).matches
        if match.effect is not Effect.KILL:
            continue
        if limit.key == "cpu":
            found.append((resource.RLIMIT_CPU, math.ceil(limit.most) + _GRACE))
        elif limit.key == "processes" and not limit.held and os.geteuid() != 0:
            # It counts all that the user has, other sessions too, and holds nobody with the user id 0.
            room = 4 * int(limit.most) + 1024
            found.append((resource.RLIMIT_NPROC, tasks_of(os.getuid()) + room))
    return found


class Limiting:
    """Measures while the run goes on. ``crossed`` is told the verdict on what is above a limit; ``turn`` is called when
    ``fileno`` is readable. Errors: ``StopRun``."""

    def __init__(
        self,
        policy: CompiledPolicy,
        bounds: Bounds,
        crossed: Callable[[LifecycleEvent, Verdict], None],
        recorder: Recorder,
        say: Callable[[str], None],
    ) -> None:
        self._policy, self._crossed = policy, crossed
        self._recorder, self._say = recorder, say
        self._group = bounds.group
        self._most = {limit.key: limit.most for limit in policy.limits}
        held = frozenset(limit.key for limit in policy.limits if limit.held)
        self._meter = Meter(self._most, held, self._group.path if self._group is not None else "")

    @property
    def pid(self) -> int:
        return self._meter.pid

    def fileno(self) -> int:
        return self._meter.fileno()

    def turn(self) -> None:
        """Judge what has crossed since."""
        for name, amount in self._meter.told():
            key = name.removesuffix(REFUSED)
            most = in_words(key, self._most[key])
            told = f"the run uses {in_words(key, amount)}, at most {most} may be used"
            if key != name:
                told = f"the kernel {_DOES[key]}: at most {most} may be used"
            event = LifecycleEvent(name, told)
            verdict = decide(self._policy, NO_STATE, event)
            if verdict.effect is Effect.PAUSE and self._group is not None:
                self._group.freeze(still=True)  # no call has to be answered for it to go on computing
            if verdict.effect is Effect.DENY:  # and the kernel has done it
                message = reason(verdict.matches[0], verdict.effect)
                self._recorder.blocked(event, verdict, _ERRORS[key], message)
                self._say(message)
            else:
                self._crossed(event, verdict)

    def acknowledged(self) -> None:
        """A person lets the run go on: what it may use counts from here."""
        if self._group is not None:
            self._group.freeze(still=False)
        self._meter.again()

    def close(self) -> None:
        self._meter.close()
