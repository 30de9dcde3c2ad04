"""What a good profile becomes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from supervisor.profile.load import load, packs_dir
from supervisor.profile.model import Entry
from supervisor.vocabulary.errors import ProfileError

FIXTURES = Path(__file__).parents[2] / "fixtures"
# What the default pack asks about.
ASKED = [
    ("command", "ask-push", "ask", "pack:default:94"),
    ("deploy", "ask-deploy", "ask", "pack:default:103"),
]


def test_no_profile_is_the_default_pack_alone(tmp_path: Path) -> None:
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/adr/0001-x.md").write_text("---\nstatus: accepted\nenforces: 3\n---\n")
    profile = load(tmp_path)
    assert [source.name for source in profile.sources] == ["pack:default"]
    assert [rule.id for rule in profile.rules] == ["ask-push", "ask-deploy"]
    assert profile.contracts == profile.adrs == profile.warnings == ()
    assert profile.scope.write == profile.scope.hosts == profile.scope.commands == ()
    assert profile.scope.then == "deny"
    assert profile.protected_files == (str(tmp_path / "govrun.toml"),)
    assert "~/.ssh/**" in {entry.value for entry in profile.scope.hide}
    pack = packs_dir() / "default.toml"
    lines = pack.read_text().splitlines()
    for entry in (*profile.scope.protect, *profile.scope.hide, *profile.scope.env_drop):
        name, _, line = entry.source.rpartition(":")
        assert name == "pack:default"
        assert f'"{entry.value}"' in lines[int(line) - 1]
    assert profile.sources[0].sha256 == hashlib.sha256(pack.read_bytes()).hexdigest()


def test_example_a() -> None:
    profile = load(FIXTURES / "example_a")
    assert [(rule.kind, rule.id, rule.then, rule.source) for rule in profile.rules] == [
        ("dependency", "one-http-client", "revert", "govrun.toml:11"),
        ("boundary", "hexagon", "revert", "govrun.toml:19"),
        ("guardrail", "blast-radius", "pause", "govrun.toml:25"),
        *ASKED,
    ]
    assert [(contract.id, contract.kind) for contract in profile.contracts] == [
        ("layers-proved", "contract"),
        ("push-refused", "contract"),
    ]
    assert profile.contracts[1].fields["try"] == {"exec": "git -C . push origin main"}
    assert profile.warnings == ()
    rule = profile.rules[0]
    assert rule.adr is not None
    assert rule.adr.title == "One HTTP client"
    assert rule.adr.path == "docs/adr/0007-one-http-client.md"
    data = (FIXTURES / "example_a" / rule.adr.path).read_bytes()
    assert rule.adr.sha1_blob == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert rule.denied == ("pip install requests", "uv add requests")
    assert rule.fields["only_via"] == ("src/vendor_api/**",)
    assert profile.rules[1].adr is not None
    assert profile.rules[1].adr.status == "accepted"  # from the heading
    assert profile.scope.timeout == 7200.0
    assert [entry.value for entry in profile.scope.write[0]] == [
        *("src/**", "tests/**", "docs/**", "pyproject.toml", "uv.lock"),
    ]
    assert profile.scope.branches == (Entry("agent/*", "govrun.toml:8"),)
    hidden = {entry.value: entry.source for entry in profile.scope.hide}
    assert hidden["~/.ssh/**"] == "govrun.toml:6"  # said by both; the profile names it
    assert hidden[".env*"] == "govrun.toml:6"
    assert hidden["~/.gnupg/**"].startswith("pack:default:")
    assert {os.path.basename(path) for path in profile.protected_files} == {
        *("govrun.toml", "0003-keep-the-domain-free-of-frameworks.md", "0007-one-http-client.md"),
    }


def test_example_b() -> None:
    profile = load(FIXTURES / "example_b")
    assert [rule.id for rule in profile.rules] == [
        *("no-moment", "prod-only-from-ci", "packages", "no-open-ingress", "pinned-actions", "orders-db"),
        *("honest-fixes", "per-action", "no-left-pad", "ask-push", "ask-deploy"),
    ]
    by_id = {rule.id: rule for rule in profile.rules}
    assert by_id["orders-db"].then == by_id["honest-fixes"].then == by_id["prod-only-from-ci"].then == "deny"
    assert by_id["per-action"].then == by_id["packages"].then == "revert"
    assert by_id["no-moment"].adr is not None
    assert by_id["no-moment"].adr.id == "ADR-021"
    carried = by_id["no-left-pad"]
    assert carried.source == "adr/ADR-041-no-left-pad.md:5"
    assert carried.layer == "adr/ADR-041-no-left-pad.md"
    assert carried.adr is not None
    assert carried.adr.title == "No packages for one line"
    assert by_id["prod-only-from-ci"].fields["allow"] == (
        {"class": "deploy", "target": "dev*"},
        {"exec": "terraform plan"},
    )


def test_every_kind_and_key_loads(tmp_path: Path) -> None:
    (tmp_path / "govrun.toml").write_text(
        """
