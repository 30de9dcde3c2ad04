"""Which rules speak of a document that would be applied, and what they say of it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.inspection import documents
from supervisor.inspection.parsing import Parsers
from supervisor.invariants.applied import judge_exec, speaks_of
from supervisor.invariants.infra import InfraRules, compile_infra, selections
from supervisor.profile.model import Rule
from supervisor.vocabulary.applied import Document
from supervisor.vocabulary.content import NOTHING_FOUND, Findings
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect

TREE = b"/w/tree"
PARSERS = Parsers()


def rules(*files: str, at: str = "a", **more: Any) -> InfraRules:
    own = {key: more.pop(key) for key in tuple(more) if key in Rule._fields}
    fields: dict[str, Any] = {"files": files or ("k8s/*.yaml",), "never": {"b": True}, **more}
    if at:
        fields["at"] = at
    made = Rule("infra", "r", fields=fields, source="govrun.toml:1", **own)
    return compile_infra([made], {"r": Invariant("r", "infra", made.then or "revert")})


def read(found: InfraRules, text: str) -> Findings:
    if not text:
        return NOTHING_FOUND
    values, pending = documents.values(b"x", text.encode(), PARSERS, selections(found), "exact")
    return Findings(values=values, pending=pending)


def told(
    found: InfraRules, text: str = "a: {b: true}", path: bytes = b"/tmp/x", before: str = "", **more: Any
) -> list[str]:
    document = Document(path, "manifests", read(found, text), read(found, before), **more)
    return [match.message for match in judge_exec(found, (document,), TREE)]


@pytest.mark.parametrize(
    ("pattern", "form", "name", "speaks"),
    [
        ("k8s/*.yaml", "manifests", "x", True),
        ("k8s/**", "manifests", "x", True),
        ("*.json", "values", "x.yaml", True),
        ("compose.yaml", "compose", "c", True),
        ("infra/**/*.tf", "manifests", "x.yaml", False),
        ("infra/**/*.tf.json", "manifests", "x.json", False),
        ("infra/**/*.tf.json", "plan", "p", True),
        ("infra/main.tf", "plan", "p", True),
        ("*.yaml", "plan", "p.yaml", False),
        ("Dockerfile", "container", "x", True),
        ("Dockerfile*", "manifests", "Dockerfile", False),
        ("fly.toml", "document", "other.toml", True),
        ("fly.toml", "document", "fly.yaml", False),
        (".env*", "manifests", "x", True),
    ],
)
def test_a_rule_speaks_of_the_formats_that_its_globs_name(pattern, form, name, speaks) -> None:
    document = Document(b"/tmp/" + name.encode(), form, NOTHING_FOUND)
    assert speaks_of(rules(pattern).rules[0], document) is speaks


@pytest.mark.parametrize(
    ("pattern", "form", "name", "speaks"),
    [
        ("app/*.yaml", "manifests", "x.yaml", True),
        ("app.yaml", "manifests", "x.yaml", False),
        ("d/app.yaml", "manifests", "app.yaml", True),
        ("compose.yaml", "compose", "c", True),
        ("compose.yaml", "manifests", "c", False),
        ("k8s/**", "manifests", "c", True),
    ],
)
def test_a_rule_about_the_whole_document_wants_a_name(pattern, form, name, speaks) -> None:
    document = Document(b"/tmp/" + name.encode(), form, NOTHING_FOUND)
    assert speaks_of(rules(pattern, at="").rules[0], document) is speaks


def test_what_is_said() -> None:
    assert told(rules()) == ["/tmp/x:1: a: b is true, which must never be (it would be applied)"]
    assert told(rules(), "a: {b: false}") == []
    assert told(rules(), path=TREE + b"/k8s/x.yaml")[0].startswith("k8s/x.yaml:1: a: b is true")


def test_except_holds_in_the_tree_alone() -> None:
    found = rules(exempt=("lab/**",))
    assert told(found, path=TREE + b"/lab/x") == []
    assert told(found, path=b"/lab/x") and told(found, path=TREE + b"/x")


def test_what_the_tree_held_is_tolerated_as_often() -> None:
    twice = "a: [{b: true}, {b: true}]"
    assert told(rules(), path=TREE + b"/x", as_found=True) == []
    assert told(rules(baseline="none"), path=TREE + b"/x", as_found=True)
    assert told(rules(), path=TREE + b"/x", before="a: [{b: true}]") and len(told(rules(), twice)) == 2
    assert len(told(rules(), twice, path=TREE + b"/x", before="a: [{b: true}]")) == 1
    assert len(told(rules(baseline="none"), twice, path=TREE + b"/x", before="a: [{b: true}]")) == 2


def test_what_cannot_be_read() -> None:
    unread = Document(b"/tmp/x", "manifests", Findings(refusal="too large"))
    assert [each.message for each in judge_exec(rules(), (unread,), TREE)] == [
        "/tmp/x, which would be applied, cannot be judged: too large"
    ]
    assert "cannot be judged: not YAML" in told(rules(), "a: [")[0]
    assert told(rules("*.tf"), "a: [") == []


def test_in_a_part_nothing_is_missing() -> None:
    found = rules(never=None, must={"b": True})
    assert told(found, "a: {c: 1}") and told(found, "a: {b: false}", partial=True)
    assert told(found, "a: {c: 1}", partial=True) == [] == told(found, "a: [", partial=True)


@pytest.mark.parametrize(
    ("then", "effect"), [("revert", Effect.DENY), ("deny", Effect.DENY), ("ask", Effect.ASK), ("warn", Effect.WARN)]
)
def test_nothing_has_landed_that_could_be_reverted(then, effect) -> None:
    found = rules(then=then)
    document = Document(b"/tmp/x", "manifests", read(found, "a: {b: true}"))
    assert [match.effect for match in judge_exec(found, (document,), TREE)] == [effect]
