"""Signed statements: in-toto statements in DSSE envelopes, one a line (secure-systems-lab/dsse, envelope.md and
protocol.md, version 1; in-toto bundle, ``application/vnd.in-toto.bundle``).

What is signed are bytes, which are read only after they have been verified, and never encoded again.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.journal.codec import encode
from supervisor.provenance.keys import fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TYPE = "application/vnd.in-toto+json"
_MOST_LINE = 64 << 20
_MOST_SIGNATURES = 16


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
    value = key.sign(encoded(payload))
    hint = fingerprint(key.public_key().public_bytes_raw())
    signature = {"keyid": hint, "sig": b64encode(value).decode()}
    body: dict[str, object] = {"payload": b64encode(payload).decode(), "payloadType": TYPE, "signatures": [signature]}
    return Envelope(payload, (Signature(hint, value),), encode(body).encode("ascii"))


def envelopes(bundle: bytes) -> Iterator[Envelope]:
    """Those of a bundle; lines that are none are passed over, as its specification asks."""
    for line in bundle.split(b"\n"):
        try:
            yield _read(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue


def _read(line: bytes) -> Envelope:
    if len(line) > _MOST_LINE:
        raise ValueError("too long")
    told = json.loads(line)
    if told["payloadType"] != TYPE or not isinstance(told["signatures"], list):
        raise ValueError("of another type")
    signatures = tuple(
        Signature(str(each.get("keyid", "")), b64decode(each["sig"], validate=True))
        for each in told["signatures"][:_MOST_SIGNATURES]
    )
    return Envelope(b64decode(told["payload"], validate=True), signatures, line)


def signer(envelope: Envelope, keys: Iterable[bytes]) -> bytes | None:
    """The first of ``keys`` (32 bytes each) that signed it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    message = encoded(envelope.payload)
    for key in keys:
        for signature in envelope.signatures:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature.value, message)
            except (InvalidSignature, ValueError):
                continue
            return key
    return None
