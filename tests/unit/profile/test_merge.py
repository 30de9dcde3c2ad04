"""Layers only tighten; what loosens is named in ``relax`` and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.profile.load import load
from supervisor.profile.model import Profile, Scope
from supervisor.vocabulary.errors import ProfileError

PACK = """
[scope]
write = ["src/**"]
hosts = ["a.example:443"]
hide = ["~/.ssh/**"]
timeout = "1h"
debug = false
branches = ["agent/*", "wip/*"]
env = { set = { CI = "1" } }

[[deploy]]
id = "no-deploy"
why = "CI deploys"
deny = ["deploy"]

[[command]]
id = "ask-push"
why = "a person pushes"
deny = ["vcs-remote"]
then = "ask"
"""


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    (folder / "default.toml").write_text(PACK)
    monkeypatch.setattr("supervisor.profile.packs.packs_folder", lambda: str(folder))
    return folder


def loaded(tmp_path: Path, text: str) -> Profile:
    tree = tmp_path / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "govrun.toml").write_text(text)
    return load(tree)


def refused(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        loaded(tmp_path, text)
    return caught.value.why.splitlines()


def test_permissions_keep_every_layer(tmp_path: Path, packs: Path) -> None:
    scope = loaded(tmp_path, "[scope]\nwrite = ['**']\nhosts = ['*:*']\n").scope
    assert [[entry.value for entry in layer] for layer in scope.write] == [["**"], ["src/**"]]
    assert [[entry.value for entry in layer] for layer in scope.hosts] == [["*:*"], ["a.example:443"]]


def test_an_empty_list_is_a_layer(tmp_path: Path, packs: Path) -> None:
    assert loaded(tmp_path, "[scope]\ncommands = []\n").scope.commands == ((),)
    assert loaded(tmp_path, "[scope]\n").scope.commands == ()


def test_limits_take_the_smallest(tmp_path: Path, packs: Path) -> None:
    wide, narrow = loaded(tmp_path, "[scope]\ntimeout='2h'\n").scope, loaded(tmp_path, "[scope]\ntimeout='5m'\n").scope
    assert (wide.timeout, wide.sources["timeout"]) == (3600.0, "pack:default:6")
    assert (narrow.timeout, narrow.sources["timeout"]) == (300.0, "govrun.toml:2")


def test_flat_permissions_take_what_all_name(tmp_path: Path, packs: Path) -> None:
    scope = loaded(tmp_path, "[scope]\nbranches=['agent/*', 'main']\n").scope
    assert [entry.value for entry in scope.branches] == ["agent/*"]


def test_debug_needs_every_layer(tmp_path: Path, packs: Path) -> None:
    assert loaded(tmp_path, "[scope]\ndebug = true\n").scope.debug is False
    assert loaded(tmp_path, "relax = ['pack:default/scope.debug']\n[scope]\ndebug = true\n").scope.debug is True


def test_the_strictest_word_stands_for_all(tmp_path: Path, packs: Path) -> None:
    scope = loaded(tmp_path, "[scope]\nthen = 'observe'\nwrite = ['a']\n").scope
    assert scope.then == "deny"
    assert [scope.words_of(layer[0].source).then for layer in scope.write] == ["observe", "deny"]
    assert scope.words_of("somewhere:1").then == "deny"


@pytest.mark.parametrize("says", ["", "then = 'deny'\n"])
def test_a_scope_without_values_still_has_a_word(tmp_path: Path, packs: Path, says: str) -> None:
    (packs / "word.toml").write_text(f"extends = []\n[scope]\n{says}")
    scope = loaded(tmp_path, "extends = ['pack:word']\n[scope]\nwrite = []\nthen = 'observe'\n").scope
    assert scope.then == "deny"


def test_repeating_a_value_with_a_laxer_word_does_not_loosen_it(tmp_path: Path, packs: Path) -> None:
    scope = loaded(tmp_path, "[scope]\nthen = 'observe'\nhide = ['~/.ssh/**']\n").scope
    assert [scope.words_of(entry.source).then for entry in scope.hide] == ["deny"]
    scope = loaded(tmp_path, "[scope]\nthen = 'kill'\nhide = ['~/.ssh/**']\n").scope
    assert [scope.words_of(entry.source).then for entry in scope.hide] == ["kill"]


def test_the_profile_default_does_not_reach_into_packs(tmp_path: Path, packs: Path) -> None:
    profile = loaded(tmp_path, "default = { then = 'observe' }\n[scope]\nwrite = ['a']\n")
    assert {rule.id: rule.then for rule in profile.rules} == {"no-deploy": "deny", "ask-push": "ask"}
    assert profile.scope.words_of("govrun.toml:3").then == "observe"


def test_contradictions_are_told(tmp_path: Path, packs: Path) -> None:
    assert refused(tmp_path, "[scope]\nenv = { set = { CI = '0' } }\n") == [
        'govrun.toml:2: "env.set.CI" is set differently at pack:default:9'
    ]
    assert loaded(tmp_path, "[scope]\nenv = { set = { CI = '1' } }\n").scope.env_set["CI"].source == "govrun.toml:2"


def test_relax_removes_one_deny_and_is_recorded(tmp_path: Path, packs: Path) -> None:
    profile = loaded(tmp_path, "relax = ['pack:default/no-deploy', 'pack:default/scope.hide']\n")
    assert [rule.id for rule in profile.rules] == ["ask-push"]
    assert profile.scope.hide == ()
    assert profile.relaxed == ("pack:default/no-deploy", "pack:default/scope.hide")


def test_an_ask_is_not_relaxed(tmp_path: Path, packs: Path) -> None:
    assert refused(tmp_path, "relax = ['pack:default/ask-push']\n") == [
        'govrun.toml:1: "ask-push" is not a deny of pack:default'
    ]


def test_ids_are_unique_across_layers(tmp_path: Path, packs: Path) -> None:
    rule = "[[deploy]]\nid = 'no-deploy'\nwhy = 'w'\ndeny = ['publish']\n"
    assert refused(tmp_path, rule) == ['pack:default:11: duplicate id "no-deploy", already used at govrun.toml:1']
    assert loaded(tmp_path, "relax = ['pack:default/no-deploy']\n" + rule).rules[0].fields == {"deny": ("publish",)}


def test_extends_nothing(tmp_path: Path, packs: Path) -> None:
    profile = loaded(tmp_path, "extends = []\n")
    assert (profile.rules, profile.scope) == ((), Scope())


def test_a_pack_is_taken_once(tmp_path: Path, packs: Path) -> None:
    (packs / "more.toml").write_text("extends = ['pack:default']\n[scope]\nhide = ['~/.aws/**']\n")
    profile = loaded(tmp_path, "extends = ['pack:default', 'pack:more', 'pack:default']\n")
    assert [source.name for source in profile.sources] == ["govrun.toml", "pack:default", "pack:more"]
    assert [entry.value for entry in profile.scope.hide] == ["~/.ssh/**", "~/.aws/**"]


WORDS = st.lists(st.sampled_from(["a/**", "b/**", "c", "*.md"]), max_size=3)
SCOPES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("write", "read", "hide", "protect", "branches", "commands"), WORDS),
        "timeout": st.integers(1, 100),
        "processes": st.integers(1, 100),
        "debug": st.booleans(),
        "then": st.sampled_from(["observe", "warn", "ask", "deny", "pause", "kill"]),
    },
)
STRICTER = ["observe", "warn", "ask", "deny", "pause", "kill"]


def toml(scope: dict[str, object]) -> str:
    import json

    return "extends = []\n[scope]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in scope.items())


def permits(layers: tuple[tuple[object, ...], ...], value: str) -> bool:
    return all(value in [entry.value for entry in layer] for layer in layers)  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=SCOPES, second=SCOPES)
def test_a_layer_never_widens(tmp_path: Path, packs: Path, first: dict, second: dict) -> None:
    (packs / "first.toml").write_text(toml(first))
    alone = loaded(tmp_path, "extends = ['pack:first']\n").scope
    both = loaded(tmp_path, toml(second).replace("[]", "['pack:first']", 1)).scope
    for key in ("write", "read", "commands"):
        for value in ("a/**", "b/**", "c", "*.md", "other"):
            assert permits(getattr(both, key), value) <= permits(getattr(alone, key), value)
    for key in ("hide", "protect"):
        assert {e.value for e in getattr(alone, key)} <= {e.value for e in getattr(both, key)}
    if "branches" in first:
        assert {e.value for e in both.branches} <= {e.value for e in alone.branches}
    for key in ("timeout", "processes"):
        before, after = getattr(alone, key), getattr(both, key)
        assert before is None or (after is not None and after <= before)
    if "debug" in first:
        assert both.debug <= alone.debug
    if first:
        assert STRICTER.index(both.then) >= STRICTER.index(alone.then)
        for entry in (*alone.hide, *alone.protect):
            word = alone.words_of(entry.source).then
            held = [e for e in (*both.hide, *both.protect) if e.value == entry.value]
            assert any(STRICTER.index(both.words_of(e.source).then) >= STRICTER.index(word) for e in held)
