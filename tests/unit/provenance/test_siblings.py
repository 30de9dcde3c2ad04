"""Statements beside the run's own: of types that others define, signed by the same key, named by the run's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from supervisor.provenance import siblings
from supervisor.provenance.answers import Answer
from supervisor.provenance.envelope import encoded, envelopes
from supervisor.provenance.keys import own_public
from supervisor.provenance.siblings import LINK, SUMMARY, TEST_RESULT, Facts, link, summary
from tests.unit.provenance.test_publish import World
from tests.unit.provenance.test_verifying import a_run, by_record, files_of, lines, replaced, world

__all__ = ["world"]

SUBJECT = [{"name": "commit", "digest": {"gitCommit": "c" * 40}}]
DESCRIBED: dict[str, Any] = {
    "run": "01J", "govrun": "9", "argv": ["make", "…"], "policy": "p" * 64, "end": {"status": "WARNED", "code": 3},
    "lineage": {"base": "a" * 40, "tree": "b" * 40, "transitions": 2},
    "sources": [{"name": "govrun.toml", "sha256": "d" * 64}],
}  # fmt: skip


def read(payload: bytes | None) -> dict[str, Any]:
    assert payload is not None
    told: dict[str, Any] = json.loads(payload)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    return told


def facts(**changes: object) -> Facts:
    return Facts({**DESCRIBED, **changes}, SUBJECT, {"tests": True, "lint": False}, "2026-11-28T01:02:03.000Z")


def test_a_link_leads_from_tree_to_tree() -> None:
    told = read(link(facts()))
    assert (told["predicateType"], told["subject"]) == (LINK, [{"name": "tree", "digest": {"gitTree": "b" * 40}}])
    assert told["predicate"]["materials"] == [{"name": "tree", "digest": {"gitTree": "a" * 40}}]
    assert told["predicate"]["byproducts"] == {"return-value": 3, "status": "WARNED"}
    assert link(facts(lineage=None)) is None
    assert link(facts(lineage={"base": "", "tree": "", "transitions": 0})) is None


def test_contracts_are_tests() -> None:
    told = read(siblings.test_result(facts()))
    assert (told["predicateType"], told["subject"]) == (TEST_RESULT, SUBJECT)
    assert told["predicate"] == {
        "result": "FAILED", "passedTests": ["tests"], "warnedTests": [], "failedTests": ["lint"],
        "configuration": [{"name": "govrun.toml", "digest": {"sha256": "d" * 64}}],
    }  # fmt: skip
    assert siblings.test_result(facts()._replace(contracts={})) is None
    assert read(siblings.test_result(facts()._replace(contracts={"a": True})))["predicate"]["result"] == "PASSED"


@pytest.mark.parametrize(
    ("status", "result"), [("PASSED", "PASSED"), ("WARNED", "FAILED"), ("FAILED", "FAILED"), ("UNKNOWN", "FAILED")]
)
def test_a_summary_says_whether_the_invariants_held(status: str, result: str) -> None:
    told = read(summary(facts(end={"status": status}), [b"one"]))
    assert told["predicateType"] == SUMMARY
    predicate = told["predicate"]
    assert (predicate["verificationResult"], bool(predicate["verifiedLevels"])) == (result, result == "PASSED")
    assert predicate["inputAttestations"] == [{"digest": {"sha256": hashlib.sha256(b"one").hexdigest()}}]
    assert predicate["policy"]["digest"] == {"sha256": "p" * 64}
    assert predicate["timeVerified"] == "2026-11-28T01:02:03.000Z"


def test_no_end_is_no_success() -> None:
    assert read(summary(facts(end=None), []))["predicate"]["verificationResult"] == "FAILED"


def test_they_lie_in_the_record_signed_and_named(world: World) -> None:
    run, _ = a_run(world)
    bundle = files_of(world, run)["bundle.intoto.jsonl"]
    own, *others = envelopes(bundle)
    named = json.loads(own.payload)["predicate"]["siblings"]
    assert [each["sha256"] for each in named] == [hashlib.sha256(each.line).hexdigest() for each in others]
    assert [each["type"] for each in named] == [json.loads(each.payload)["predicateType"] for each in others]
    assert SUMMARY in [each["type"] for each in named]
    key = Ed25519PublicKey.from_public_bytes(own_public(world.state) or b"")
    for each in others:
        key.verify(each.signatures[0].value, encoded(each.payload))


def test_one_that_is_taken_out_or_changed_is_missed(world: World, tmp_path: Path) -> None:
    run, _ = a_run(world)
    assert by_record(world, run).answer is Answer.VERIFIED
    replaced(world, run, lines("bundle.intoto.jsonl", lambda each: each[:1] + each[2:]))
    found = by_record(world, run)
    assert found.answer is Answer.REFUTED
    assert "was signed with it and is not there" in found.why
