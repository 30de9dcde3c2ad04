"""Run ids: ULIDs, 26 characters of Crockford base 32 that sort by their time of birth."""

from __future__ import annotations

import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26


def new_ulid(milliseconds: int | None = None, entropy: bytes | None = None) -> str:
    """A fresh ULID: 48 bits of Unix time in ms, 80 random bits. Two of one millisecond are in no order."""
    stamp = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    random = os.urandom(10) if entropy is None else entropy
    if not 0 <= stamp < 1 << 48 or len(random) != 10:
        raise ValueError("a ULID is 48 bits of time and 10 random bytes")
    number = stamp << 80 | int.from_bytes(random, "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def is_ulid(text: str) -> bool:
    """True for the canonical spelling only: upper case, no I L O U, first character at most 7 (128 bits)."""
    return len(text) == LENGTH and text[0] in "01234567" and all(c in ALPHABET for c in text)


def born(ulid: str) -> float:
    """Unix time in seconds at which the ULID was made. ``ulid`` must satisfy ``is_ulid``."""
    number = 0
    for character in ulid[:10]:
        number = number << 5 | ALPHABET.index(character)
    return number / 1000
