"""The Merkle tree over the events of a run (RFC 9162 §2.1.1), grown leaf by leaf in memory that grows with log N."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_NODE = b"\1"


class Tree:
    """Leaves are 32-byte hashes that already carry their own prefix (``chain.leaf``)."""

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[bytes] = []  # of full subtrees, largest first; their sizes are the binary digits of count

    def add(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        size, node = self.count, leaf
        while size & 1:
            node = hashlib.sha256(_NODE + self._peaks.pop() + node).digest()
            size >>= 1
        self._peaks.append(node)
        self.count += 1

    def root(self) -> bytes:
        """32 bytes; the hash of nothing where there is no leaf."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = hashlib.sha256(_NODE + peak + node).digest()
        return node


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What with the leaf at ``index`` gives the root over ``leaves`` (RFC 9162 §2.1.3.1), nearest first."""
    level, found = list(leaves), []
    while len(level) > 1:
        if index ^ 1 < len(level):
            found.append(level[index ^ 1])
        # One without a neighbour goes up as it is: the larger half of a tree is a power of two.
        pairs = [_joined(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
        index >>= 1
    return found


def root_of(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes | None:
    """The root over ``size`` leaves of which ``leaf`` is at ``index`` (RFC 9162 §2.1.3.2); None: ``hashes`` are no path
    for that."""
    if not 0 <= index < size:
        return None
    at, last, node = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            return None
        if at & 1 or at == last:
            node = _joined(each, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = _joined(node, each)
        at, last = at >> 1, last >> 1
    return node if last == 0 else None


def _joined(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
