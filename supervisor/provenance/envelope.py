"""Signed statements: in-toto statements in DSSE envelopes, one a line (secure-systems-lab/dsse, envelope.md and
protocol.md, version 1; in-toto bundle, ``application/vnd.in-toto.bundle``).

What is signed are bytes, which are read only after they have been verified, and never encoded again.

The envelope itself is not signed, and may come from anybody: what can be told of one without parsing it is told so.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.journal.codec import encode
from supervisor.provenance.keys import fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TYPE = "application/vnd.in-toto+json"
MOST = 32 << 20  # bytes of a bundle: the statement about a run with 90,000 commits
_MOST_LINES = 64
_MOST_ENVELOPES = 8
_MOST_SIGNATURES = 8
# Of all values in JSON: none of these stands in base 64, and what is parsed takes up to sixty bytes for each.
_MOST_VALUES = 256


class Signature(NamedTuple):
    """``hint`` says by which key, and is not to be believed."""

    hint: str
    value: bytes


class Envelope(NamedTuple):
    """``payload``: the signed bytes; ``line``: the envelope as it was written, without newline."""

    payload: bytes
    signatures: tuple[Signature, ...]
    line: bytes


def encoded(payload: bytes) -> bytes:
    """The pre-authentication encoding: what a signature is over."""
    kind = TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, key: Ed25519PrivateKey) -> Envelope:
    """Ed25519 is deterministic: the same payload and key give the same bytes."""
    hint = fingerprint(key.public_key().public_bytes_raw())
    return _written(payload, Signature(hint, key.sign(encoded(payload))))


def _written(payload: bytes, signature: Signature) -> Envelope:
    told = {"keyid": signature.hint, "sig": b64encode(signature.value).decode()}
    body: dict[str, object] = {"payload": b64encode(payload).decode(), "payloadType": TYPE, "signatures": [told]}
    return Envelope(payload, (signature,), encode(body).encode("ascii"))


def envelopes(bundle: bytes, hints: Container[str] | None = None) -> Iterator[Envelope]:
    """Those of a bundle, of ``hints`` if given: at most eight. Lines that are none are passed over, as its
    specification asks."""
    count = 0
    for line in bundle.split(b"\n", _MOST_LINES)[:_MOST_LINES] if len(bundle) <= MOST else ():
        try:
            found = _read(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if hints is None or any(each.hint in hints for each in found.signatures):
            count += 1
            yield found
        if count == _MOST_ENVELOPES:
            return


def _read(line: bytes) -> Envelope:
    if sum(map(line.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise ValueError("more than an envelope has")
    told = json.loads(line)
    if told["payloadType"] != TYPE or not isinstance(told["signatures"], list):
        raise ValueError("of another type")
    signatures = tuple(
        Signature(str(each.get("keyid", "")), b64decode(each["sig"], validate=True))
        for each in told["signatures"][:_MOST_SIGNATURES]
    )
    return Envelope(b64decode(told["payload"], validate=True), signatures, line)


def signer(envelope: Envelope, keys: Iterable[bytes]) -> tuple[bytes, Envelope] | None:
    """The first of ``keys`` (32 bytes each) that signed it, and the envelope as that key has sealed it: others may have
    added signatures of theirs. A key is tried on signatures that name it; one that is said to be another's is not ours
    to verify, and trying each on each would take as long as whoever sends envelopes likes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    message = encoded(envelope.payload)
    for key in dict.fromkeys(keys):
        hint = fingerprint(key)
        for signature in envelope.signatures:
            try:
                if signature.hint == hint:
                    Ed25519PublicKey.from_public_bytes(key).verify(signature.value, message)
                    return key, _written(envelope.payload, signature)
            except (InvalidSignature, ValueError):
                continue
    return None
