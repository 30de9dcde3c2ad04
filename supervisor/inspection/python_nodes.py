"""What single nodes of a Python syntax tree say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_PARTS = 20_000  # of one joined literal
_PREFIX = re.compile(r"\A[fF]([rR]?)|\A([rR])[fF]")
_ODD_WORD = re.compile(rb"[A-Za-z0-9_]*[\x80-\xff][A-Za-z0-9_\x80-\xff]*")


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def plain(name: str) -> str:
    """An identifier as Python compares it."""
    return unicodedata.normalize("NFKC", name)


def dotted(node: Node) -> str:
    """Names and dots may have spaces, joined lines and comments between them."""
    return ".".join(text_of(part) for part in node.named_children if part.type == "identifier")


def odd_words(raw: bytes) -> Iterator[tuple[int, int, str]]:
    """(start, end, normalized) of words that have other letters than ASCII and could be spelt with ASCII."""
    if raw.isascii():
        return
    for found in _ODD_WORD.finditer(raw):
        name = plain(found[0].decode("utf-8", "replace"))
        if name.isascii():
            yield found.start(), found.end(), name


def folded(node: Node) -> str | None:
    """The value of string literals that stand side by side or are added; None when anything else takes part."""
    value = fold(node)
    return value if isinstance(value, str) else None


def fold(node: Node) -> str | int:
    """As ``folded``, with the offset of what else takes part instead of None."""
    parts: list[str] = []
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        if each.type == "string":
            value = _literal(each)
            if value is None or len(parts) > _MOST_PARTS:
                return each.start_byte
            parts.append(value)
        elif each.type in ("concatenated_string", "parenthesized_expression") or (
            each.type == "binary_operator" and any(child.type == "+" for child in each.children)
        ):
            open_nodes += [child for child in reversed(each.named_children) if child.type != "comment"]
        else:
            return each.start_byte
    return "".join(parts) if parts else node.start_byte


def _literal(node: Node) -> str | None:
    import ast

    if any(child.type == "interpolation" for child in node.children):
        return None
    try:
        value = ast.literal_eval(_PREFIX.sub(r"\1\2", text_of(node)))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def strings(nodes: list[Node]) -> Iterator[tuple[Node, str, bool]]:
    """The largest literals among ``nodes`` (of which some lie in others) that are constant, with their values. Where
    something else takes part, each of the parts counts for itself, also what begins an f-string: then True is told,
    since something follows."""
    covered = broken = -1
    for node in sorted(nodes, key=lambda each: (each.start_byte, -each.end_byte)):
        if node.end_byte <= covered or (node.start_byte <= broken < node.end_byte and node.type != "string"):
            continue
        value = fold(node)
        if isinstance(value, str):
            covered = node.end_byte
            yield node, value, False
            continue
        broken = value
        if node.type == "string" and any(child.type == "interpolation" for child in node.children):
            first = next((child for child in node.named_children if child.type != "string_start"), None)
            if first is not None and first.type == "string_content":
                yield node, text_of(first), True


def outermost(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, without those that lie in others."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return found
