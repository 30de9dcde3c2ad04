"""Imports by a call: ``import_module("x")`` and its kin, under whatever name, with literals for arguments.

A call counts when what is called mentions one of these functions, or a name that this source gives to one of them.
Every literal among its arguments that reads like a module is one. That is more than Python would do and needs no
knowledge of parameters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.python_nodes import odd_words, outermost, strings

if TYPE_CHECKING:
    from tree_sitter import Node

    from supervisor.inspection.parsing import Parsers

_IMPORTERS = (b"import_module", b"__import__", b"run_module", b"_run_module_as_main", b"load_module", b"_gcd_import",
              b"importorskip")  # fmt: skip
_FINDERS = (b"find_spec", b"find_module", b"find_loader")  # nothing is imported by them alone
_ANY = re.compile(rb"import_module|__import__|run_module|load_module|_gcd_import|importorskip|resolve_name|find_spec"
                 rb"|find_module|find_loader")  # fmt: skip
_QUICK = (b"_module", b"_import", b"resolve_name", b"find_", b"importorskip")  # of which one is in each of them
_LOADS = re.compile(rb"exec_module|load_module|module_from_spec|create_module|\.loader\b|LazyLoader")
_CALLS = "(call function: (_) @callee arguments: (_) @arguments)"
_NAMED = """
(assignment left: (_) @target right: (_) @value)
(named_expression name: (_) @target value: (_) @value)
(default_parameter name: (_) @target value: (_) @value)
(typed_default_parameter name: (_) @target value: (_) @value)
(for_statement left: (_) @target right: (_) @value)
(for_in_clause left: (_) @target right: (_) @value)
(aliased_import name: (_) @value alias: (_) @target)
"""
_TEXTS = "(comment) @comment (string) @string (concatenated_string) @text (binary_operator) @text"
_DOTTED = re.compile(rb"[A-Za-z_\x80-\xff][\w.\x80-\xff]*")
_SUBSCRIPT = re.compile(rb"\[[^\]]*\]?")
_CLOSING = re.compile(rb"""[\s)\]"']*""")
_MODULE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?:[.:]|\Z)")
_QUOTES = (b'"', b"'")
_ROUNDS = 4  # of names that are given to names
_MOST_NAMES = 200
_MOST_MENTIONS = 200  # that are looked at in one value
_LONGEST_TARGET = 2000
_FOREVER = 1 << 62


class _Call(NamedTuple):
    start: int  # of what is called
    end: int
    opening: int  # of the arguments
    closing: int


class _Mention(NamedTuple):
    start: int
    end: int
    until: int  # the end of the call that it is the function of
    quoted: bool


def mentioned(raw: bytes) -> bool:
    """Whether any of the functions is spelt in ``raw``."""
    return any(each in raw for each in _QUICK) and _ANY.search(raw) is not None


def module_in(text: str) -> str | None:
    """The module that a literal names or begins with (``a.b:function``, ``a.b.%s``)."""
    found = _MODULE.match(text)
    return found[1] if found is not None else None


def called_modules(root: Node, raw: bytes, parsers: Parsers) -> Iterator[tuple[str, int]]:
    """(module, line) of what is imported by calls."""
    words = _words(raw)
    calls = sorted(
        _Call(callee.start_byte, callee.end_byte, arguments.start_byte, arguments.end_byte)
        for match in parsers.matches("python", _CALLS, root)
        for callee, arguments in [(match["callee"][0], match["arguments"][0])]
    )
    named = [
        (match["target"][0], match["value"][0].start_byte, match["value"][0].end_byte)
        for match in parsers.matches("python", _NAMED, root)
    ]
    texts = parsers.captures("python", _TEXTS, root)
    prose = outermost(
        (node.start_byte, node.end_byte) for each in ("comment", "string") for node in texts.get(each, [])
    )
    names: set[bytes] = set()
    wide: list[tuple[int, int]] = []
    for _ in range(_ROUNDS):
        mentions, wide = _mentions(raw, _written(raw, words, names, prose), calls)
        more = _aliases(raw, named, mentions) - names
        if not more or len(names) > _MOST_NAMES:
            break
        names |= more
    if not wide:
        return
    wanted = _merged(wide)
    starts = [start for start, _ in wanted]
    inside = [each for kind in ("string", "text") for each in texts.get(kind, []) if _within(each, wanted, starts)]
    for node, value, is_begun in strings(inside):
        module = module_in(value.rpartition(".")[0] if is_begun else value)
        if module is not None and module.encode() not in words:
            yield module, node.start_point.row + 1


