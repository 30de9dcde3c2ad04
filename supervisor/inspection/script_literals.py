"""Values of the literals in a JavaScript or TypeScript tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{0*([0-9a-fA-F]{1,6})\}|([0-3][0-7]{0,2}|[4-7][0-7]?)|(\r\n|[\s\S]))"
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "\r\n": "", "\n": "", "\r": "",
           "\u2028": "", "\u2029": ""}  # fmt: skip
_FIRST_INSIDE = ("parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression",
                 "await_expression")  # fmt: skip
# What these are given are parts of a path, not the name of a package.
_PATHS = re.compile(r"(?:\A|[.\s])(?:join|resolve|normalize|dirname|relative|fileURLToPath|URL|pathToFileURL)\Z")
_WITHIN = re.compile(r"(?:@[^/\s]+/)?[^@/\s.][^/\s]*/|\.{1,2}/")
_MOST_PARTS = 1000


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def parts_of(node: Node | None) -> list[Node]:
    """The named children that are no comments."""
    return [] if node is None else [child for child in node.named_children if child.type != "comment"]


def inner(node: Node) -> Node | None:
    """The expression that parentheses, ``as T``, ``!``, ``<T>`` and ``await`` stand around; the last of a sequence."""
    kind = node.type
    if kind in _FIRST_INSIDE:
        return next(iter(parts_of(node)), None)
    if kind in ("type_assertion", "sequence_expression"):
        return next(iter(parts_of(node)[-1:]), None)
    return None


def folded(node: Node | None) -> str | None:
    """The value of string literals, plain templates and their sums; None when anything else takes part."""
    value, complete = _sum(node) if node is not None else ("", False)
    return value if complete else None


def _sum(node: Node) -> tuple[str, bool]:
    """The literals that a sum begins with, and whether there is nothing else in it."""
    parts: list[str] = []
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        if each.type in ("string", "template_string"):
            if len(parts) > _MOST_PARTS:
                return "".join(parts), False
            whole = not any(child.type == "template_substitution" for child in each.children)
            text = text_of(each)[1:-1]
            parts.append(unescaped(text if whole else text.partition("${")[0]))
            if not whole:
                return "".join(parts), False
        elif each.type == "binary_expression" and any(child.type == "+" for child in each.children):
            open_nodes += reversed(parts_of(each))
        elif (under := inner(each)) is not None and each.type not in ("sequence_expression", "await_expression"):
            open_nodes.append(under)
        else:
            return "".join(parts), False
    return "".join(parts), bool(parts)


def literals(node: Node, seen: set[int]) -> Iterator[str]:
    """What an argument may be by the literals in it: ``"a" || b``, ``[c, "a"][1]``. Of a sum with unknown parts
    only what reaches into a package (``"a/" + b``) or is a relative path. ``seen``: nodes that need no second look."""
    open_nodes = [node]
    while open_nodes:
        each = open_nodes.pop()
        if each.id in seen:
            continue
        seen.add(each.id)
        kind = each.type
        is_sum = kind == "binary_expression" and any(child.type == "+" for child in each.children)
        if kind in ("string", "template_string") or is_sum:
            value, complete = _sum(each)
            if complete or _WITHIN.match(value):
                yield value
        elif kind in ("call_expression", "new_expression"):
            called = each.child_by_field_name("function") or each.child_by_field_name("constructor")
            if called is None or not _PATHS.search(text_of(called)[-40:]):
                open_nodes += reversed(parts_of(each))
        elif "function" not in kind and kind not in ("class", "object"):
            open_nodes += reversed(parts_of(each))


def unescaped(body: str) -> str:
    if "\\" not in body:
        return body

    def value(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        if number:
            return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
        return chr(int(found[4], 8)) if found[4] else _SIMPLE.get(found[5], found[5])

    return _ESCAPE.sub(value, body)
