"""What can be said of what somebody has signed, and whose signature is believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from supervisor.journal.ids import born
from supervisor.provenance import note
from supervisor.provenance.envelope import Envelope, envelopes, signer
from supervisor.provenance.keys import Trusted, fingerprint
from supervisor.provenance.statement import KIND, PREDICATE


class Answer(StrEnum):
    """``CARRIED``: the run stands up, and is about other content than the commit's. ``MISSING``: nothing is said."""

    VERIFIED = "verified"
    REFUTED = "refuted"
    UNVERIFIABLE = "unverifiable"
    MISSING = "missing"
    CARRIED = "carried"


# Of several runs on one commit the first of these that any of them has is the whole answer.
WORST = (Answer.REFUTED, Answer.UNVERIFIABLE, Answer.MISSING, Answer.CARRIED, Answer.VERIFIED)


class Finding(NamedTuple):
    """What can be said of one run at one commit. ``how``: ``native`` (the run made this commit), ``tree-equal`` (it
    made another one with this content), ``base`` (it began here and made none), ``carried``; ``status`` is that of the
    run, ``signer`` whose key signed."""

    run: str
    answer: Answer
    why: str = ""
    how: str = ""
    status: str = ""
    signer: str = ""


class No(Exception):
    """What was looked at does not stand up."""

    def __init__(self, answer: Answer, why: str) -> None:
        super().__init__(why)
        self.answer = answer
        self.why = why


def believed(bundle: bytes | None, trusted: Sequence[Trusted]) -> tuple[Envelope, Trusted]:
    """The envelope of a run's statement in a bundle, and whose it is. Raises ``No``."""
    if bundle is None:
        raise No(Answer.UNVERIFIABLE, "it is not signed")
    candidates = [each for each in envelopes(bundle) if mapping_of(each.payload).get("predicateType") == PREDICATE]
    if not candidates:
        raise No(Answer.UNVERIFIABLE, "no envelope of its statement is there")
    for envelope in candidates:
        key = signer(envelope, [each.key for each in trusted])
        if key is not None and mapping_of(envelope.payload).get("_type") == KIND:
            return envelope, _in_force(key, envelope, trusted)
    hints = {each.hint for envelope in candidates for each in envelope.signatures}
    ours = {fingerprint(each.key) for each in trusted}
    if hints & ours:
        raise No(Answer.REFUTED, f"the signature of {min(hints & ours)} does not fit what was signed")
    told = ", ".join(sorted(hints)) or "nobody"
    raise No(Answer.UNVERIFIABLE, f"it is signed by {note.field(told)}, whom nobody here trusts")


def _in_force(key: bytes, envelope: Envelope, trusted: Sequence[Trusted]) -> Trusted:
    predicate = mapping_of(envelope.payload).get("predicate")
    run = str(predicate.get("run", "")) if isinstance(predicate, dict) else ""
    try:
        when = born(run)
    except ValueError as error:
        raise No(Answer.REFUTED, "what was signed names no run") from error
    for each in trusted:
        if each.key == key and (each.after or 0.0) <= when < (each.before or float("inf")):
            return each
    raise No(Answer.UNVERIFIABLE, f"the key {fingerprint(key)} was not in force when the run began")


def mapping_of(raw: bytes) -> dict[str, object]:
    """A JSON object; empty for anything else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
