"""``[scope] commands``: names stand for programs the run could not have written."""

from __future__ import annotations

import pytest

from supervisor.invariants.commands import compile_commands, forbids
from supervisor.profile.model import Entry
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, CACHE, effect, policy_of, ruling, target, verdict


def run(path: bytes, alias: bytes = b"") -> ExecEvent:
    return ExecEvent(ACTOR, target(path), b"given", (b"x",), b"/", "call", alias)


def listed(*names: str, then: str = "deny") -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f'version = 1\n[scope]\nwhy = "w"\nthen = "{then}"\ncommands = [{quoted}]\n'


CASES: list[tuple[tuple[str, ...], ExecEvent, bool]] = [
    (("ls",), run(b"/usr/bin/ls"), True),
    (("ls",), run(b"/usr/bin/lsblk"), False),
    (("ls",), run(b"/usr/bin/LS"), False),
    (("python3*",), run(b"/usr/bin/python3.11"), True),
    (("/usr/bin/ls",), run(b"/usr/bin/ls"), True),
    (("/usr/bin/ls",), run(b"/usr/local/bin/ls"), False),
    (("/usr/bin/*",), run(b"/usr/bin/ls"), True),
    # A copy of that name where the run can write.
    (("ls",), run(b"ls"), False),
    (("ls",), run(b"/tmp/ls"), False),
    (("ls",), run(CACHE + b"/ls"), False),
    (("ls",), run(b".git/ls"), False),
    (("/w/tree/ls",), run(b"ls"), False),
    # A link: named after something allowed, or leading to it.
    (("awk",), run(b"/usr/bin/mawk", b"/usr/bin/awk"), True),
    (("awk",), run(b"/usr/bin/touch", b"/w/tree/awk"), False),
    (("awk",), run(b"/usr/bin/touch", b"/tmp/awk"), False),
    (("mawk",), run(b"/usr/bin/mawk", b"/w/tree/x"), True),
    (("/usr/bin/awk",), run(b"/usr/bin/mawk", b"/usr/bin/awk"), False),
    # Paths in the tree.
    (("scripts/*",), run(b"scripts/build"), True),
    (("scripts/*.sh",), run(b"scripts/deep/build.sh"), False),
    (("scripts/*",), run(b"scripts/deep/build"), True),  # gitignore: it matches the folder, and so what is in it
    (("scripts/**",), run(b"scripts/deep/build"), True),
    (("scripts/*",), run(b"/tmp/scripts/build"), False),
    (("scripts/*",), run(b"sub/scripts/build"), False),
    (("./run.sh",), run(b"run.sh"), True),
    (("./bin/x",), run(b"bin/x"), True),
    ((".venv/bin/python",), run(b".venv/bin/python"), True),
    (("ls",), run(b"/usr/bin/\xff"), False),
]


@pytest.mark.parametrize(("names", "event", "allowed"), CASES)
def test_commands(names: tuple[str, ...], event: ExecEvent, allowed: bool) -> None:
    assert ruling(policy_of(listed(*names)), event) == ("" if allowed else "scope.commands")


def test_without_a_list_everything_runs() -> None:
    assert ruling(policy_of(), run(b"/tmp/anything")) == ""


def test_an_empty_list_lets_nothing_run() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\ncommands = []\n')
    assert ruling(policy, run(b"/usr/bin/ls")) == "scope.commands"


def test_every_layer_must_admit_it() -> None:
    rules = compile_commands(((Entry("ls", "a:1"), Entry("cat", "a:1")), (Entry("ls", "b:1"),)))
    assert forbids(rules, run(b"/usr/bin/ls"), None, False, False).message == ""
    refused = forbids(rules, run(b"/usr/bin/cat"), None, False, False)
    assert refused.source == "b:1"
    assert "cat" in refused.message


def test_the_layers_own_word_counts() -> None:
    found = verdict(policy_of(listed("ls", then="warn")), run(b"/usr/bin/cat"))
    assert (found.effect, found.matches[0].invariant.source) == (Effect.WARN, "govrun.toml:5")
    assert effect(policy_of(listed("ls", then="kill")), run(b"/usr/bin/cat")) is Effect.KILL


def test_at_the_stop_it_is_judged_again_the_same_way() -> None:
    stopped = run(b"/usr/bin/dash")._replace(stage="stop", chain=(b"/bin/sh", b"./x"))
    assert ruling(policy_of(listed("ls")), stopped) == "scope.commands"
