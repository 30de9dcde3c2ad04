"""``[[remediation]]`` rules as a pure function of the open episodes and an act."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.decide import decide
from supervisor.invariants.policy import RunState
from supervisor.invariants.remediation import (
    EpisodeState,
    EpisodeStates,
    RemediationRules,
    Subject,
    compile_remediation,
    describe,
    is_fixer,
    judge_exec,
    judge_fs,
    states_of,
    subject_of,
)
from supervisor.profile.model import Rule
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.content import Findings, Import
from supervisor.vocabulary.events import ContentEvent, ExecEvent, FsEvent, FsOp, Kind
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, policy_of, profile_of, target

A = EpisodeState("1", "one-client", Subject("path", b"src/a.py"), fixable=True)
B = EpisodeState("2", "one-client", Subject("path", b"src/b.py"), fixable=True)


def rule(**table: Any) -> Rule:
    own = {key: table.pop(key) for key in list(table) if key in Rule._fields}
    return Rule("remediation", "honest", fields=table, source="govrun.toml:1", **own)


def rules(**table: Any) -> RemediationRules:
    made = rule(**table)
    return compile_remediation([made], {"honest": Invariant("honest", "remediation", made.then or "deny")})


def execution(line: str, action: int = 5, *, normal: bool = True) -> ExecEvent:
    words = tuple(line.split())
    argv = tuple(word.encode() for word in words)
    commands = (Command(words[0], "", words),) if normal else ()
    actor = ACTOR._replace(action=action)
    return ExecEvent(actor, target(b"/usr/bin/x"), argv[0], argv, b"/w/tree", "call", commands=commands)


def change(path: bytes, op: FsOp = FsOp.WRITE, other: bytes = b"", action: int = 5, **facts: Any) -> FsEvent:
    kind = facts.pop("kind", Kind.FILE)
    there = target(other, facts.pop("there", Kind.ABSENT)) if other else None
    return FsEvent(ACTOR._replace(action=action), op, facts.pop("call", op.value), target(path, kind), there, **facts)


def files(found: RemediationRules, episodes: EpisodeStates, event: FsEvent, **facts: Any) -> list[str]:
    def relative(path: bytes) -> bytes | None:
        return path.removeprefix(b"/w/tree/") if path.startswith(b"/w/tree/") else None

    other = relative(event.other.path) if event.other is not None else None
    return [match.message for match in judge_fs(found, episodes, event, relative(event.target.path), other, **facts)]


def commands(found: RemediationRules, episodes: EpisodeStates, event: ExecEvent) -> list[str]:
    return [match.message for match in judge_exec(found, episodes, event)]


# ------------------------------------------------------------------------------------------------------ fixers


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eslint --fix", True),
        ("eslint src --ext .ts --fix", True),
        ("node_modules/.bin/eslint --fix .", True),
        ("npm audit fix --force", True),
        ("npm --prefix x audit fix", True),
        ("eslint src", False),
        ("npm fix audit", False),
        ("echo eslint --fix", False),
        ("npm audit", False),
        ("", False),
    ],
)
def test_known_fixers(line: str, expected: bool) -> None:
    assert is_fixer(rules(fixers=("eslint --fix", "npm audit fix")), line.split()) is expected


def test_the_one_that_govrun_starts_is_one() -> None:
    found = rules(fixer=("ruff", "check", "--fix"))
    assert is_fixer(found, ("ruff", "check", ".", "--fix"))
    assert found.rules[0].starts == ("ruff", "check", "--fix")


def test_a_long_command_line_takes_no_time() -> None:
    found = rules(fixers=("x " + "a " * 500 + "b",))
    assert not is_fixer(found, ("x", *["a"] * 1_000_000))


# ---------------------------------------------------------------------------------------------------- attempts


def test_no_attempt_after_the_last() -> None:
    found = rules(attempts=3, fixers=("ruff --fix",))
    some = states_of([A._replace(attempts=2, actions=frozenset((3, 4)))])
    used = states_of([A._replace(attempts=3, actions=frozenset((2, 3, 4)))])
    assert files(found, some, change(b"src/a.py")) == []
    (message,) = files(found, used, change(b"src/a.py"))
    assert message.startswith("3 attempts have not put src/a.py right, which one-client refused: leave it as it is")
    assert commands(found, some, execution("ruff --fix")) == []
    assert len(commands(found, used, execution("ruff . --fix"))) == 1
    # the last attempt goes on
    assert files(found, used, change(b"src/a.py", action=4)) == []
    assert commands(found, used, execution("ruff --fix", action=4)) == []
    spent = states_of([A._replace(attempts=3, spent=True, actions=frozenset((2, 3, 4)))])
    assert len(files(found, spent, change(b"src/a.py", action=4))) == 1
    # all else is none of its business
    for event in (change(b"src/b.py"), change(b"/tmp/src/a.py"), change(b"src/a.py", FsOp.READ)):
        assert files(found, used, event) == []
    assert commands(found, used, execution("ruff check")) == []


@pytest.mark.parametrize(
    "event",
    [
        change(b"src/a.py.tmp", FsOp.RENAME, b"src/a.py", there=Kind.FILE),
        change(b"src/a.py", FsOp.RENAME, b"/tmp/x"),
        change(b"src/a.py", FsOp.UNLINK),
        change(b"src/a.py", FsOp.LINK, b"src/b.py"),
        change(b"src", FsOp.RENAME, b"lib", kind=Kind.DIR, beneath=(b"a.py",)),
        change(b"lib", FsOp.RENAME, b"src", kind=Kind.DIR, beneath=(b"a.py",)),
    ],
)
def test_every_way_to_touch_a_file(event: FsEvent) -> None:
    used = states_of([A._replace(attempts=1, spent=True)])
    assert len(files(rules(attempts=1), used, event)) == 1


def test_a_fixer_runs_as_long_as_something_may_be_fixed() -> None:
    found = rules(attempts=1, fixers=("ruff --fix",))
    used, other = A._replace(attempts=1, spent=True), A._replace(id="2", subject=Subject("path", b"b"))
    assert commands(found, states_of([used, other]), execution("ruff --fix")) == []
    assert len(commands(found, states_of([used]), execution("ruff --fix"))) == 1


def test_a_command_that_was_refused() -> None:
    refused = EpisodeState("1", "ask-push", subject_of(("git", "push")), attempts=2, spent=True)
    found, episodes = rules(attempts=2), states_of([refused])
    assert len(commands(found, episodes, execution("git push"))) == 1
    assert len(commands(found, episodes, execution("git push", normal=False))) == 1
    assert commands(found, episodes, execution("git pull")) == []


# ------------------------------------------------------------------------------------------------- honest fixes


@pytest.mark.parametrize(
    "event",
    [
        change(b"tests/test_a.py"),
        change(b"tests/test_a.py", FsOp.UNLINK),
        change(b"tests/new.py", FsOp.CREATE),
        change(b"tests/test_a.py", FsOp.RENAME, b"/tmp/x"),
        change(b"x", FsOp.RENAME, b"tests/test_a.py"),
        change(b"tests/test_a.py", FsOp.LINK, b"src/by_another_name.py"),
        change(b"tests", FsOp.RENAME, b"gone", kind=Kind.DIR),
        change(b"a", FsOp.RENAME, b"gone", kind=Kind.DIR, beneath=(b"eslint.config.js",)),
        change(b"a", FsOp.RENAME, b"gone", kind=Kind.DIR, beneath=None),
        change(b"a", FsOp.RENAME, b"tests", kind=Kind.DIR, there=Kind.DIR, exchange=True, beneath_other=(b"t",)),
        change(b"tests/test_a.py", FsOp.META, call="fchmodat"),
    ],
)
def test_a_check_is_not_weakened_while_something_is_open(event: FsEvent) -> None:
    found = rules(never_edit=("tests/**", "eslint.config.*"))
    assert len(files(found, states_of([A]), event)) == 1
    assert files(found, states_of([]), event) == []
    assert len(files(found, states_of([A]), event, moving=True)) == 1
    assert files(rules(attempts=1), states_of([A._replace(attempts=1)]), event, moving=True) == []


def test_a_check_is_not_weakened_by_another_name() -> None:
    found = rules(never_edit=("tests/**",))
    assert len(files(found, states_of([A]), change(b"src/link.py"), also=(b"tests/test_a.py",))) == 1
    assert files(found, states_of([A]), change(b"src/link.py"), also=(b"src/b.py",)) == []


def test_a_check_that_could_be_written_to_is_not_weakened() -> None:
    text = RISING.replace("THEN", "deny").replace('must = ["violations-do-not-rise"]', 'never_edit = ["src/*"]')
    policy = policy_of(text)

    def effects(waiting: EpisodeState, event: ContentEvent, *, changed: bool = True) -> list[Effect]:
        found = decide(policy, RunState(episodes=states_of([waiting]), changed=changed), event)
        return [match.effect for match in found.matches]

    assert effects(A, content()) == [Effect.REVERT]
    assert effects(A, content(landing=True)) == [Effect.DENY]
    assert effects(A, content(), changed=False) == effects(B, content()) == []
    assert effects(A._replace(fixable=False), content()) == effects(A, content(commit="1" * 40)) == []


def test_what_was_refused_may_be_put_right_where_it_stands() -> None:
    found = rules(never_edit=("tests/**",))
    mine = A._replace(subject=Subject("path", b"tests/test_a.py"))
    assert files(found, states_of([mine]), change(b"tests/test_a.py")) == []
    assert len(files(found, states_of([mine]), change(b"tests/test_b.py"))) == 1
    assert len(files(found, states_of([A, mine]), change(b"tests/test_a.py"))) == 1


def test_what_no_edit_can_put_right_forbids_none() -> None:
    found = rules(never_edit=("tests/**",), must=("only-named-files",))
    push = EpisodeState("1", "ask-push", subject_of(("git", "push")), actions=frozenset((5,)), attempts=1)
    assert files(found, states_of([push]), change(b"tests/test_a.py")) == []
    assert files(found, states_of([A]), change(b"tests/a", FsOp.META, call="utimensat")) == []


def test_an_attempt_touches_only_what_is_named() -> None:
    found = rules(must=("only-named-files",), paths=("*.lock", "docs/**"), exempt=("docs/adr/**",))
    mine = states_of([A._replace(actions=frozenset((5,)), named=(b"src/b.py",))])
    for path in (b"src/a.py", b"src/b.py", b"uv.lock", b"docs/x.md", b"/tmp/x"):
        assert files(found, mine, change(path)) == []
    for path in (b"src/c.py", b"docs/adr/1.md"):
        (message,) = files(found, mine, change(path))
        assert message == f"{path.decode()} is no part of the fix of src/a.py (one-client)"
    assert files(found, mine, change(b"src/c.py", action=6)) == []


def test_where_nothing_is_named_there_is_nothing_to_hold_to() -> None:
    package = EpisodeState("1", "x", Subject("package", b"npm:y"), fixable=True, actions=frozenset((5,)))
    assert files(rules(must=("only-named-files",)), states_of([package]), change(b"src/c.py")) == []
    assert len(files(rules(must=("only-named-files",), paths=("z",)), states_of([package]), change(b"c"))) == 1


RISING = """version = 1
[[dependency]]
id = "warned"
why = "w"
deny = ["pypi:requests", "pypi:urllib3"]
then = "warn"
[[remediation]]
id = "honest"
why = "w"
must = ["violations-do-not-rise"]
then = "THEN"
"""


def content(*modules: str, **facts: Any) -> ContentEvent:
    imports = tuple(Import("pypi", module, 1) for module in modules)
    return ContentEvent(ACTOR, target(b"/w/tree/src/b.py"), Findings(imports=imports), **facts)


def spoken(policy: Any, event: ContentEvent, opening: int | None, standing: int = 0) -> list[Effect]:
    waiting = states_of([A._replace(opening=opening), B])
    found = decide(policy, RunState(episodes=waiting, standing=standing), event)
    return [match.effect for match in found.matches if match.invariant.id == "honest"]


@pytest.mark.parametrize(
    ("then", "landing", "effect"),
    [
        ("deny", False, Effect.REVERT),
        ("deny", True, Effect.DENY),
        ("ask", False, Effect.REVERT),
        ("ask", True, Effect.DENY),
        ("warn", False, Effect.WARN),
        ("kill", True, Effect.KILL),
    ],
)
def test_violations_do_not_rise(then: str, landing: bool, effect: Effect) -> None:
    policy = policy_of(RISING.replace("THEN", then))
    one, two = content("requests", landing=landing), content("requests", "urllib3", landing=landing)
    assert spoken(policy, one, 0) == [effect]
    assert spoken(policy, one, 1) == []  # as many as there were
    assert spoken(policy, two, 1) == [effect]
    assert spoken(policy, two, 1, standing=-1) == []  # another file has got better
    assert spoken(policy, one, 1, standing=1) == [effect]
    assert spoken(policy, one, None) == []  # nobody has counted
    assert spoken(policy, content(landing=landing), 0) == []
    assert spoken(policy, content("requests", commit="1" * 40), 0) == []


def test_what_was_there_counts_and_what_others_committed_does_not() -> None:
    policy = policy_of(RISING.replace("THEN", "deny"))
    same = content("requests").now
    assert spoken(policy, content("requests", before=same), 0) == [Effect.REVERT]
    assert spoken(policy, content("requests", prior=same), 0) == []


def test_the_strictest_opening_counts() -> None:
    policy = policy_of(RISING.replace("THEN", "deny"))
    waiting = states_of([A._replace(opening=3), B._replace(opening=0), B._replace(opening=-9, fixable=False)])
    (match,) = (each for each in decide(policy, RunState(episodes=waiting), content("requests")).matches[:1])
    assert match.message == "src/b.py would leave 1 violation more than there were when one-client refused src/b.py"
    without = policy_of(RISING.replace("THEN", "deny").replace('must = ["violations-do-not-rise"]', "attempts = 3"))
    assert not decide(without, RunState(episodes=waiting), content("requests")).blocks


# ------------------------------------------------------------------------------------------- profile and coverage


def test_what_a_profile_says_arrives() -> None:
    text = """
