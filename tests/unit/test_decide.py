"""The decision function: total, pure, the same for the same values, the strictest of all that speak."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from supervisor.decide import decide
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.vocabulary.content import Findings, Import, Installation, Requirement
from supervisor.vocabulary.events import (
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    FsOp,
    Kind,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    ProcessEvent,
    RefEvent,
)
from supervisor.vocabulary.verdicts import ALLOWED, Effect
from tests.property.world import (
    ACTOR,
    CACHE,
    HOME,
    STATE,
    config,
    create,
    effect,
    fs,
    label,
    link,
    policy_of,
    read,
    rename,
    ruling,
    target,
    unlink,
    verdict,
    write,
)

SAMPLES: list[Event] = [
    *(fs(op, path) for op in FsOp for path in (b"src/a", b"govrun.toml", b".git/config", STATE, b"/etc/passwd")),
    *(rename(b"a", new, kind, beneath=b) for new in (b"b", b".git") for kind in Kind for b in ((), (b"x",), None)),
    config(b".git/config"),
    config(b".git/config", ("core.hookspath",)),
    config(b".git/config", refusal="unreadable"),
    ContentEvent(ACTOR, target(b"src/a.py"), Findings((Import("pypi", "requests", 1),))),
    ContentEvent(ACTOR, target(b"src/a.py"), Findings(refusal="too large")),
    RefEvent(ACTOR, "refs/heads/main", "1" * 40, ""),
    ExecEvent(ACTOR, target(b"/usr/bin/ls"), b"ls", (b"ls",), b"/", "call"),
    ExecEvent(ACTOR, target(b"x"), b"./x", (), b"/", "stop", anonymous=True),
    ExecEvent(ACTOR, target(b""), b"", (), b"", "call", refusal="unresolved"),
    NetEvent(ACTOR, "connect", "inet", "tcp", "192.0.2.7", 443),
    NetEvent(ACTOR, "connect", "inet", "tcp", "10.0.0.1", 443),
    NetEvent(ACTOR, "connect", "other", "x", refusal="unknown family"),
    ProcessEvent(ACTOR, "signal", 1, False, "SIGKILL"),
    ProcessEvent(ACTOR, "signal", 9, True, "SIGKILL"),
    ProcessEvent(ACTOR, "trace", 9, True, "ptrace"),
    LifecycleEvent("timeout", "2 h"),
    LifecycleEvent("operator", "stop"),
    ObservationGap("lost", "x"),
]


def test_every_kind_of_event_has_a_sample_and_a_verdict() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(Event))
    for sample in SAMPLES:
        found = verdict(policy_of(), sample)
        assert (found.effect is Effect.ALLOW) == (not found.matches)


def test_an_unknown_event_is_a_bug_not_a_permission() -> None:
    with pytest.raises(AssertionError):
        decide(policy_of(), RunState(), "something new")  # type: ignore[arg-type]


def test_the_same_values_give_the_same_verdict() -> None:
    fresh = policy_of.__wrapped__("version = 1\n")
    for sample in SAMPLES:
        again = type(sample)(*sample)
        assert verdict(policy_of(), sample) == verdict(policy_of(), again) == verdict(fresh, sample)


PURITY = """
import sys
from tests.unit.test_decide import SAMPLES
from tests.property.world import policy_of, verdict
policy = policy_of()
seen, on = [], False
def hook(name, args):
    if on:
        seen.append(name)
verdict(policy, SAMPLES[0])  # patterns are translated on first use, which imports pathspec
sys.addaudithook(hook)
on = True
for sample in SAMPLES:
    verdict(policy, sample)
open("/dev/null")  # the hook works
on = False
print(*seen)
"""


def test_deciding_touches_nothing() -> None:
    """No file, socket, process, import or clock: the interpreter audits them all."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-B", "-c", PURITY], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["open"], "", 0)


# ---------------------------------------------------------------------------------------------- strictest wins

LAYERED = 'version = 1\n[scope]\nwhy = "w"\nprotect = ["mine/**"]\nwrite = ["src/**", "mine/**"]\nthen = "{}"\n'
MINE, PACKS, UNWRITTEN = write(b"mine/x"), write(b".github/workflows/x.yml"), write(b"lib/x")


@pytest.mark.parametrize("word", ["observe", "warn", "ask", "deny", "pause", "kill"])
def test_a_layer_speaks_for_its_own_entries_only(word: str) -> None:
    policy, own = policy_of(LAYERED.format(word)), Effect[word.upper()]
    assert effect(policy, MINE) is own
    assert effect(policy, UNWRITTEN) is own
    # The pack's own entry keeps the pack's word; here the profile's write list objects as well.
    assert effect(policy, PACKS) is max(Effect.DENY, own)
    assert verdict(policy, MINE).matches[0].invariant.source == "govrun.toml:4"


