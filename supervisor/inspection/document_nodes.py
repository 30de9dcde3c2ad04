"""What every format of document comes to: leaves, lists and mappings, each with the line where it stands.

Mappings keep every member, also those of the same name. Parts are made when they are asked for: most of a document no
rule looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from supervisor.inspection.decoding import Unreadable
from supervisor.vocabulary.content import Scalar

_MOST_WORK: Final = 400_000


class Work:
    """Counts nodes. A document of a few lines can say more than there is memory for (aliases of aliases)."""

    __slots__ = ("_check", "_left")

    def __init__(self, check: Callable[[], None]) -> None:
        self._left, self._check = _MOST_WORK, check

    def spend(self, nodes: int = 1) -> None:
        """``Unreadable`` when the document says too much."""
        self._left -= nodes
        if self._left % 1024 < nodes:
            self._check()
        if self._left < 0:
            raise Unreadable(f"it says more than {_MOST_WORK} values, aliases counted each time")


class Leaf:
    """A scalar. Not ``known``: the text does not tell it; ``value`` is then what it tells of it, None for nothing."""

    __slots__ = ("known", "line", "value")

    def __init__(self, value: Scalar, line: int, known: bool = True) -> None:
        self.value, self.line, self.known = value, line, known


class Items:
    """A list. Not ``known``: there may be others, or fewer. ``spread``: no list of the document, but several values
    that may stand in one place."""

    __slots__ = ("items", "known", "line", "spread")

    def __init__(self, items: list[Node], line: int, known: bool = True, spread: bool = False) -> None:
        self.items, self.line, self.known, self.spread = items, line, known, spread


class Members:
    """A mapping. Not ``known``: it may have members that the text does not tell."""

    __slots__ = ("known", "line", "pairs")

    def __init__(self, pairs: list[tuple[str, Node]], line: int, known: bool = True) -> None:
        self.pairs, self.line, self.known = pairs, line, known


class Later:
    """A node that is made when it is asked for."""

    __slots__ = ("_made", "_make", "line")

    def __init__(self, make: Callable[[], Made], line: int) -> None:
        self._make, self.line = make, line
        self._made: Made | None = None

    def made(self) -> Made:
        if self._made is None:
            self._made = self._make()
        return self._made


Made = Leaf | Items | Members
Node = Made | Later


def made(node: Node) -> Made:
    return node.made() if isinstance(node, Later) else node


def untold(line: int) -> Leaf:
    """A value of which the text tells nothing."""
    return Leaf(None, line, known=False)
