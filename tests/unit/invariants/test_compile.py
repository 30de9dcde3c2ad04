"""Profile -> policy: every rule becomes a named invariant that says how firmly it holds here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor.invariants.compile import compile_policy
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.kinds import KINDS
from supervisor.profile.load import load
from supervisor.run.examples import check_examples, unchecked
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import CONTEXT, HOME, TREE, effect, policy_of, profile_of, read, write

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
RULES = """
version = 1
[[dependency]]
id = "r-dependency"
why = "w"
deny = ["pypi:requests"]
[[deploy]]
id = "r-deploy"
why = "w"
deny = ["deploy"]
[[secrets]]
id = "r-secrets"
why = "w"
patterns = ["FAKE-[0-9]+"]
[[command]]
id = "r-command"
why = "w"
deny = ["vcs-remote"]
[[boundary]]
id = "r-boundary"
why = "w"
layers = ["a/**", "b/**"]
[[infra]]
id = "r-infra"
why = "w"
files = ["*.tf"]
at = "a.b"
never = "x"
[[data]]
id = "r-data"
why = "w"
paths = ["data/**"]
access = "read"
[[remediation]]
id = "r-remediation"
why = "w"
attempts = 3
[[guardrail]]
id = "r-guardrail"
why = "w"
per = "run"
max = { files = 40 }
[[contract]]
id = "r-contract"
proves = ["r-boundary"]
when = "stop"
run = ["true"]
"""


def test_every_kind_of_rule_becomes_a_named_invariant() -> None:
    found = policy_of(RULES).invariants
    named = set(re.findall(r'id = "r-(\w+)"', RULES))
    assert named | {"rule"} == {kind.name for kind in KINDS} | {"contract"}, "a kind has no sample here"
    for kind in named:
        rule = found[f"r-{kind}"]
        judged = Coverage.OBSERVED if kind == "contract" else Coverage.SUPERVISED
        assert (rule.kind, rule.coverage) == (kind, judged)
        assert rule.note
        assert re.fullmatch(r"govrun\.toml:\d+", rule.source)


@pytest.mark.parametrize("example", ["example_a", "example_b"])
def test_the_documented_profiles_compile(example: str) -> None:
    profile = load(FIXTURES / example)
    compiled = compile_policy(profile, CONTEXT)
    for rule in (*profile.rules, *profile.contracts):
        made = compiled.invariants[rule.id]
        assert (made.source, made.kind, made.why, made.use) == (rule.source, rule.kind, rule.why, rule.use)
        assert made.adr_blob == (rule.adr.sha1_blob if rule.adr is not None else "")


def test_what_holds_how_firmly() -> None:
    found = policy_of('version = 1\n[scope]\nwhy = "w"\ntimeout = "2h"\nfiles = 100\ncommands = ["ls"]\n').invariants
    coverage = {name: rule.coverage.word for name, rule in found.items()}
    assert coverage == {
        "govrun.state": "enforced",
        "govrun.policy": "supervised",
        "govrun.path": "supervised",
        "govrun.exec": "supervised",
        "govrun.processes": "enforced",
        "git.internals": "supervised",
        "scope.write": "supervised",
        "scope.protect": "supervised",
        "scope.hide": "enforced",
        "scope.hosts": "supervised",
        "scope.commands": "supervised",
        "scope.env": "enforced",
        "scope.timeout": "supervised",
        "scope.files": "enforced",
        "ask-push": "supervised",
        "ask-deploy": "supervised",
    }


def test_an_older_kernel_is_said() -> None:
    assert policy_of(abi=5).invariants["govrun.processes"].coverage is Coverage.SUPERVISED


def test_a_word_that_lets_things_happen_only_observes() -> None:
    text = 'version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "warn"\nwrite = ["src/**"]\n'
    assert policy_of(text).invariants["scope.write"].coverage is Coverage.OBSERVED
    asks = policy_of(text.replace("warn", "ask"))
    assert asks.invariants["scope.write"].coverage is Coverage.SUPERVISED


def test_tracing_makes_commands_observed() -> None:
    found = policy_of('version = 1\n[scope]\nwhy = "w"\ncommands = ["ls"]\ndebug = true\n').invariants
    assert found["scope.commands"].coverage is Coverage.OBSERVED


@pytest.mark.parametrize(
    "line",
    [
        'tls = ["a.example:443"]',
    ],
)
def test_a_key_that_nothing_judges_yet_says_so(line: str) -> None:
    key = line.partition(" ")[0]
    rule = policy_of(f'version = 1\n[scope]\nwhy = "w"\n{line}\n').invariants[f"scope.{key}"]
    assert rule.coverage is Coverage.UNENFORCEABLE
    assert rule.note
    assert rule.source == "govrun.toml:4"


def test_what_the_kernel_cannot_hide_is_judged_name_by_name() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nhide = [".env*", "~/.netrc", "~/.ssh/**", "~/.x*/**"]\n')
    rule = policy.invariants["scope.hide.files"]
    assert (rule.coverage, rule.source) == (Coverage.SUPERVISED, "govrun.toml:4") and policy.judges_reads
    assert HOME + b"/.ssh" in policy.hide
    assert not any(b".x*" in folder or b".netrc" in folder for folder in policy.hide)
    assert "scope.hide.files" not in policy_of().invariants and not policy_of().judges_reads
    lax = policy_of('version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "warn"\nhide = [".env*"]\n')
    assert lax.invariants["scope.hide.files"].coverage is Coverage.OBSERVED


def test_a_hidden_folder_around_the_tree_is_refused() -> None:
    profile = profile_of('version = 1\n[scope]\nwhy = "w"\nhide = ["~/work/**"]\n')
    assert HOME + b"/work" in compile_policy(profile, CONTEXT).hide
    for tree in (HOME + b"/work/app", HOME + b"/work/app/deep"):
        with pytest.raises(ProfileError, match="working tree"):
            compile_policy(profile, CONTEXT._replace(tree=tree))
    assert compile_policy(profile, CONTEXT._replace(tree=HOME + b"/work2"))


def test_host_names_that_nothing_resolves_are_said() -> None:
    found = policy_of('version = 1\n[scope]\nwhy = "w"\nhosts = ["a.example:443", "10.0.0.0/8"]\n').invariants
    assert found["scope.hosts.names"].coverage is Coverage.UNENFORCEABLE
    assert "a.example:443" in found["scope.hosts.names"].note


# ---------------------------------------------------------------------------------------------------- require


def required(text: str) -> CompiledPolicy:
    return compile_policy(profile_of(text), CONTEXT)


def test_a_required_level_that_cannot_be_had_stops_the_start() -> None:
    rule = '[[dependency]]\nid = "x"\nwhy = "w"\ndeny = ["hex:a"]\nrequire = "observed"\n'
    with pytest.raises(ProfileError) as caught:
        required("version = 1\n" + rule)
    assert "x is unenforceable here" in caught.value.why
    assert "observed is required" in caught.value.why


def test_a_level_for_everything() -> None:
    text = 'version = 1\nextends = []\nrequire = "{}"\n'
    assert required(text.format("observed")).invariants
    assert required(text.format("supervised")).invariants
    with pytest.raises(ProfileError) as caught:
        required(text.format("enforced"))
    refused = set(re.findall(r": (\S+) is supervised here", caught.value.why))
    assert {"scope.write", "scope.hosts"} <= refused
    assert not any(ident.startswith("govrun.") for ident in refused)  # the profile speaks of its own rules
    assert "scope.env" not in refused


def test_a_scope_can_demand_a_level() -> None:
    text = 'version = 1\nextends = []\n[scope]\nwhy = "w"\nrequire = "supervised"\ntls = ["a.example:443"]\n'
    with pytest.raises(ProfileError, match="cannot be held as required"):
        required(text)


def test_every_failing_rule_is_named_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        required(RULES.replace("version = 1", 'version = 1\nrequire = "supervised"'))
    assert caught.value.what == "1 invariant cannot be held as required"
    assert len(caught.value.why.splitlines()) == 1


# ------------------------------------------------------------------------------------------------ dependencies


def dependency(fields: str) -> Invariant:
    return policy_of(f'version = 1\n[[dependency]]\nid = "x"\nwhy = "w"\n{fields}\n').invariants["x"]


def test_how_firmly_a_dependency_rule_holds() -> None:
    assert dependency('deny = ["pypi:a", "npm:b <2", "*:c"]').coverage is Coverage.SUPERVISED
    assert dependency('deny = ["pypi:a"]\nthen = "warn"').coverage is Coverage.OBSERVED
    assert dependency('install = "lock-only"').coverage is Coverage.SUPERVISED
    foreign = dependency('deny = ["composer:a", "hex:b"]')
    assert foreign.coverage is Coverage.UNENFORCEABLE
    assert "composer, hex" in foreign.note
    mixed = dependency('deny = ["hex:a", "npm:b"]')
    assert mixed.coverage is Coverage.SUPERVISED
    assert mixed.note.endswith("not judged: hex")
    assert "what is new is told by origin/main" in dependency('deny = ["npm:b"]\nbaseline = "origin/main"').note
    assert "allow_only" in dependency('allow_only = ["npm:b"]').note
    assert dependency('deny = ["npm:b"]').then == "revert"


@pytest.mark.parametrize("text", ["pypi:a <x", "npm:b 1.2.3.4", "*:c <1 || <y"])
def test_a_range_that_cannot_be_read_stops_the_start(text: str) -> None:
    with pytest.raises(ProfileError, match="version range") as caught:
        dependency(f'deny = ["{text}"]')
    assert caught.value.why.startswith("govrun.toml:")


def test_what_the_base_locks_name_is_kept() -> None:
    text = 'version = 1\n[[dependency]]\nid = "x"\nwhy = "w"\ndeny = ["pypi:a"]\n'
    locked = frozenset({("pypi", "a")})
    found = policy_of(text, locked=locked, with_lock=frozenset({"pypi"})).dependencies
    assert (found.locked, found.with_lock, len(found.rules)) == (locked, {"pypi"}, 1)
    assert not policy_of().dependencies


@pytest.mark.parametrize("example", ["example_a", "example_b"])
def test_the_examples_of_the_documented_profiles_hold(example: str) -> None:
    profile = load(FIXTURES / example)
    compiled = compile_policy(profile, CONTEXT)
    dependencies = [rule for rule in compiled.invariants.values() if rule.kind == "dependency"]
    assert dependencies
    judged = [rule for rule in dependencies if rule.coverage is Coverage.SUPERVISED]
    assert {rule.id for rule in judged} >= {"one-http-client" if example == "example_a" else "no-moment"}
    assert check_examples(compiled, profile) == []


def test_examples_that_do_not_hold_are_told() -> None:
    rule = '[[dependency]]\nid = "x"\nwhy = "w"\ndeny = ["pypi:a"]\n'
    lines = (
        'examples = { denied = ["pip install a", "pip install b", "ls a", "write s.py: import a", '
        '"write s.py: import b"], allowed = ["uv add a", "write s.py: x"] }\n'
    )
    more = """[[guardrail]]
