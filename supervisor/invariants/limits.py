"""``cpu``, ``memory``, ``processes`` and ``disk`` of ``[scope]``: what a run may use. Pure.

Where the kernel holds a limit it refuses what would cross it, and that is told. Elsewhere what is used is looked at,
and what has crossed is answered with the word of ``then``: there is nothing left to refuse, so ``deny`` ends the run,
and ``ask`` holds it until a person has looked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Scope
from supervisor.vocabulary.events import LifecycleEvent
from supervisor.vocabulary.limits import KEYS, Limit, LimitFacts
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect, Match

REFUSED: Final = ".refused"  # behind the key, in the name of an event: the kernel held it
_CROSSED: Final = {Effect.ASK: Effect.PAUSE, Effect.DENY: Effect.KILL}
_HELD: Final = {Effect.ASK: Effect.PAUSE}
_LOOKED: Final = "looked at up to ten times a second"
_NOTES: Final = {
    "processes": "cgroup v2 (pids.max); threads count",
    "memory": "cgroup v2 (memory.max, no swap): the kernel ends a process of the run",
}


def compiled(scope: Scope, facts: LimitFacts) -> tuple[Limit, ...]:
    """The limits in force. One that is only told of is not held."""
    found = []
    for key in KEYS:
        most = getattr(scope, key)
        if most is not None:
            found.append(Limit(key, float(most), _is_held(scope, key, facts)))
    return tuple(found)


def _is_held(scope: Scope, key: str, facts: LimitFacts) -> bool:
    return key in facts.held and effect_of(scope, key) >= Effect.ASK


def effect_of(scope: Scope, key: str) -> Effect:
    """The word of the layer that set the key."""
    return Effect[scope.words_of(scope.sources.get(key, "")).then.upper()]


def described(scope: Scope, facts: LimitFacts) -> Iterator[tuple[str, Coverage, str]]:
    """Key, coverage and note of each limit that is set."""
    for limit in compiled(scope, facts):
        key = limit.key
        if limit.held:
            yield key, Coverage.ENFORCED, _NOTES[key]
        elif key == "disk" and not facts.written:
            yield key, Coverage.UNENFORCEABLE, "this kernel does not account for what processes write (/proc/PID/io)"
        else:
            yield key, Coverage.OBSERVED, _observed(key, facts, told=effect_of(scope, key) < Effect.ASK)


def _observed(key: str, facts: LimitFacts, *, told: bool) -> str:
    if key == "cpu":
        how = "counted by the kernel for the cgroup" if facts.group else "of the processes that are seen"
        return f"processor time {how}, {_LOOKED}"
    if key == "disk":
        return f"bytes written, as the kernel accounts them to processes, {_LOOKED}"
    what = "processes and threads" if key == "processes" else "memory"
    why = "then only tells of it" if told else facts.why
    return f"{what}, {_LOOKED}" + (f": {why}" if why else "")


def judge(policy: CompiledPolicy, event: LifecycleEvent) -> Iterator[Match]:
    """What is answered where a limit was crossed (``cpu``), or the kernel held it (``memory.refused``)."""
    key = event.op.removesuffix(REFUSED)
    ident = f"scope.{key}"
    if key not in KEYS or ident not in policy.invariants:
        return
    rule, effect = policy.rule(ident, policy.invariants[ident].source)
    answers = _HELD if event.op.endswith(REFUSED) else _CROSSED
    yield Match(rule, answers.get(effect, effect), event.detail)


def in_words(key: str, amount: float) -> str:
    """An amount as it is told."""
    if key == "processes":
        return f"{amount:.0f} processes and threads"
    if key == "cpu":
        return f"{amount:.4g} s of processor time"
    number, unit = amount, "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.4g} {unit}"