@pytest.mark.parametrize(("word", "happens"), [("observe", True), ("warn", True), ("ask", False), ("deny", False)])
def test_what_a_word_does_to_the_act(word: str, happens: bool) -> None:
    assert verdict(policy_of(LAYERED.format(word)), MINE).blocks is not happens


def test_a_laxer_word_never_opens_what_the_pack_or_the_tree_closes() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nthen = "observe"\n')
    bare = policy_of('version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "observe"\n')
    for event in (write(b"govrun.toml"), write(b"/etc/passwd"), write(STATE + b"/x"), unlink(b"", Kind.DIR)):
        assert effect(bare, event) is Effect.DENY
    for event in (write(b"govrun.toml"), write(b"/etc/passwd"), write(STATE + b"/x"), write(HOME + b"/.ssh/id"), PACKS):
        assert effect(policy, event) is Effect.DENY


def test_the_order_of_layers_changes_nothing() -> None:
    base = policy_of('version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "warn"\nwrite = ["a/**"]\n')
    strict = policy_of('version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "kill"\nwrite = ["b/**"]\n')
    middle = policy_of('version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "deny"\nwrite = ["c/**"]\n')
    named = [("one", base), ("two", strict), ("three", middle)]
    for order in itertools.permutations(named):
        layers = tuple(_renamed(policy, name) for name, policy in order)
        words = {name: policy.words["govrun.toml"] for name, policy in named}
        merged = base._replace(write=layers, words=words, scope_then=Effect.KILL)
        found = verdict(merged, write(b"elsewhere"))
        assert (found.effect, len(found.matches)) == (Effect.KILL, 3)
        assert found.matches[0].invariant.source.startswith("two")
        assert effect(merged, write(b"b/x")) is Effect.DENY
        assert sorted(match.effect for match in found.matches) == [Effect.WARN, Effect.DENY, Effect.KILL]


def _renamed(policy: CompiledPolicy, name: str) -> Any:
    globs = policy.write[0]
    return type(globs)(entry._replace(source=f"{name}:1") for entry in globs.entries)


def test_of_equals_the_first_in_profile_order_names_the_verdict() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nprotect = ["**/x"]\nwrite = ["src/**"]\n')
    found = verdict(policy, write(b"govrun.toml"))
    assert [match.invariant.id for match in found.matches] == ["govrun.policy", "scope.protect", "scope.write"]


# --------------------------------------------------------------------------------------------- the small kinds


def test_programs_that_cannot_be_named_do_not_run() -> None:
    policy = policy_of()
    plain = ExecEvent(ACTOR, target(b"/usr/bin/ls"), b"ls", (b"ls",), b"/", "call")
    assert verdict(policy, plain) == ALLOWED
    assert ruling(policy, plain._replace(anonymous=True)) == "govrun.exec"
    assert ruling(policy, plain._replace(refusal="unresolved")) == "govrun.exec"


def test_processes_of_others_are_out_of_reach() -> None:
    policy, debug = policy_of(), policy_of('version = 1\n[scope]\nwhy = "w"\ndebug = true\n')
    own, foreign = ProcessEvent(ACTOR, "signal", 9, True, "SIGTERM"), ProcessEvent(ACTOR, "signal", 1, False, "SIGTERM")
    assert (ruling(policy, own), ruling(policy, foreign)) == ("", "govrun.processes")
    assert ruling(policy, own._replace(op="trace")) == "govrun.processes"
    assert ruling(debug, own._replace(op="trace")) == ""
    assert ruling(debug, foreign._replace(op="trace")) == "govrun.processes"


def test_a_timeout_stops_the_run() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\ntimeout = "2h"\n')
    assert effect(policy, LifecycleEvent("timeout", "2 h")) is Effect.KILL


def test_git_configuration_is_judged_by_key() -> None:
    policy = policy_of()
    event = config(b".git/config")
    assert verdict(policy, event) == ALLOWED
    assert ruling(policy, event._replace(executable=("core.hookspath",))) == "git.internals"
    assert ruling(policy, event._replace(refusal="unreadable")) == "git.internals"


def test_the_lock_file_of_a_configuration_is_taken_away_like_any_file() -> None:
    for lock in (b"/etc/config.lock", HOME + b"/.ssh/config.lock", b".github/workflows/config.lock"):
        assert ruling(policy_of(), config(b".git/config", lock=lock)) in ("scope.write", "scope.hide", "scope.protect")


def test_unresolved_network_targets_are_refused_whatever_the_layer_says() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nthen = "observe"\nhosts = ["a.example:443"]\n')
    event = NetEvent(ACTOR, "connect", "other", "x", refusal="unknown address")
    assert verdict(policy, event).blocks


def test_reading_is_bounded_by_what_is_hidden() -> None:
    policy = policy_of()
    assert ruling(policy, read(HOME + b"/.ssh/id_ed25519")) == "scope.hide"
    assert ruling(policy, read(STATE + b"/runs")) == "govrun.state"
    assert ruling(policy, read(b"/etc/passwd")) == ""
    assert ruling(policy, read(HOME + b"/.sshrc")) == ""