version = 1
[[remediation]]
id = "honest-fixes"
why = "a fix must not weaken the check"
fixers = ["eslint --fix", "npm audit fix"]
attempts = 3
must = ["violations-do-not-rise", "only-named-files"]
never_edit = ["**/*.test.ts", ".github/**"]
"""
    made = next(each for each in profile_of(text).rules if each.id == "honest-fixes")
    found = compile_remediation([made], {"honest-fixes": Invariant("honest-fixes", "remediation", "deny")})
    assert found.attempts() == 3
    assert found.ids() == {"honest-fixes"}
    (one,) = found.rules
    assert (one.rise, one.named, one.effect) == (True, True, Effect.DENY)
    assert one.fixers == (("eslint", "--fix"), ("npm", "audit", "fix"))
    assert one.never_edit.match(b"a/b.test.ts")


@pytest.mark.parametrize(
    ("table", "coverage"),
    [
        ({"attempts": 3}, Coverage.SUPERVISED),
        ({"attempts": 3, "then": "warn"}, Coverage.OBSERVED),
        ({"never_edit": ("a",)}, Coverage.SUPERVISED),
        ({"must": ("violations-do-not-rise",)}, Coverage.OBSERVED),
        ({"fixers": ("x",)}, Coverage.OBSERVED),
    ],
)
def test_coverage(table: dict[str, Any], coverage: Coverage) -> None:
    found, note = describe(rule(**table))
    assert found is coverage
    assert note
