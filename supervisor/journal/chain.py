"""The hash chain over the lines of a journal, domain-separated so that no digest can be taken for another.

``leaf = SHA-256(00 || tag || line)`` over the bytes as written, without the newline (RFC 9162 §2.1.1 leaf prefix);
``chain = SHA-256(tag || previous chain || leaf)``. The chain is not stored per line (hashes do not compress): a reader
recomputes it and compares with the checkpoints.
"""

from __future__ import annotations

import hashlib

START = bytes(32)
CHECKPOINT_EVERY = 1000
_LEAF = b"\0govrun.event.v1\n"
_CHAIN = b"govrun.chain.v1\n"


def leaf(line: bytes) -> bytes:
    """32 bytes for one line without its newline."""
    return hashlib.sha256(_LEAF + line).digest()


def step(previous: bytes, line: bytes) -> bytes:
    """The chain after ``line``; ``previous`` is ``START`` before the first."""
    return join(previous, leaf(line))


def join(previous: bytes, leaf_hash: bytes) -> bytes:
    """The chain after the line with this leaf."""
    return hashlib.sha256(_CHAIN + previous + leaf_hash).digest()
