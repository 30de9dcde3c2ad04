"""``[scope] tools``: where what a run makes may be executed."""

from __future__ import annotations

import pytest

from supervisor.decide import decide
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.vocabulary.events import ExecEvent, Kind, Target
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, HOME, TREE, policy_of

PROFILE = 'version = 1\n[scope]\nwhy = "w"\ntools = {{ executables = {} }}\n'
GLOBS = '["/build/**", "node_modules/.bin/*", "*.test", "~/.cargo/bin/*"]'


def policy_with(globs: str = GLOBS) -> CompiledPolicy:
    return policy_of(PROFILE.format(globs))


def executed(policy: CompiledPolicy, *authored: bytes) -> Effect:
    event = ExecEvent(ACTOR, Target(b"/usr/bin/x", Kind.FILE), b"x", (b"x",), TREE, "stop", authored=authored)
    return decide(policy, NO_STATE, event).effect


@pytest.mark.parametrize(
    "path",
    [
        TREE + b"/build/out/app",
        TREE + b"/node_modules/.bin/tsc",
        TREE + b"/pkg/unit.test",
        b"/tmp/go-build1/unit.test",
        HOME + b"/.cargo/bin/tool",
    ],
)
def test_what_is_named_runs(path: bytes) -> None:
    assert executed(policy_with(), path) is Effect.ALLOW


@pytest.mark.parametrize(
    "path",
    [
        TREE + b"/app",
        TREE + b"/src/build/app",
        TREE + b"/.cargo/bin/tool",
        b"/build/out/app",
        b"/tmp/build/app",
        b"/tmp/node_modules/.bin/tsc",
        HOME + b"/build/app",
        b"/memfd:unit (deleted)",
        TREE + b"/.git/hooks/x",
    ],
)
def test_what_is_not_named_does_not(path: bytes) -> None:
    assert executed(policy_with(), path) is Effect.DENY


def test_all_of_several_files_have_to_be_named() -> None:
    assert executed(policy_with(), TREE + b"/build/a", TREE + b"/b") is Effect.DENY
    assert executed(policy_with()) is Effect.ALLOW


def test_an_empty_list_names_nothing() -> None:
    assert executed(policy_with("[]"), TREE + b"/build/a") is Effect.DENY
    assert executed(policy_with('["**"]'), TREE + b"/build/a", b"/tmp/x") is Effect.ALLOW


def test_it_is_listed_with_how_firmly_it_holds() -> None:
    rule = policy_with().invariants["scope.tools"]
    assert (rule.coverage, rule.source) == (Coverage.SUPERVISED, "govrun.toml:4") and "executables" in rule.note
    assert "scope.tools" not in policy_of().invariants and not policy_of().tools
    loose = policy_of(PROFILE.format(GLOBS) + 'then = "warn"\n')
    assert loose.invariants["scope.tools"].coverage is Coverage.OBSERVED
    assert executed(loose, TREE + b"/x") is Effect.WARN
    debugged = policy_of(PROFILE.format(GLOBS) + "debug = true\n")
    assert debugged.invariants["scope.tools"].coverage is Coverage.OBSERVED
