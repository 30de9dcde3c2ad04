"""Syntax trees by tree-sitter, kept by path so that the next version of a file is parsed from its difference.

Used in the worker process only: the libraries are imported when a ``Parsers`` is made.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import Unreadable

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser, Query, Tree

_MOST_TREES = 64
_MOST_BYTES = 8 << 20  # of remembered sources; a tree takes some twenty times its source
_CHUNK = 2048  # bytes; a node of a tree that was read by a callback reads one to tell its text
# Seconds of processor time for one question, in all and for each megabyte. An ordinary source takes a third of it.
_AT_LEAST = 1.0
_PER_MEGABYTE = 1.0
# Brackets that are open at once, at most: the parser does not ask whether to go on while it closes them all.
_DEEPEST = 100_000
_STEPS = {**dict.fromkeys(b"([{", 1), **dict.fromkeys(b")]}", -1)}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())


class _Kept(NamedTuple):
    content: bytes
    tree: Tree


class Parsers:
    """Parsers, queries and the last trees. Makes each language at its first use; ``warm`` makes all."""

    def __init__(self) -> None:
        import tree_sitter

        self._library = tree_sitter
        self._parsers: dict[str, Parser] = {}
        self._languages: dict[str, Language] = {}
        self._queries: dict[tuple[str, str], Query] = {}
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()
        self._size = 0
        self._until = self._earliest = float("inf")

    def allow(self, size: int) -> None:
        """A new question, about ``size`` bytes: from here on the time is counted."""
        allowed = _AT_LEAST + _PER_MEGABYTE * size / (1 << 20)
        self._until, self._earliest = time.process_time() + allowed, time.monotonic() + allowed

    def check(self) -> None:
        """To be called where the work can grow faster than the file. ``Unreadable`` when the time is used up."""
        if self._overdue():
            raise Unreadable("it takes too long to parse")

    def _overdue(self) -> bool:
        """Processor time is a system call; as long as less has passed on the clock, it is not asked for."""
        return time.monotonic() > self._earliest and time.process_time() > self._until

    def warm(self) -> None:
        for kind in ("python", "javascript", "typescript", "tsx"):
            self._parser(kind).parse(b"x\n")

    def parse(self, kind: str, path: bytes, content: bytes) -> Node:
        """The root of ``content`` (UTF-8) as ``python``, ``javascript``, ``typescript`` or ``tsx``. ``path`` is only
        the name under which the tree is kept; an empty one keeps nothing."""
        if _depth(content) > _DEEPEST:
            raise Unreadable("it is nested too deeply to parse")
        key = (kind, path)
        parser = self._parser(kind)
        kept = self._kept.pop(key, None)
        tree: Tree | None = None
        if kept is not None:
            self._size -= len(kept.content)
            tree = kept.tree if kept.content == content else self._edited(parser, kept, content)
        if tree is None or (tree.root_node.has_error and kept is not None and kept.content != content):
            # Around errors an incremental tree can differ from a fresh one, and a fresh one is what counts.
            tree = self._fresh(parser, content)
        if path:
            self._keep(key, _Kept(content, tree))
        return tree.root_node

    def captures(self, kind: str, source: str, root: Node) -> dict[str, list[Node]]:
        """Capture name -> nodes of a query, in no stated order between names."""
        found: dict[str, list[Node]] = self._cursor(kind, source).captures(root)
        return found

    def matches(self, kind: str, source: str, root: Node) -> list[dict[str, list[Node]]]:
        return [captures for _, captures in self._cursor(kind, source).matches(root)]

    def _cursor(self, kind: str, source: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a lazy library type
        query = self._queries.get((kind, source))
        if query is None:
            self._parser(kind)
            query = self._queries[kind, source] = self._library.Query(self._languages[kind], source)
        return self._library.QueryCursor(query)

    def _parser(self, kind: str) -> Parser:
        parser = self._parsers.get(kind)
        if parser is None:
            language = self._languages[kind] = self._library.Language(_grammar(kind))
            parser = self._parsers[kind] = self._library.Parser(language)
        return parser

    def _edited(self, parser: Parser, kept: _Kept, content: bytes) -> Tree:
        old, tree = kept.content, kept.tree
        most = min(len(old), len(content))
        head = _same(old, content, most)
        tail = _same_end(old, content, most - head)
        tree.edit(
            start_byte=head,
            old_end_byte=len(old) - tail,
            new_end_byte=len(content) - tail,
            start_point=_point(old, head),
            old_end_point=_point(old, len(old) - tail),
            new_end_point=_point(content, len(content) - tail),
        )
        return self._fresh(parser, content, tree)

    def _fresh(self, parser: Parser, content: bytes, old: Tree | None = None) -> Tree:
        """By a callback, because only then the parser asks whether to go on. ``Unreadable`` when it takes too long:
        some sources of a few hundred kilobytes take minutes."""

        def read(offset: int, _point: object) -> bytes:
            return content[offset : offset + _CHUNK]

        def overdue(_offset: int, _has_error: bool) -> bool:
            return self._overdue()

        try:
            if old is None:
                return parser.parse(read, progress_callback=overdue)
            return parser.parse(read, old, progress_callback=overdue)
        except ValueError as error:
            parser.reset()
            raise Unreadable("it takes too long to parse") from error

    def _keep(self, key: tuple[str, bytes], kept: _Kept) -> None:
        self._kept[key] = kept
        self._size += len(kept.content)
        while len(self._kept) > _MOST_TREES or self._size > _MOST_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone.content)


def _grammar(kind: str) -> object:
    if kind == "python":
        import tree_sitter_python

        return tree_sitter_python.language()
    if kind == "javascript":
        import tree_sitter_javascript

        return tree_sitter_javascript.language()
    import tree_sitter_typescript

    return tree_sitter_typescript.language_tsx() if kind == "tsx" else tree_sitter_typescript.language_typescript()


def _depth(content: bytes) -> int:
    """How many brackets are open at once; those in strings count, so it is an estimate. 0 when it cannot be much."""
    if sum(content.count(sign) for sign in (b"(", b"[", b"{")) <= _DEEPEST:
        return 0
    return max(accumulate(_STEPS[sign] for sign in content.translate(None, _NO_BRACKETS)))


def _same(old: bytes, new: bytes, most: int) -> int:
    """How many leading bytes are equal. Halving compares slices, which is memcmp."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(old: bytes, new: bytes, most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(content: bytes, offset: int) -> tuple[int, int]:
    return content.count(b"\n", 0, offset), offset - (content.rfind(b"\n", 0, offset) + 1)
