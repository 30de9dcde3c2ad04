"""What an answer about a source rests on besides the text of that source: what its reader looked at in the tree.

While all of it still is what it was, the answer is the same, and need not be found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

KIND: Final = "kind"
AT: Final = "at"
NAMES: Final = "names"
FOLDERS: Final = "folders"
LIKE: Final = "like "
HAS: Final = "has "
TEXT: Final = "text "
_DIGITS = 7


class Look(NamedTuple):
    """``what``: KIND, AT, NAMES, FOLDERS, or one of the others and its argument: endings, names, or how many bytes were
    wanted. ``path``: relative to the tree. ``seen``: a kind, a path, names, or a digest, as ``Resolver.seen`` tells it
    again."""

    what: str
    path: str
    seen: str


class Looked(NamedTuple):
    """``groups``: by number, what many answers rest on, so that it is told once."""

    looks: tuple[Look, ...] = ()
    groups: tuple[tuple[int, tuple[Look, ...]], ...] = ()


Seen = str | bytes | tuple[str, ...] | None  # a kind or a place, a text (None: there is none), names


def told(seen: Seen) -> str:
    """As short as it can be compared."""
    if seen is None:
        return ""
    if isinstance(seen, str):
        return seen
    if isinstance(seen, tuple):
        seen = "/".join(seen).encode("utf-8", "surrogateescape")  # no name has a slash in it
    return hashlib.blake2b(seen, digest_size=16).hexdigest()


def looks_of(seen: Mapping[tuple[str, str], Seen]) -> tuple[Look, ...]:
    return tuple(Look(what, path, told(each)) for (what, path), each in seen.items())


def seen(resolver: Resolver, what: str, path: str) -> str | None:
    """What a ``Look`` at it sees now; None for a look of no kind."""
    if what == KIND:
        return resolver.kind(path)
    if what == AT:
        return resolver.canonical(path)
    if what == NAMES:
        return told(resolver.listdir(path))
    if what == FOLDERS:
        return told(resolver.folders(path))
    if what.startswith(LIKE):
        return told(resolver.names_like(path, tuple(what.removeprefix(LIKE).split())))
    if what.startswith(HAS):
        return " ".join(sorted(resolver.holding(path, what.removeprefix(HAS).split())))
    most = what.removeprefix(TEXT)
    if not what.startswith(TEXT) or not most.isascii() or not most.isdecimal() or len(most) > _DIGITS:
        return None
    return told(resolver.text(path, int(most)))
