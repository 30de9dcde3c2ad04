"""``[[secrets]]`` rules: what is new, what is allowed, and that nothing told holds the secret."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from supervisor.invariants.secrets import (
    BUILT_IN,
    SecretRules,
    compile_secrets,
    describe,
    has_own,
    judge_content,
    patterns,
)
from supervisor.profile.model import Rule
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Secret
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match
from tests.property.world import ACTOR, target

A, B = "a" * 16, "b" * 16


def rule(ident: str = "r", **table: Any) -> Rule:
    own = {key: table.pop(key) for key in list(table) if key in Rule._fields}
    return Rule("secrets", ident, fields=table, source="govrun.toml:1", **own)


def rules(*made: Rule) -> SecretRules:
    return compile_secrets(made, {each.id: Invariant(each.id, "secrets", each.then or "revert") for each in made})


def holds(*secrets: Secret) -> Findings:
    return Findings(secrets=secrets)


def told(
    compiled: SecretRules,
    now: Findings,
    before: Findings = NOTHING_FOUND,
    prior: Findings = NOTHING_FOUND,
    path: str = "src/a.py",
    landing: bool = False,
) -> list[Match]:
    event = ContentEvent(ACTOR, target(b"/w/" + path.encode()), now, before, prior, landing=landing)
    return list(judge_content(compiled, event, path.encode()))


def test_what_is_new_is_told_with_its_place_and_without_its_text() -> None:
    (match,) = told(rules(rule()), holds(Secret("jwt", A, 3)))
    assert match.message == f"src/a.py holds a secret at line 3: jwt (digest {A})"
    assert match.line == 3
    assert match.effect is Effect.REVERT


@pytest.mark.parametrize(
    ("then", "landing", "effect"),
    [
        ("revert", True, Effect.DENY),
        ("deny", True, Effect.DENY),
        ("deny", False, Effect.REVERT),
        ("ask", False, Effect.REVERT),
        ("warn", False, Effect.WARN),
        ("kill", True, Effect.KILL),
    ],
)
def test_effects(then: str, landing: bool, effect: Effect) -> None:
    assert [each.effect for each in told(rules(rule(then=then)), holds(Secret("jwt", A)), landing=landing)] == [effect]


def test_a_secret_that_moves_is_not_new_and_another_one_is() -> None:
    old = holds(Secret("jwt", A, 3))
    assert told(rules(rule()), holds(Secret("jwt", A, 90)), before=old) == []
    assert told(rules(rule()), holds(Secret("jwt", A, 90)), prior=old) == []
    assert len(told(rules(rule()), holds(Secret("jwt", A, 3), Secret("jwt", B, 3)), before=old)) == 1


def test_in_another_file_it_is_new() -> None:
    assert len(told(rules(rule()), holds(Secret("jwt", A, 3)), path="b.py")) == 1


def test_without_a_baseline_the_old_ones_count() -> None:
    old = holds(Secret("jwt", A, 3))
    assert len(told(rules(rule(baseline="none")), old, before=old)) == 1


def test_one_text_in_two_places_is_told_once() -> None:
    assert len(told(rules(rule()), holds(Secret("jwt", A, 3), Secret("jwt", A, 9)))) == 1


@pytest.mark.parametrize("allow", ["jwt", hashlib.sha256(b"token-of-a-test").hexdigest()[:16], "token-of-a-test"])
def test_allowed_by_pattern_digest_or_text(allow: str) -> None:
    found = Secret("jwt", hashlib.sha256(b"token-of-a-test").hexdigest()[:16], 1)
    assert told(rules(rule(allow=(allow,))), holds(found)) == []
    assert len(told(rules(rule(allow=(allow,))), holds(Secret("npm-token", B, 1)))) == 1


def test_paths_and_exceptions() -> None:
    compiled = rules(rule(paths=("/src/**",), exempt=("test_*",)))
    assert len(told(compiled, holds(Secret("jwt", A)))) == 1
    assert told(compiled, holds(Secret("jwt", A)), path="docs/a.md") == []
    assert told(compiled, holds(Secret("jwt", A)), path="src/test_a.py") == []


def test_patterns_add_to_the_list_and_speak_for_their_own_rule() -> None:
    compiled = rules(rule("one", patterns=("acme-[0-9]+", "b+")), rule("two"), rule("three", patterns=("c+",)))
    assert patterns(compiled) == (BUILT_IN, ("one#1", "acme-[0-9]+"), ("one#2", "b+"), ("three#1", "c+"))
    assert has_own(compiled)
    assert [each.invariant.id for each in told(compiled, holds(Secret("one#2", A, 1)))] == ["one"]
    assert [each.invariant.id for each in told(compiled, holds(Secret("jwt", A, 1)))] == ["one", "two", "three"]
    assert "pattern 2 of this rule" in told(compiled, holds(Secret("one#2", A, 1)))[0].message


def test_nothing_is_looked_for_without_a_rule() -> None:
    assert not rules()
    assert patterns(rules()) == ()
    assert patterns(rules(rule())) == (BUILT_IN,)
    assert not has_own(rules(rule()))


def test_what_cannot_be_read_is_refused_but_for_the_same_bytes() -> None:
    refused = Findings(refusal="too large", digest=b"1")
    assert len(told(rules(rule()), refused)) == 1
    assert told(rules(rule()), refused, before=refused) == []
    assert told(rules(rule()), refused, prior=refused) == []
    assert len(told(rules(rule()), refused, before=Findings(refusal="too large", digest=b"2"))) == 1
    assert len(told(rules(rule()), Findings(refusal="too large"), before=Findings(refusal="too large"))) == 1


def test_a_half_written_file_is_judged_by_what_was_found() -> None:
    assert told(rules(rule()), Findings(pending="half")) == []
    assert len(told(rules(rule()), Findings(pending="half", secrets=(Secret("jwt", A, 1),)))) == 1


def test_many_are_counted() -> None:
    found = told(rules(rule()), holds(*(Secret("jwt", f"{n:016x}", n) for n in range(100))))
    assert len(found) == 21
    assert found[-1].message == "src/a.py holds 80 more secrets"


def test_it_says_how_it_holds() -> None:
    coverage, note = describe(rule(patterns=("a",)))
    assert coverage is Coverage.SUPERVISED
    assert "1 own" in note
    assert "encoded" in note
    assert describe(rule(then="observe"))[0] is Coverage.OBSERVED