version = 1
require = "observed"
require_committed = true
default = { then = "warn", ask = "deny", ask_timeout = "5s" }
[scope]
then = "kill"
why = "small"
use = "less"
write = ["a b/**", "/c", 'd\\#e']
read = ["x/**"]
hosts = ["*.example.com:443", "127.0.0.1:8080", "[::1]:*", "10.0.0.0/8", "[fd00::/8]:5432", "unix:/run/x.sock",
  "registry:npm"]
tls = ["api.example.com:443"]
commands = ["git", "/usr/bin/make", "python3*"]
env = { pass = ["GH_TOKEN"], drop = ["TF_*"], set = { CI = "1" } }
branches = ["agent/*"]
push = ["origin agent/*"]
pull_requests = { base = "main", draft = true }
commits = { author = "A <a@example.com>", trailers = ["Assisted-by"] }
tools = { executables = ["rg"], mcp = ["docs"] }
state = ["~/.agent/memory/**"]
debug = true
timeout = "1h30m"
cpu = 60
memory = "2GiB"
disk = "1GB"
processes = 100
files = 5000
examples = { denied = ["write /etc/passwd: x"], allowed = ["connect a.example.com:443"] }
[dependency]
id = "dep"
why = "w"
allow_only = ["pypi:*", "cargo:serde >=1, <2"]
sources = ["registry:pypi"]
transitive = true
baseline = "origin/main"
except = ["legacy/**"]
[[secrets]]
id = "sec"
why = "w"
patterns = ["fake_[a-z]{8}"]
allow = ["fake_examples"]
[[command]]
id = "cmd"
why = "w"
deny = ["vcs-remote", "git stash", { exec = "make" }, { class = "deploy", target = "prod*" }]
[[infra]]
id = "api"
why = "w"
api = [{ host = "api.example.com", methods = ["DELETE"], paths = ["/v1/**"], actions = ["Delete*"] }]
[[infra]]
id = "doc"
why = "w"
files = ["*.yaml"]
at = "spec"
must = { replicas = "range:1..5", image = ["a", "b"], ok = true }
[[data]]
id = "dumps"
why = "w"
paths = ["~/dumps/**", "*.sqlite"]
access = "hide"
[[rule]]
id = "other"
why = "w"
match = "true"
until = "2999-12-31"
require = "supervised"
[[contract]]
id = "canary"
proves = ["other", "scope.write"]
when = "start"
canary = "patch"
"""
    )
    profile = load(tmp_path)
    scope = profile.scope
    assert (profile.require, profile.require_committed, profile.ask, profile.ask_timeout) == (
        "observed",
        True,
        "deny",
        5.0,
    )
    assert (scope.timeout, scope.cpu, scope.memory, scope.disk) == (5400.0, 60.0, 2 << 30, 10**9)
    assert scope.hosts[0][-1] == Entry("registry:npm", "govrun.toml:13")
    assert scope.env_set["CI"] == Entry("1", "govrun.toml:16")
    assert scope.pull_requests == {"base": ("main",), "draft": True}
    assert scope.debug is True
    assert profile.default_then == "warn"
    by_id = {rule.id: rule for rule in profile.rules}
    assert by_id["cmd"].then == by_id["api"].then == by_id["other"].then == "warn"  # before-act: the profile's default
    assert by_id["sec"].then == by_id["doc"].then == "revert"  # content kinds keep theirs
    assert by_id["dep"].exempt == ("legacy/**",)
    assert by_id["dep"].baseline == "origin/main"
    assert by_id["doc"].fields["must"] == {"replicas": "range:1..5", "image": ("a", "b"), "ok": True}
    assert by_id["other"].until == "2999-12-31"
    words = scope.words_of("govrun.toml:11")
    assert (words.then, words.why, words.use) == ("kill", "small", "less")
    assert scope.words_of(scope.protect[0].source).then == "deny"
    assert scope.then == "kill"


def test_the_scope_may_name_its_decision(tmp_path: Path) -> None:
    (tmp_path / "adr").mkdir()
    (tmp_path / "adr/1-x.md").write_text("# 1. X\n\n## Status\n\nAccepted\n")
    (tmp_path / "govrun.toml").write_text("[scope]\nadr = '1'\nwrite = ['a']\n")
    profile = load(tmp_path)
    adr = profile.scope.words_of("govrun.toml:3").adr
    assert adr is not None
    assert adr.path == "adr/1-x.md"


def test_profile_elsewhere_replaces_the_one_in_the_tree(tmp_path: Path) -> None:
    tree, other = tmp_path / "tree", tmp_path / "team.toml"
    tree.mkdir()
    (tree / "govrun.toml").write_text("[scope]\nwrite = ['a']\n")
    other.write_text("[scope]\nwrite = ['b']\n")
    profile = load(tree, profile=other)
    assert profile.scope.write == ((Entry("b", f"{other}:2"),),)
    assert profile.protected_files == (str(tree / "govrun.toml"),)


def test_the_digest_covers_every_source(tmp_path: Path) -> None:
    tree = tmp_path / "a"
    shutil.copytree(FIXTURES / "example_a", tree)
    digests = {load(tree).digest}
    for name in ("govrun.toml", "docs/adr/0003-keep-the-domain-free-of-frameworks.md"):
        with (tree / name).open("a") as file:
            file.write("\n")
        digests.add(load(tree).digest)
    digests.add(load(tree, extra_packs=["strict"]).digest)
    assert len(digests) == 4
    with (tree / "docs/adr/0005-money-as-integers.md").open("a") as file:
        file.write("\n")  # in no rule's name
    assert load(tree).digest not in digests - {load(tree).digest}


@pytest.mark.parametrize("name", ["default", "strict"])
def test_shipped_packs_hold_only_what_is_judged(tmp_path: Path, name: str) -> None:
    profile = load(tmp_path, extra_packs=[name])
    assert profile.warnings == ()
    assert [(rule.kind, rule.id, rule.then, rule.source) for rule in profile.rules] == ASKED
    assert profile.contracts == ()
    assert set(profile.scope.sources) <= {"write", "protect", "hide", "hosts", "commands", "timeout", "env_drop"}
    assert all(entry.value.startswith("~/") and entry.value.endswith("/**") for entry in profile.scope.hide)


def test_strict_takes_the_network(tmp_path: Path) -> None:
    profile = load(tmp_path, extra_packs=["strict"])
    assert profile.scope.hosts == ((),)
    assert profile.scope.timeout == 7200.0
    assert [source.name for source in profile.sources] == ["pack:default", "pack:strict"]


def test_a_tree_that_is_gone(tmp_path: Path) -> None:
    assert len(load(tmp_path / "gone").rules) == len(ASKED)  # the caller owns the question whether the tree exists


def test_pack_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "default.toml").write_text(
        "extends = ['pack:b']\nrelax = []\n[[rule]]\nid = 'x'\nmatch = 'y'\nadr = '1'\n"
    )
    (packs / "b.toml").write_text("extends = ['pack:default']\n[scope]\nhots = []\n")
    monkeypatch.setattr("supervisor.profile.packs.packs_folder", lambda: str(packs))
    with pytest.raises(ProfileError) as caught:
        load(tmp_path)
    assert caught.value.what == "the profile has 4 errors"
    assert caught.value.why.splitlines() == [
        'pack:default:2: "relax" belongs to govrun.toml, not to a pack',
        'pack:default:6: a pack cannot rest on the decision record "1" of some tree; give "why"',
        "pack:b:1: extends in a circle: pack:default -> pack:b -> pack:default",
        'pack:b:3: unknown key "hots" in [scope] (did you mean "hosts"?)',
    ]
