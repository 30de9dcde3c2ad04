"""Records that describe an invariant after compilation."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Coverage(IntEnum):
    """How firmly an invariant holds on this host (design words), weakest first."""

    UNENFORCEABLE = 0
    OBSERVED = 1
    SUPERVISED = 2
    ENFORCED = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Invariant(NamedTuple):
    """One constraint in force.

    ``then`` is the verdict word; ``source`` reads ``govrun.toml:12``, ``pack:default:8`` or ``docs/adr/0007-x.md``;
    ``note`` says how it is covered, or why it is ``unenforceable``.
    """

    id: str
    kind: str
    then: str
    why: str = ""
    use: str = ""
    adr: str = ""
    adr_blob: str = ""
    source: str = ""
    coverage: Coverage = Coverage.UNENFORCEABLE
    note: str = ""
