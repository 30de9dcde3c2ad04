"""Syntax trees by tree-sitter, kept by path so that the next version of a file is parsed from its difference.

Used in the worker process only: the libraries are imported when a ``Parsers`` is made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.limits import Budget

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser, Query, Tree

_CHUNK = 4096  # bytes that the parser takes at once; what a node says is put together from such pieces
_NO_LIMIT = 3600.0  # seconds
_SMALL = 64 << 10  # bytes of a source whose parsing can hold up nobody
_TINY = 8 << 10  # the same of queries
_LONGEST_RUN = 2000
_DEEPEST = 10_000
# Brackets that are open at once, at most: the parser does not ask whether to go on while it closes them all.
_MOST_OPEN = 100_000
_STEPS = {**dict.fromkeys(b"([{", 1), **dict.fromkeys(b")]}", -1)}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())
_MOST_TREES = 64
_MOST_BYTES = 8 << 20  # of remembered sources; a tree takes some twenty times its source


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
        self._budget: Budget | None = None

    def allow(self, budget: Budget | None) -> None:
        """From now on trees and queries may take so long; ``Overdue`` when they take longer."""
        self._budget = budget

    def warm(self) -> None:
        for kind in ("python", "javascript", "typescript", "tsx"):
            self._parser(kind).parse(b"x\n")

    def parse(self, kind: str, path: bytes, content: bytes) -> Node:
        """The root of ``content`` (UTF-8) as ``python``, ``javascript``, ``typescript``, ``tsx``, ``go``, ``rust``,
        ``java`` or ``hcl``. ``path`` is only the name under which the tree is kept; an empty one keeps nothing."""
        if _open_at_once(content) > _MOST_OPEN:
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
            tree = self._parsed(parser, content)
        if len(content) > _TINY and (kept is None or tree is not kept.tree):
            self._check_runs(tree.root_node)
        if path:
            self._keep(key, _Kept(content, tree))
        return tree.root_node

    def _check_runs(self, root: Node) -> None:
        """``Unreadable`` for very many signs or keywords in a row, over which queries take quadratic time, and for very
        deep trees, from which they do not come back. No program has either."""
        open_nodes = [(root, 0)]
        while open_nodes:
            self.check()
            node, depth = open_nodes.pop()
            if depth > _DEEPEST:
                raise Unreadable(f"nested more than {_DEEPEST} levels deep")
            cursor, run = node.walk(), 0
            more = cursor.goto_first_child()
            while more:
                child = cursor.node
                more = cursor.goto_next_sibling()
                if child is None or child.is_named:
                    run = 0
                    if child is not None and child.descendant_count > _LONGEST_RUN:
                        open_nodes.append((child, depth + 1))
                elif (run := run + 1) > _LONGEST_RUN:
                    raise Unreadable(f"more than {_LONGEST_RUN} signs in a row without a word between them")

    def captures(self, kind: str, source: str, root: Node) -> dict[str, list[Node]]:
        """Capture name -> nodes of a query, in no stated order between names."""
        found: dict[str, list[Node]] = self._cursor(kind, source).captures(root)
        self.check()
        return found

    def matches(self, kind: str, source: str, root: Node) -> list[dict[str, list[Node]]]:
        found = [captures for _, captures in self._cursor(kind, source).matches(root)]
        self.check()
        return found

    def check(self) -> None:
        """To be called where the work can grow faster than the file. ``Overdue`` when the time is used up."""
        # The library's queries can be stopped too, but crash when they ask (0.26).
        if self._budget is not None:
            self._budget.check()

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
        return self._parsed(parser, content, tree)

    def _parsed(self, parser: Parser, content: bytes, old: Tree | None = None) -> Tree:
        if len(content) <= _SMALL:
            return parser.parse(content) if old is None else parser.parse(content, old)
        budget = self._budget or Budget(_NO_LIMIT)
        read = _reader(content)  # of bytes the library does not ask whether to stop, but tells them faster
        try:
            if old is None:
                return parser.parse(read, progress_callback=budget.spent)
            return parser.parse(read, old, progress_callback=budget.spent)
        except ValueError:
            parser.reset()  # it would go on with what it was stopped at
            budget.check()
            raise

    def _keep(self, key: tuple[str, bytes], kept: _Kept) -> None:
        self._kept[key] = kept
        self._size += len(kept.content)
        while len(self._kept) > _MOST_TREES or self._size > _MOST_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone.content)


def _reader(content: bytes) -> Callable[[int, object], bytes]:
    def read(offset: int, _: object) -> bytes:
        return content[offset : offset + _CHUNK]

    return read


def _grammar(kind: str) -> object:
    if kind == "go":
        import tree_sitter_go

        return tree_sitter_go.language()
    if kind == "rust":
        import tree_sitter_rust

        return tree_sitter_rust.language()
    if kind == "java":
        import tree_sitter_java

        return tree_sitter_java.language()
    if kind == "hcl":
        import tree_sitter_hcl

        return tree_sitter_hcl.language()
    if kind == "python":
        import tree_sitter_python

        return tree_sitter_python.language()
    if kind == "javascript":
        import tree_sitter_javascript

        return tree_sitter_javascript.language()
    import tree_sitter_typescript

    return tree_sitter_typescript.language_tsx() if kind == "tsx" else tree_sitter_typescript.language_typescript()


def _open_at_once(content: bytes) -> int:
    """How many brackets are open at once; those in strings count, so it is an estimate. 0 when it cannot be much."""
    if sum(content.count(sign) for sign in (b"(", b"[", b"{")) <= _MOST_OPEN:
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