def _words(raw: bytes) -> frozenset[bytes]:
    words = {*_IMPORTERS}
    if b"pkgutil" in raw:
        words.add(b"resolve_name")  # that of importlib.util only joins names
    if _LOADS.search(raw) is not None:
        words.update(_FINDERS)
    return frozenset(words)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _within(node: Node, spans: list[tuple[int, int]], starts: list[int]) -> bool:
    at = bisect_left(starts, node.start_byte + 1) - 1
    return at >= 0 and node.start_byte < spans[at][1]


def _written(
    raw: bytes, words: frozenset[bytes], names: set[bytes], prose: list[tuple[int, int]]
) -> list[tuple[int, int, bool]]:
    """Where functions that import, or names for them, are written, and whether as a string (``getattr``)."""
    listed = b"|".join(sorted(words, reverse=True))
    spans = [match.span() for match in re.finditer(rb"(?<![\w\x80-\xff])(?:" + listed + rb")(?![\w\x80-\xff])", raw)]
    if names:
        listed = b"|".join(re.escape(name) for name in sorted(names, reverse=True))
        pattern = rb"(?<![\w.\x80-\xff])(?:" + listed + rb")(?![\w\x80-\xff])"
        spans += [match.span() for match in re.finditer(pattern, raw)]
    spans += [(start, end) for start, end, name in odd_words(raw) if name.encode() in words | names]
    starts = [start for start, _ in prose]
    found: list[tuple[int, int, bool]] = []
    for start, end in sorted(set(spans)):
        at = bisect_left(starts, start + 1) - 1
        if at < 0 or start >= prose[at][1]:
            found.append((start, end, False))
        elif raw[start - 1 : start] in _QUOTES and raw[end : end + 1] in _QUOTES:
            found.append((start, end, True))
    return found


def _mentions(
    raw: bytes, written: list[tuple[int, int, bool]], calls: list[_Call]
) -> tuple[list[_Mention], list[tuple[int, int]]]:
    """Every mention, and the arguments of the calls that count. Ranges of what is called lie in each other or apart, so
    one pass with a stack finds the innermost."""
    found: list[_Mention] = []
    wide: list[tuple[int, int]] = []
    stack: list[_Call] = []
    at = 0
    for start, end, quoted in written:
        at = _advance(stack, calls, at, start)
        until = _FOREVER
        for call in stack[:-4:-1]:
            wide.append((call.opening, call.closing))
            closing = _CLOSING.match(raw, end, call.end)
            if closing is not None and closing.end() == call.end and call.closing - call.opening > len("()"):
                until = call.closing
                break
        found.append(_Mention(start, end, until, quoted))
    return found, wide + _handed_on(found, calls)


def _advance(stack: list[_Call], calls: list[_Call], at: int, offset: int) -> int:
    """Bring ``stack`` to the calls of which what is called holds ``offset``, the innermost last."""
    while at < len(calls) and calls[at].start <= offset:
        while stack and stack[-1].end <= calls[at].start:
            stack.pop()
        same = at
        while same < len(calls) and calls[same].start == calls[at].start:
            same += 1
        stack += reversed(calls[at:same])  # of those that begin at the same place the inner one ends first
        at = same
    while stack and stack[-1].end <= offset:
        stack.pop()
    return at


def _handed_on(mentions: list[_Mention], calls: list[_Call]) -> list[tuple[int, int]]:
    """Arguments among which such a function stands itself: ``map(import_module, ["x"])``."""
    found: list[tuple[int, int]] = []
    stack: list[tuple[int, int]] = []
    spans = sorted({(call.opening, call.closing) for call in calls})
    at = 0
    for mention in mentions:
        while at < len(spans) and spans[at][0] <= mention.start:
            while stack and stack[-1][1] <= spans[at][0]:
                stack.pop()
            stack.append(spans[at])
            at += 1
        while stack and stack[-1][1] <= mention.start:
            stack.pop()
        if stack and mention.until == _FOREVER and not mention.quoted:
            found.append(stack[-1])
    return found


def _aliases(raw: bytes, named: list[tuple[Node, int, int]], mentions: list[_Mention]) -> set[bytes]:
    """Names that are given a value in which a function is mentioned that is not called there."""
    starts = [mention.start for mention in mentions]
    found: set[bytes] = set()
    for target, start, end in named:
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        if not any(each.until > end for each in mentions[first : min(last, first + _MOST_MENTIONS)]):
            continue
        text = raw[target.start_byte : min(target.end_byte, target.start_byte + _LONGEST_TARGET)]
        found.update(_DOTTED.findall(_SUBSCRIPT.sub(b"", text)))
    return found
