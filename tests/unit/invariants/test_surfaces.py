"""Where each invariant is judged, and how firmly at each place."""

from __future__ import annotations

import pytest

from supervisor.invariants.surfaces import SURFACES, Judged, surfaces
from supervisor.vocabulary.policy import Coverage
from tests.property.world import policy_of, profile_of
from tests.unit.invariants.test_compile import RULES

EVERY_KEY = """version = 1
[scope]
why = "w"
timeout = "2h"
files = 100
commands = ["ls"]
hosts = ["a.example:443"]
read = ["src/**"]
hide = [".env", "~/.ssh/**"]
branches = ["agent/*"]
push = ["origin"]
tls = ["a.example:443"]
cpu = "1h"
memory = "1 GiB"
disk = "1 GiB"
processes = 10
"""


def found(text: str, *, git: bool = True) -> dict[str, tuple[Judged, ...]]:
    return surfaces(profile_of(text), policy_of(text).invariants, git=git)


def levels(text: str, ident: str, *, git: bool = True) -> dict[str, str]:
    return {each.surface: each.coverage.word for each in found(text, git=git)[ident]}


@pytest.mark.parametrize("text", [RULES, EVERY_KEY])
@pytest.mark.parametrize("git", [True, False])
def test_every_invariant_has_a_place_and_says_by_what(text: str, git: bool) -> None:
    invariants = policy_of(text).invariants
    told = found(text, git=git)
    assert told.keys() == invariants.keys()
    for ident, where in told.items():
        assert where and all(each.surface in SURFACES and each.how for each in where), (ident, where)
        assert [each.surface for each in where] == sorted((each.surface for each in where), key=SURFACES.index)
        if invariants[ident].coverage is Coverage.UNENFORCEABLE:
            assert {each.coverage for each in where} == {Coverage.UNENFORCEABLE}, ident
        elif git:
            assert max(each.coverage for each in where) >= invariants[ident].coverage, ident
        if invariants[ident].coverage is Coverage.OBSERVED:
            assert max(each.coverage for each in where) <= Coverage.OBSERVED


def test_a_rule_is_not_as_firm_everywhere() -> None:
    assert levels(RULES, "r-dependency") == {
        "files": "supervised", "content": "observed", "commands": "supervised", "commits": "supervised",
    }  # fmt: skip
    assert levels(RULES, "r-boundary") == {"content": "observed", "commits": "supervised"}
    assert levels(RULES, "govrun.state") == {"files": "enforced", "network": "supervised"}


def test_what_only_warns_is_observed_at_every_place() -> None:
    text = RULES.replace('deny = ["pypi:requests"]', 'deny = ["pypi:requests"]\nthen = "warn"')
    assert set(levels(text, "r-dependency").values()) == {"observed"}


def test_outside_of_a_repository_no_commit_is_judged() -> None:
    assert levels(RULES, "r-boundary", git=False) == {"content": "observed"}
    text = RULES.replace('when = "stop"', 'when = "commit"')
    assert levels(text, "r-contract") == {"commits": "supervised"}
    assert levels(text, "r-contract", git=False) == {"commits": "unenforceable"}


@pytest.mark.parametrize(
    ("most", "where"),
    [
        ("deletes = 1", {"files": "supervised"}),
        ("deleted_lines = 1, execs = 2", {"content": "observed", "commands": "supervised"}),
        ("queries = 1, rows = 2", {"queries": "unenforceable"}),
        ("connects = 1, commits = 1", {"network": "supervised", "commits": "supervised"}),
        ("fails = 1, files = 1", {"files": "supervised", "commands": "observed"}),
    ],
)
def test_a_ceiling_is_held_where_it_counts(most: str, where: dict[str, str]) -> None:
    text = f'version = 1\n[[guardrail]]\nid = "g"\nwhy = "w"\nper = "run"\nthen = "deny"\nmax = {{ {most} }}\n'
    assert levels(text, "g") == where
