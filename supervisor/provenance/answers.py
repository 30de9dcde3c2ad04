"""What can be said of what somebody has signed, and whose signature is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from supervisor.journal.ids import born
from supervisor.journal.store import state_path
from supervisor.provenance import note
from supervisor.provenance.envelope import Envelope, envelopes, signer
from supervisor.provenance.keys import Trusted, allowed, default_signers, fingerprint, own_public
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


def trusted_by(signers: Path | None, environ: Mapping[str, str]) -> list[Trusted]:
    """Whom the caller names, else the user's own list and the key of this installation. Errors: ``UsageError``."""
    if signers is not None:
        return allowed(signers)
    listed = default_signers(environ)
    found = allowed(listed) if listed is not None else []
    own = own_public(state_path(environ))
    return [*found, Trusted(own, "this installation")] if own is not None else found


def believed(bundle: bytes | None, trusted: Sequence[Trusted]) -> tuple[Envelope, Trusted]:
    """The envelope of a run's statement in a bundle, as it was sealed, and whose it is. Raises ``No``."""
    if bundle is None:
        raise No(Answer.UNVERIFIABLE, "it is not signed")
    keys = [each.key for each in trusted]
    ours = set(map(fingerprint, keys))
    bad: set[str] = set()
    for envelope in envelopes(bundle, ours):
        found = signer(envelope, keys)
        if found is None:
            bad |= {each.hint for each in envelope.signatures} & ours
        elif is_of_a_run(found[1].payload):
            return found[1], _in_force(found[0], found[1], trusted)
    if bad:
        raise No(Answer.REFUTED, f"the signature of {min(bad)} does not fit what was signed")
    others = {each.hint for envelope in envelopes(bundle) for each in envelope.signatures if each.hint not in ours}
    if not others:
        raise No(Answer.UNVERIFIABLE, "no envelope of its statement is there")
    raise No(Answer.UNVERIFIABLE, f"it is signed by {note.field(', '.join(sorted(others)))}, whom nobody here trusts")


def is_of_a_run(payload: bytes) -> bool:
    """Whether a signed statement is one about a run."""
    told = mapping_of(payload)
    return told.get("_type") == KIND and told.get("predicateType") == PREDICATE


def _in_force(key: bytes, envelope: Envelope, trusted: Sequence[Trusted]) -> Trusted:
    predicate = mapping_of(envelope.payload).get("predicate")
    run = str(predicate.get("run", "")) if isinstance(predicate, dict) else ""
    try:
        when = born(run)
    except ValueError as error:
        raise No(Answer.REFUTED, "what was signed names no run") from error
    for each in trusted:
        if each.key == key and (each.after or 0.0) <= when < (float("inf") if each.before is None else each.before):
            return each
    raise No(Answer.UNVERIFIABLE, f"the key {fingerprint(key)} was not in force when the run began")


def mapping_of(raw: bytes) -> dict[str, object]:
    """A JSON object; empty for anything else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
