"""Statements beside the one about the run, in predicates that others define, so that their tools can read them:
link v0.3, test-result v0.1 (in-toto/attestation, spec/predicates) and a verification summary v1 (slsa.dev). Pure.

They say nothing that the run's statement does not; it names their digests, so none can be left out or put in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from supervisor.journal.codec import encode
from supervisor.provenance.statement import KIND

LINK = "https://in-toto.io/attestation/link/v0.3"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
_HELD = ("PASSED",)  # WARNED includes what could not be observed


class Facts(NamedTuple):
    """``described``: as in ``run.json``; ``subject``: what the statements are about; ``contracts``: by id, whether each
    held when it was shown last; ``ended``: when the last record was written."""

    described: Mapping[str, object]
    subject: Sequence[Mapping[str, object]]
    contracts: Mapping[str, bool]
    ended: str

    @property
    def status(self) -> str:
        end = self.described.get("end")
        return str(end.get("status", "UNKNOWN")) if isinstance(end, dict) else "UNKNOWN"


def link(facts: Facts) -> bytes | None:
    """From the tree as the run found it to the tree as it left it. None where the trees are not known."""
    lineage = facts.described.get("lineage")
    if not isinstance(lineage, dict) or not lineage.get("base") or not lineage.get("tree"):
        return None
    end = facts.described.get("end")
    exit_code = end.get("code") if isinstance(end, dict) else None
    predicate = {
        "name": facts.described.get("run", ""), "command": facts.described.get("argv", []),
        "materials": [_tree(lineage["base"])], "byproducts": {"return-value": exit_code, "status": facts.status},
        "environment": {},
    }  # fmt: skip
    return _statement([_tree(lineage["tree"])], LINK, predicate)


def test_result(facts: Facts) -> bytes | None:
    """What was shown of the contracts. None where there are none."""
    if not facts.contracts:
        return None
    passed = [name for name, held in facts.contracts.items() if held]
    failed = [name for name, held in facts.contracts.items() if not held]
    predicate = {
        "result": "FAILED" if failed else "PASSED", "configuration": _sources(facts.described),
        "passedTests": passed, "warnedTests": [], "failedTests": failed,
    }  # fmt: skip
    return _statement(facts.subject, TEST_RESULT, predicate)


def summary(facts: Facts, inputs: Sequence[bytes]) -> bytes:
    """Whether the invariants held, by the policy in force. ``inputs``: envelopes of the others, a line each."""
    held = facts.status in _HELD
    predicate = {
        "verifier": {"id": "urn:govrun", "version": {"govrun": facts.described.get("govrun", "")}},
        "timeVerified": facts.ended, "resourceUri": f"urn:govrun:run:{facts.described.get('run', '')}",
        "policy": {"uri": "urn:govrun:policy", "digest": {"sha256": facts.described.get("policy", "")}},
        "inputAttestations": [{"digest": {"sha256": digest(line)}} for line in inputs],
        "verificationResult": "PASSED" if held else "FAILED",
        "verifiedLevels": ["GOVRUN_INVARIANTS_HELD"] if held else [],
    }  # fmt: skip
    return _statement(facts.subject, SUMMARY, predicate)


def digest(line: bytes) -> str:
    """By which the run's statement names an envelope: SHA-256 of its line."""
    return hashlib.sha256(line).hexdigest()


def _tree(tree: object) -> dict[str, object]:
    return {"name": "tree", "digest": {"gitTree": tree}}


def _sources(described: Mapping[str, object]) -> list[dict[str, object]]:
    sources = described.get("sources")
    found = [each for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    return [{"name": each.get("name", ""), "digest": {"sha256": each.get("sha256", "")}} for each in found]


def _statement(subject: Sequence[Mapping[str, object]], kind: str, predicate: Mapping[str, object]) -> bytes:
    told: dict[str, object] = {
        "_type": KIND, "subject": list(subject), "predicateType": kind, "predicate": dict(predicate),
    }  # fmt: skip
    return encode(told).encode("ascii")
