"""Reading scattered buffers of another process piecemeal."""

from __future__ import annotations

from supervisor.kernel import memory

Spans = tuple[tuple[int, int], ...]
"""(address, size) pairs, as in an array of ``struct iovec``."""


def fetch(tid: int, spans: Spans, size: int) -> tuple[bytes, Spans]:
    """The first ``size`` bytes of ``spans``, and the spans that are left. OSError(EFAULT) when a byte is missing."""
    parts: list[bytes] = []
    rest = list(spans)
    while rest and size:
        base, length = rest[0]
        take = min(length, size)
        parts.append(memory.read(tid, base, take))
        size -= take
        rest[0] = (base + take, length - take)
        if take == length:
            rest.pop(0)
    return b"".join(parts), tuple(rest)
