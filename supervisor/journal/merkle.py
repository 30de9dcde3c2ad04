"""The Merkle tree over the events of a run (RFC 9162 §2.1.1), grown leaf by leaf in memory that grows with log N."""

from __future__ import annotations

import hashlib

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
