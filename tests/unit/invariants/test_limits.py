"""Limits of what a run may use: how firmly they hold, and what is answered."""

from __future__ import annotations

import pytest

from supervisor.decide import decide
from supervisor.invariants.limits import compiled, described, in_words
from supervisor.invariants.policy import NO_STATE
from supervisor.profile.model import Scope, Words
from supervisor.vocabulary.events import LifecycleEvent
from supervisor.vocabulary.limits import KEYS, Limit, LimitFacts
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import ALLOWED, Effect
from tests.property.world import policy_of

ALL = LimitFacts(frozenset(("processes", "memory")), True, True)
NONE = LimitFacts(frozenset(), False, False, "no cgroup v2 file system is mounted")


def scope(then: str = "deny", **limits: float) -> Scope:
    sources = {key: f"govrun.toml:{line}" for line, key in enumerate(limits, 3)}
    return Scope(then, sources=sources, layers={"govrun.toml": Words(then)})._replace(**limits)


EVERY = {"processes": 30, "memory": 1 << 30, "cpu": 60.0, "disk": 1 << 20}


def test_what_the_kernel_holds_is_enforced_and_the_rest_is_looked_at() -> None:
    found = {key: coverage for key, coverage, _ in described(scope(**EVERY), ALL)}
    observed = Coverage.OBSERVED
    assert found == {"processes": Coverage.ENFORCED, "memory": Coverage.ENFORCED, "cpu": observed, "disk": observed}
    assert compiled(scope(**EVERY), ALL)[0] == Limit("processes", 30.0, True)


def test_what_cannot_be_had_says_why() -> None:
    found = {key: (coverage, note) for key, coverage, note in described(scope(**EVERY), NONE)}
    assert found["processes"][0] is Coverage.OBSERVED and NONE.why in found["processes"][1]
    assert found["memory"][0] is Coverage.OBSERVED and NONE.why in found["memory"][1]
    assert found["disk"][0] is Coverage.UNENFORCEABLE and "/proc/PID/io" in found["disk"][1]
    assert "that are seen" in found["cpu"][1]


@pytest.mark.parametrize("then", ["observe", "warn"])
def test_what_is_only_told_is_not_held(then: str) -> None:
    assert not any(limit.held for limit in compiled(scope(then, **EVERY), ALL))
    assert {coverage for _, coverage, _ in described(scope(then, **EVERY), ALL)} == {Coverage.OBSERVED}


def test_none_where_none_is_set() -> None:
    assert compiled(Scope(), ALL) == () and list(described(Scope(), ALL)) == []


@pytest.mark.parametrize(
    ("then", "crossed", "refused"),
    [
        ("observe", Effect.OBSERVE, Effect.OBSERVE),
        ("warn", Effect.WARN, Effect.WARN),
        ("ask", Effect.PAUSE, Effect.PAUSE),
        ("deny", Effect.KILL, Effect.DENY),
        ("pause", Effect.PAUSE, Effect.PAUSE),
        ("kill", Effect.KILL, Effect.KILL),
    ],
)
@pytest.mark.parametrize("key", KEYS)
def test_answers(key: str, then: str, crossed: Effect, refused: Effect) -> None:
    text = "\n".join(f"{name} = {value:.0f}" for name, value in EVERY.items())
    policy = policy_of(f'version = 1\n[scope]\nthen = "{then}"\nwhy = "shared machine"\n{text}\n')
    verdict = decide(policy, NO_STATE, LifecycleEvent(key, "too much"))
    assert (verdict.effect, verdict.matches[0].message) == (crossed, "too much")
    assert verdict.matches[0].invariant.id == f"scope.{key}"
    assert verdict.matches[0].invariant.why == "shared machine"
    assert decide(policy, NO_STATE, LifecycleEvent(f"{key}.refused", "")).effect is refused


def test_nothing_is_said_of_a_limit_that_is_not_set() -> None:
    policy = policy_of("version = 1\n[scope]\ncpu = 60\n")
    assert decide(policy, NO_STATE, LifecycleEvent("memory", "")) == ALLOWED
    assert decide(policy, NO_STATE, LifecycleEvent("counted", "")) == ALLOWED
    assert isinstance(policy.invariants["scope.cpu"], Invariant) and "scope.memory" not in policy.invariants


@pytest.mark.parametrize(
    ("key", "amount", "told"),
    [
        ("processes", 61.0, "61 processes and threads"),
        ("cpu", 61.23, "61.23 s of processor time"),
        ("memory", float(150 << 20), "150 MiB"),
        ("disk", 1536.0, "1.5 KiB"),
        ("disk", 2.0**60, "1.049e+06 TiB"),
    ],
)
def test_words(key: str, amount: float, told: str) -> None:
    assert in_words(key, amount) == told
