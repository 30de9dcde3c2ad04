"""[[deploy]] and [[command]]: deny and allow over classes, targets and first words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.actions import ActionRules, compile_actions, describe, judge_exec
from supervisor.profile.model import Rule
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect

ACTOR = Actor(1, 0, 0, b"/bin/sh", (b"sh",), 1)


def rule(
    kind: str = "command", ident: str = "r", then: str = "deny", layer: str = "govrun.toml", **fields: object
) -> Rule:
    paths, exempt = fields.pop("paths", ()), fields.pop("exempt", ())
    return Rule(kind, ident, then, paths=paths, exempt=exempt, fields=fields, source="govrun.toml:3", layer=layer)  # type: ignore[arg-type]


def compiled(*rules: Rule) -> ActionRules:
    return compile_actions(rules, {each.id: Invariant(each.id, each.kind, each.then or "deny") for each in rules})


def event(*commands: Command) -> ExecEvent:
    return ExecEvent(ACTOR, Target(b"/usr/bin/x", Kind.FILE), b"x", (b"x",), b"/w", "stop", commands=commands)


def told(
    rules: ActionRules, *commands: Command, cwd: bytes | None = b"", changed: frozenset[str] = frozenset()
) -> list[str]:
    return [match.message for match in judge_exec(rules, event(*commands), cwd, changed)]


def denies(rules: ActionRules, command: Command, **more: object) -> bool:
    return bool(told(rules, command, **more))  # type: ignore[arg-type]


def command(
    line: str, *classes: str, targets: tuple[str, ...] = (), resolved: bool = True, source: str = ""
) -> Command:
    words = tuple(line.split())
    return Command(words[0], words[1] if len(words) > 1 else "", words, classes, targets, resolved, source=source)


APPLY = command("kubectl apply -f x", "deploy", targets=("prod-eu",))
PUSH = Command(
    "git",
    "push",
    ("git", "push", "origin", "main"),
    ("vcs-remote",),
    ("origin", "refs/heads/main"),
    stands_for=(("origin", "git@host:org/repo"),),
)


def test_messages_name_what_and_where() -> None:
    deploy = compiled(rule("deploy", deny=("deploy",)))
    assert told(deploy, APPLY) == ["kubectl apply deploys to prod-eu (class deploy)"]
    push = compiled(rule(deny=("vcs-remote",)))
    assert told(push, PUSH) == ["git push to origin (git@host:org/repo) refs/heads/main (vcs-remote)"]
    many = command("x y", "publish", targets=tuple(f"t{n}" for n in range(9)))
    assert told(compiled(rule("deploy", deny=("publish",))), many) == [
        "x y publishes to t0 t1 t2 t3 and 5 more (class publish)"
    ]


def test_messages_are_one_line_of_bounded_length() -> None:
    bad = Command("git", "push\n\x1b[2J\udcff" + "a" * 10_000, ("git",), ("deploy",), ("x\ny" * 5000, "\udc80"))
    (message,) = told(compiled(rule("deploy", deny=("deploy",))), bad)
    assert message.isprintable()
    assert len(message) < 800
    message.encode()


def test_only_denied_classes_are_denied() -> None:
    rules = compiled(rule("deploy", deny=("publish",)))
    assert not denies(rules, APPLY)
    assert not denies(rules, command("ls -la"))
    assert denies(rules, command("npm publish", "publish"))


def test_a_star_means_the_classes_of_its_kind() -> None:
    every = ({"class": "*", "target": "*"},)
    assert denies(compiled(rule(deny=every)), PUSH)
    assert not denies(compiled(rule("deploy", deny=every)), PUSH)
    assert denies(compiled(rule("deploy", deny=every)), APPLY)


# ------------------------------------------------------------------------------------------------------ targets

DEV = ({"class": "deploy", "target": "dev*"},)


def test_an_allowed_target_exempts_from_the_same_rule() -> None:
    rules = compiled(rule("deploy", deny=("deploy", "infra-destroy"), allow=DEV))
    assert not denies(rules, APPLY._replace(targets=("dev-eu",)))
    assert not denies(rules, APPLY._replace(targets=("dev-eu/payments",)))
    assert denies(rules, APPLY)
    assert denies(rules, command("kubectl delete x", "infra-destroy", targets=("dev-eu",)))


def test_an_allow_does_not_exempt_from_another_rule() -> None:
    rules = compiled(rule("deploy", "a", deny=("deploy",)), rule("deploy", "b", allow=DEV))
    dev = APPLY._replace(targets=("dev-eu",))
    assert [match.invariant.id for match in judge_exec(rules, event(dev), b"")] == ["a"]


def test_every_target_has_to_be_allowed() -> None:
    rules = compiled(rule("deploy", deny=("deploy",), allow=DEV))
    assert denies(rules, APPLY._replace(targets=("dev-eu", "prod-eu")))
    assert denies(rules, APPLY._replace(targets=()))
    both = compiled(rule("deploy", deny=("deploy",), allow=(*DEV, {"class": "deploy", "target": "prod-eu"})))
    assert not denies(both, APPLY._replace(targets=("dev-eu", "prod-eu")))


def test_what_cannot_be_told_is_allowed_by_no_target_and_denied_by_each() -> None:
    allowing = compiled(rule("deploy", deny=("deploy",), allow=DEV))
    denying = compiled(rule("deploy", deny=({"class": "deploy", "target": "prod*"},)))
    unknown = APPLY._replace(targets=("dev-eu",), resolved=False)
    assert denies(allowing, unknown)
    assert "cannot be told" in told(allowing, unknown)[0]
    assert denies(denying, unknown)
    assert not denies(denying, APPLY._replace(targets=("dev-eu",)))
    assert not denies(compiled(rule("deploy", deny=("deploy",), allow=("deploy",))), unknown)


def test_a_target_from_a_file_that_the_run_changed_is_allowed_by_no_target() -> None:
    rules = compiled(rule("deploy", deny=("deploy",), allow=DEV))
    read = APPLY._replace(targets=("dev-eu",), source="/w/kubeconfig")
    assert not denies(rules, read)
    assert not denies(rules, read, changed=frozenset(("/w/other",)))
    assert "which the run changed" in told(rules, read, changed=frozenset(("/w/kubeconfig",)))[0]


def test_a_remote_is_allowed_by_name_or_address() -> None:
    def allowing(*patterns: str) -> ActionRules:
        allow = tuple({"class": "vcs-remote", "target": each} for each in patterns)
        return compiled(rule(deny=("vcs-remote",), allow=allow))

    assert not denies(allowing("origin", "refs/heads/main"), PUSH)
    assert not denies(allowing("git@host:org/*", "refs/heads/*"), PUSH)
    assert not denies(allowing("git@host:org", "refs"), PUSH)
    assert denies(allowing("origin"), PUSH)
    assert denies(allowing("refs/heads/*"), PUSH)
    assert denies(allowing("git@host:other/*", "refs/heads/*"), PUSH)
    two = PUSH._replace(stands_for=(("origin", "git@host:org/repo"), ("origin", "evil:x")))
    assert denies(allowing("git@host:*", "refs/*"), two)
    denying = compiled(rule(deny=({"class": "vcs-remote", "target": "evil:*"},)))
    assert denies(denying, two)
    assert not denies(denying, PUSH)


def test_a_pattern_of_one_push_is_not_met_by_a_push_of_all() -> None:
    allow = ({"class": "vcs-remote", "target": "origin"}, {"class": "vcs-remote", "target": "refs/heads/agent/*"})
    rules = compiled(rule(deny=("vcs-remote",), allow=allow))
    assert not denies(rules, PUSH._replace(targets=("origin", "refs/heads/agent/x")))
    assert denies(rules, PUSH._replace(targets=("origin", "refs/heads/*")))
    assert denies(rules, PUSH._replace(targets=("origin", "refs/*")))


# --------------------------------------------------------------------------------------------------- first words


@pytest.mark.parametrize(
    ("prefix", "line", "expected"),
    [
        ("git push", "git push origin main", True),
        ("git push", "git pull", False),
        ("git push --force", "git push origin main --force", True),
        ("git push --force", "git push --force origin", True),
        ("git push --force", "git push origin", False),
        ("git push --force", "git push --force-with-lease origin", False),
        ("git push origin main", "git push -v origin main", True),
        ("git push origin main", "git push -o x origin main", True),
        ("git push origin main", "git push origin other", False),
        ("rm -rf", "rm -r -f x", True),
        ("rm -rf", "rm -fr x", True),
        ("rm -rf", "rm x -vrf", True),
        ("rm -rf", "rm -r x", False),
        ("npm run deploy*", "npm run deploy:prod", True),
        ("npm run deploy*", "npm run build", False),
        ("docker --privileged run", "docker run --privileged x", True),
        ("/usr/bin/make deploy", "make deploy", True),
        ("git push", "git", False),
        ("git -c", "git -c", True),
        ("git push", "gitpush", False),
    ],
)
def test_how_a_command_begins(prefix: str, line: str, expected: bool) -> None:
    assert denies(compiled(rule(deny=(prefix,))), command(line)) is expected
    assert denies(compiled(rule(deny=({"exec": prefix},))), command(line)) is expected


def test_one_program_by_its_name() -> None:
    rules = compiled(rule(deny=({"exec": "terraform"},)))
    assert denies(rules, command("terraform plan"))
    assert not denies(rules, command("tofu plan"))


def test_an_allowed_beginning_is_exact() -> None:
    rules = compiled(rule("deploy", deny=("infra-mutate",), allow=({"exec": "terraform apply plan.out"},)))
    apply = command("terraform apply plan.out", "infra-mutate", targets=("dev",), resolved=False)
    assert not denies(rules, apply)
    assert denies(rules, command("terraform apply -auto-approve plan.out", "infra-mutate"))
    assert denies(rules, command("terraform apply", "infra-mutate"))


def test_a_class_that_is_allowed_exempts_from_a_denied_beginning() -> None:
    allow = ({"class": "vcs-remote", "target": "origin"}, {"class": "vcs-remote", "target": "refs/heads/*"})
    rules = compiled(rule(deny=("git push",), allow=allow))
    assert not denies(rules, PUSH)
    assert denies(rules, PUSH._replace(targets=("evil", "refs/heads/main")))
    assert denies(rules, PUSH._replace(classes=("vcs-remote", "self-governance")))
    assert denies(rules, PUSH._replace(classes=()))


# ------------------------------------------------------------------------------------------------- allow alone


def test_a_rule_that_only_allows_denies_the_rest_of_what_it_speaks_of() -> None:
    rules = compiled(rule("deploy", allow=DEV))
    assert not denies(rules, APPLY._replace(targets=("dev-eu",)))
    assert denies(rules, APPLY)
    assert not denies(rules, command("npm publish", "publish"))


def test_a_program_that_is_allowed_by_its_words_alone() -> None:
    rules = compiled(rule(allow=("git push origin agent",)))
    assert not denies(rules, command("git push origin agent", "vcs-remote"))
    assert denies(rules, command("git push origin main", "vcs-remote"))
    assert denies(rules, command("git reset --hard", "vcs-destroy"))
    assert not denies(rules, command("git status"))
    assert not denies(rules, command("hg push", "vcs-remote"))
    deploy = compiled(rule("deploy", allow=({"exec": "terraform plan"},)))
    assert denies(deploy, command("terraform apply", "infra-mutate"))
    assert not denies(deploy, command("terraform x", "secrets"))


# ----------------------------------------------------------------------------------------------- working directory


def test_paths_are_the_working_directory() -> None:
    rules = compiled(rule("deploy", deny=("deploy",), paths=("infra/**",), exempt=("infra/dev/**",)))
    assert denies(rules, APPLY, cwd=b"infra")
    assert denies(rules, APPLY, cwd=b"infra/prod")
    assert not denies(rules, APPLY, cwd=b"infra/dev")
    assert not denies(rules, APPLY, cwd=b"src")
    assert not denies(rules, APPLY, cwd=b"")
    assert not denies(rules, APPLY, cwd=None)
    assert denies(compiled(rule("deploy", deny=("deploy",))), APPLY, cwd=None)
    assert denies(compiled(rule("deploy", deny=("deploy",), paths=("**",))), APPLY, cwd=b"")


# ------------------------------------------------------------------------------------------------ packs and effects


def pack(then: str = "ask") -> Rule:
    return rule(ident="pack:default/ask-push", then=then, layer="pack:default", deny=("vcs-remote", "publish"))


def test_an_allow_of_the_repository_answers_the_ask_of_a_pack() -> None:
    own = rule(ident="own", allow=({"class": "vcs-remote", "target": "*"},))
    assert [match.effect for match in judge_exec(compiled(pack()), event(PUSH), b"")] == [Effect.ASK]
    assert not denies(compiled(pack(), own), PUSH)
    assert denies(compiled(pack(), own), command("npm publish", "publish"))
    targets = tuple({"class": "vcs-remote", "target": each} for each in ("origin", "refs/heads/agent/*"))
    rules = compiled(pack(), rule(ident="own", deny=("secrets",), allow=targets))
    assert not denies(rules, PUSH._replace(targets=("origin", "refs/heads/agent/x")))
    assert [match.invariant.id for match in judge_exec(rules, event(PUSH), b"")] == ["pack:default/ask-push"]


def test_a_deploy_rule_answers_too_and_an_adr() -> None:
    publish = command("npm publish", "publish", targets=("npm",))
    own = rule("deploy", "own", layer="docs/adr/0007-x.md", allow=("publish",))
    assert not denies(compiled(pack(), own), publish)


def test_what_does_not_answer_a_pack() -> None:
    allow = ({"class": "vcs-remote", "target": "*"},)
    assert denies(compiled(pack("deny"), rule(ident="own", allow=allow)), PUSH)
    assert denies(compiled(pack(), rule(ident="other", layer="pack:strict", allow=allow)), PUSH)
    assert denies(compiled(pack(), rule(ident="own", deny=("secrets",), allow=("git push",))), PUSH)
    elsewhere = rule(ident="own", allow=allow, paths=("tools/**",))
    assert denies(compiled(pack(), elsewhere), PUSH, cwd=b"src")
    assert not denies(compiled(pack(), elsewhere), PUSH, cwd=b"tools")
    asked = rule(ident="mine", then="ask", deny=("vcs-remote",))
    assert denies(compiled(asked, rule(ident="own", allow=allow)), PUSH)


@pytest.mark.parametrize("then", ["observe", "warn", "ask", "deny", "pause", "kill"])
def test_the_effect_is_the_rules_own(then: str) -> None:
    (match,) = judge_exec(compiled(rule(then=then, deny=("vcs-remote",))), event(PUSH), b"")
    assert match.effect is Effect[then.upper()]


def test_a_rule_without_a_word_denies() -> None:
    (match,) = judge_exec(compiled(rule()._replace(then=None, fields={"deny": ("vcs-remote",)})), event(PUSH), b"")
    assert match.effect is Effect.DENY


def test_each_command_of_an_exec_counts() -> None:
    rules = compiled(rule(deny=("vcs-remote", "deploy")))
    assert len(told(rules, command("timeout"), PUSH, APPLY, PUSH)) == 2


def test_truth_of_the_compiled_rules() -> None:
    assert not compile_actions((), {})
    assert compiled(rule(deny=("publish",)))
    assert told(ActionRules(), PUSH) == []


def test_how_firmly_it_holds() -> None:
    assert describe(rule(then="deny"))[0] is Coverage.SUPERVISED
    assert describe(rule(then="ask"))[0] is Coverage.SUPERVISED
    assert describe(rule(then="warn"))[0] is Coverage.OBSERVED
    assert "working directory" in describe(rule(paths=("x/**",)))[1]


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=6),
    st.lists(st.text(max_size=20), max_size=4),
    st.booleans(),
    st.text(max_size=12),
)
def test_an_allow_with_a_target_never_lets_the_unknown_pass(
    words: list[str], targets: list[str], resolved: bool, pattern: str
) -> None:
    rules = compiled(rule("deploy", deny=("deploy",), allow=({"class": "deploy", "target": pattern or "?"},)))
    found = Command(words[0], "", tuple(words), ("deploy",), tuple(targets), resolved)
    if (not resolved or not targets) and pattern != "*":
        assert denies(rules, found)
    told(rules, found)