id = "g"
why = "w"
per = "run"
max = { execs = 3 }
examples = { denied = ["ls"] }
[[command]]
id = "y"
why = "w"
deny = ["vcs-remote"]
then = "ask"
examples = { denied = ["git push origin main", "connect localhost:1"], allowed = ["git status"] }
"""
    profile = profile_of(f"version = 1\n{rule}{lines}{more}")
    policy = compile_policy(profile, CONTEXT)
    assert [problem.partition(": ")[2] for problem in check_examples(policy, profile)] == [
        "x: 'pip install b' is given as denied, and this rule lets it pass",
        "x: 'ls a' is given as denied, and this rule lets it pass",
        "x: 'write s.py: import b' is given as denied, and this rule lets it pass",
        "x: 'uv add a' is given as allowed, and is refused",
        "y: 'connect localhost:1' is given as denied, and this rule lets it pass; it is refused by scope.hosts",
    ]
    assert [line.partition(": ")[2] for line in unchecked(policy, profile)] == ["g: 'ls'"]


# ------------------------------------------------------------------------------------------------------ tables


def test_protection_in_the_home_folder_is_kept_apart_from_the_trees() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nprotect = ["~/.config/x/**", "x/**"]\n')
    assert policy.home_protect.match(b".config/x/a")
    assert not policy.protect.match(b".config/x/a")
    assert policy.protect.match(b"x/a")


def test_profile_and_records_bind_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "docs/adr").mkdir(parents=True)
    record = "---\nstatus: accepted\nenforces:\n  - dependency: { id: no-x, deny: ['pypi:x'] }\n---\n# No x\n"
    (tmp_path / "docs/adr/0007-no-x.md").write_text(record)
    (tmp_path / "govrun.toml").write_text("version = 1\n")
    policy = compile_policy(load(tmp_path), CONTEXT._replace(tree=str(tmp_path).encode()))
    folder = str(tmp_path).encode()
    assert policy.protected_files == {folder + b"/govrun.toml", folder + b"/docs/adr/0007-no-x.md"}
    rule = policy.invariants["no-x"]
    assert rule.source.startswith("docs/adr/0007-no-x.md")
    assert effect(policy, write(folder + b"/docs/adr/0007-no-x.md")) is Effect.DENY


def test_the_digest_is_the_profiles() -> None:
    assert policy_of().digest == profile_of("version = 1\n").digest
    assert policy_of().digest != policy_of("version = 1\nextends = []\n").digest


def test_nothing_is_hidden_without_a_rule() -> None:
    policy = policy_of("version = 1\nextends = []\n")
    assert policy.hide == ()
    assert effect(policy, read(HOME + b"/.ssh/id")) is Effect.ALLOW
    assert policy.tree == TREE


def test_an_agent_pack_names_hosts_that_open_nothing_more() -> None:
    """A name is judged by its port alone, so granting one would open every public host there."""
    listed = 'version = 1\n[scope]\nwhy = "w"\nhosts = ["192.0.2.7:443"]\n'
    policy = policy_of(listed, agent_hosts=("api.example:443", "192.0.2.8:8443"))
    assert [rule.entry.value for rule in policy.hosts.granted] == ["192.0.2.8:8443"]
    assert "hosts has to name api.example:443" in policy.invariants["scope.hosts"].use
    assert "scope.hosts.names" not in policy.invariants
    assert policy_of(agent_hosts=("api.example:443",)).invariants["scope.hosts"].use == ""


def test_an_agent_pack_adds_its_programs_to_listed_commands() -> None:
    listed = 'version = 1\n[scope]\nwhy = "w"\ncommands = ["ls"]\n'
    names = [[entry.value for entry in names] for names, _ in policy_of(listed, agent_programs=("x",)).commands.layers]
    assert names == [["ls", "x"]]
    assert policy_of(agent_programs=("x",)).commands.layers == ()