def test_a_refused_path_is_refused_for_every_act() -> None:
    for event in (create(b"x"), write(b"x"), unlink(b"x"), read(b"x"), rename(b"x", b"y")):
        assert ruling(policy_of(), event._replace(refusal="goes through a magic link")) == "govrun.path"


def test_a_nameless_kind_of_file_is_no_exception() -> None:
    assert ruling(policy_of(), write(b"/etc/x", Kind.OTHER)) == "scope.write"


# -------------------------------------------------------------------------------------------------- dependencies

DENYING = 'version = 1\n[[dependency]]\nid = "no-x"\nwhy = "w"\ndeny = ["pypi:requests", "npm:moment"]\n'
PIP = ExecEvent(ACTOR, target(b"/usr/bin/pip"), b"pip", (b"pip",), b"/", "call")


def installing(name: str) -> ExecEvent:
    return PIP._replace(installs=Installation("pip", "pypi", (Requirement("pypi", name, place="argv"),)))


def test_installs_are_judged_beside_the_scope() -> None:
    policy = policy_of(DENYING)
    assert ruling(policy, PIP) == ruling(policy, installing("httpx")) == ""
    assert (ruling(policy, installing("requests")), effect(policy, installing("requests"))) == ("no-x", Effect.DENY)
    limited = policy_of(DENYING.replace("[[", '[scope]\nwhy = "w"\ncommands = ["ls"]\n[[', 1))
    found = verdict(limited, installing("requests"))
    assert {match.invariant.id for match in found.matches} == {"no-x", "scope.commands"}


def test_content_is_judged_in_the_tree_only() -> None:
    policy, now = policy_of(DENYING), Findings((Import("pypi", "requests", 3),))
    event = ContentEvent(ACTOR, target(b"src/a.py"), now)
    assert (ruling(policy, event), effect(policy, event)) == ("no-x", Effect.REVERT)
    assert effect(policy, event._replace(landing=True)) is Effect.DENY
    assert verdict(policy, event._replace(before=now)) == ALLOWED
    assert verdict(policy, event._replace(target=target(b"/tmp/a.py"))) == ALLOWED
    assert verdict(policy_of(), event) == ALLOWED


ARRIVING = [
    create(b"node_modules/moment", Kind.DIR),
    create(b"node_modules/moment/package.json"),
    write(b"node_modules/moment/index.js", Kind.ABSENT),
    create(b".venv/lib/python3.12/site-packages/requests-2.0.dist-info", Kind.DIR),
    rename(b"tmp/m", b"node_modules/moment", Kind.DIR),
    rename(b"tmp", b"node_modules", Kind.DIR, beneath=(b"a/index.js", b"moment/index.js")),
    rename(b"tmp", b"web", Kind.DIR, beneath=(b"node_modules", b"node_modules/moment")),
    rename(b"a", b"b", Kind.DIR, onto=Kind.DIR, exchange=True, beneath_other=(b"node_modules/moment/x",)),
    link(b"src/a.js", b"node_modules/moment/a.js"),
    create(CACHE + b"/x/requests-2.0.dist-info", Kind.DIR),
    create(b"/tmp/node_modules/moment", Kind.DIR, made=True),
]


@pytest.mark.parametrize("event", ARRIVING, ids=label)
def test_a_denied_package_does_not_arrive(event: FsEvent) -> None:
    found = verdict(policy_of(DENYING), event)
    assert "no-x" in [match.invariant.id for match in found.matches]
    assert found.blocks
    told = verdict(policy_of(DENYING), event._replace(manager=True))
    assert [match.effect for match in told.matches if match.invariant.id == "no-x"] == [Effect.WARN]
    locked = frozenset({("npm", "moment"), ("pypi", "requests")})
    lawful = policy_of(DENYING, locked=locked, with_lock=frozenset({"npm", "pypi"}))
    assert "no-x" not in [match.invariant.id for match in verdict(lawful, event).matches]


NOT_ARRIVING = [
    write(b"node_modules/moment/index.js"),
    unlink(b"node_modules/moment/index.js"),
    read(b"node_modules/moment/index.js"),
    create(b"node_modules/moment-x/index.js"),
    create(b"src/moment.js"),
    rename(b"node_modules/moment", b"gone", Kind.DIR, beneath=(b"index.js",)),
    create(b".git/refs/heads/node_modules/moment"),
    create(b".venv/lib/python3.12/site-packages/requests/__pycache__/api.pyc"),
]


@pytest.mark.parametrize("event", NOT_ARRIVING, ids=label)
def test_what_is_no_arrival(event: FsEvent) -> None:
    assert "no-x" not in [match.invariant.id for match in verdict(policy_of(DENYING), event).matches]
