"""HCL (Terraform, Terragrunt, Packer, Nomad) as a document: blocks are mappings under their type and labels.

Expressions are not run. What they say in literals counts: ``tolist(["a"])`` is ``["a"]``, both branches of a condition
may stand there, a local of the same file is its value, a variable may be its default. The rest is not told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.document_nodes import Items, Later, Leaf, Made, Members, Node, Work, made, untold

if TYPE_CHECKING:
    from tree_sitter import Node as Syntax

_DEEPEST = 200
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))|([$%])\4\{')
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_LISTS: Final = frozenset(("tolist", "toset", "concat", "flatten", "distinct", "sort", "setunion", "reverse"))
_SAME: Final = frozenset(("tostring", "tobool", "tonumber", "tomap", "sensitive", "nonsensitive", "jsonencode",
                          "yamlencode", "ephemeralasnull"))  # fmt: skip
# What they give is among what they are given.
_AMONG: Final = frozenset(("coalesce", "coalescelist", "try", "compact", "element", "one", "slice", "setintersection",
                           "setsubtract", "values", "lookup", "max", "min"))  # fmt: skip
_CASES: Final[Mapping[str, Callable[[str], str]]] = {"lower": str.lower, "upper": str.upper, "trimspace": str.strip}


class Hcl:
    """One file. ``source`` is UTF-8."""

    def __init__(self, root: Syntax, source: bytes, work: Work) -> None:
        self._source, self._work = source, work
        self._locals: dict[str, Syntax] = {}
        self._defaults: dict[str, Syntax] = {}
        self._open: set[str] = set()
        self._first_line = 1
        bodies = [child for child in root.named_children if child.type in ("body", "ERROR")]
        self._bodies = bodies or [root]
        for body in self._bodies:
            self._declared(body)

    def document(self) -> Members:
        pairs: list[tuple[str, Node]] = []
        for body in self._bodies:
            self._body(body, pairs, 0)
        return Members(pairs, 1)

    def _text(self, node: Syntax) -> str:
        return self._source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def _line(self, node: Syntax) -> int:
        return node.start_point[0] + self._first_line

    # ---------------------------------------------------------------------------------------------------- blocks

    def _declared(self, body: Syntax) -> None:
        for block in body.named_children:
            if block.type != "block" or not block.named_children:
                continue
            kind = self._text(block.named_children[0])
            if kind in ("locals", "variable"):
                labels, inner = self._parts(block)
                for each in inner.named_children if inner is not None else ():
                    if each.type == "attribute" and not each.has_error and len(each.named_children) == 2:
                        name, value = each.named_children
                        if kind == "locals":
                            self._locals[self._text(name)] = value
                        elif labels and self._text(name) == "default":
                            self._defaults[labels[0]] = value

    def _parts(self, block: Syntax) -> tuple[list[str], Syntax | None]:
        """Labels and body."""
        labels: list[str] = []
        body = None
        for child in block.named_children[1:]:
            if child.type == "identifier":
                labels.append(self._text(child))
            elif child.type == "string_lit":
                labels.append(_unescaped(self._text(child)[1:-1]))
            elif child.type == "body":
                body = child
        return labels, body

    def _body(self, body: Syntax, pairs: list[tuple[str, Node]], depth: int) -> None:
        for child in body.named_children:
            self._work.spend()
            if child.type == "attribute":
                inner = child.named_children
                if inner:
                    pairs.append((self._text(inner[0]), self._attribute(child, inner)))
            elif child.type == "block":
                if child.named_children:
                    pairs.append(self._block(child))
            elif child.type in ("ERROR", "body") and depth < _DEEPEST:
                self._body(child, pairs, depth + 1)

    def _attribute(self, attribute: Syntax, inner: list[Syntax]) -> Node:
        line = self._line(attribute)
        if attribute.has_error or len(inner) != 2:
            return untold(line)
        return Later(lambda: self._value(inner[1], 0), line)

    def _block(self, block: Syntax) -> tuple[str, Node]:
        labels, body = self._parts(block)
        line = self._line(block)

        def make() -> Made:
            pairs: list[tuple[str, Node]] = []
            if body is not None:
                self._body(body, pairs, 0)
            return Members(pairs, line, known=not (body is not None and body.has_error))

        node: Node = Later(make, line)
        for label in reversed(labels):
            node = Members([(label, node)], line)
        return self._text(block.named_children[0]), node

    # ----------------------------------------------------------------------------------------------- expressions

    def template(self, root: Syntax, source: bytes, line: int) -> Made:
        """The value of the only attribute in ``source``, which stands in ``line`` of this file (Terraform's JSON)."""
        whole_source, self._source, self._first_line = self._source, source, line
        try:
            pairs: list[tuple[str, Node]] = []
            for body in root.named_children:
                self._body(body, pairs, 0)
            return made(pairs[0][1]) if len(pairs) == 1 and not root.has_error else untold(line)
        finally:
            self._source, self._first_line = whole_source, 1

    def _value(self, node: Syntax, depth: int) -> Made:
        self._work.spend()
        if depth > _DEEPEST:
            raise Unreadable(f"an expression nested more than {_DEEPEST} levels deep where a rule looks")
        children = [child for child in node.named_children if child.type != "comment"]
        kind, line = node.type, self._line(node)
        if kind in ("expression", "collection_value", "template_expr", "literal_value", "operation", "for_expr"):
            if len(children) > 1:
                return self._followed(children, line, depth)
            return self._value(children[0], depth + 1) if children else untold(line)
        if kind in ("string_lit", "quoted_template", "heredoc_template"):
            return self._string(node, children, line, depth)
        if kind in ("numeric_lit", "bool_lit", "null_lit"):
            return Leaf(_scalar(kind, self._text(node)), line)
        if kind == "tuple":
            return Items([self._value(each, depth + 1) for each in children if each.type == "expression"], line)
        if kind == "object":
            return self._object(children, line, depth)
        if kind == "conditional" and len(children) == 3:
            return self._may_be(children[1:], line, depth)
        if kind in ("for_tuple_expr", "for_object_expr"):
            return self._for(children, line, depth)
        if kind == "function_call":
            return self._call(children, line, depth)
        if kind == "variable_expr":
            return self._followed([node], line, depth)
        if kind == "unary_operation":
            return self._unary(node, children, line, depth)
        return untold(line)

    def _may_be(self, nodes: list[Syntax], line: int, depth: int) -> Made:
        return Items([self._value(each, depth + 1) for each in nodes], line, known=False, spread=True)

    def _for(self, children: list[Syntax], line: int, depth: int) -> Made:
        """Out of a collection: its elements or what is made of them."""
        found: list[Node] = []
        for each in children:
            inner = each.named_children if each.type == "for_intro" else [each] if each.type == "expression" else []
            found += [self._value(part, depth + 1) for part in inner if part.type == "expression"]
        return Items(found, line, known=False, spread=True)

    def _unary(self, node: Syntax, children: list[Syntax], line: int, depth: int) -> Made:
        value = self._value(children[0], depth + 1) if children else untold(line)
        if not isinstance(value, Leaf) or not value.known:
            return untold(line)
        sign = self._text(node)[:1]
        if sign == "-" and isinstance(value.value, int | float) and not isinstance(value.value, bool):
            return Leaf(-value.value, line)
        return Leaf(not value.value, line) if sign == "!" and isinstance(value.value, bool) else untold(line)

    def _object(self, children: list[Syntax], line: int, depth: int) -> Made:
        pairs: list[tuple[str, Node]] = []
        known = True
        for each in children:
            parts = [part for part in each.named_children if part.type == "expression"]
            if each.type != "object_elem" or len(parts) != 2:
                continue
            name = self._key(parts[0], depth)
            if name is None:
                known = False
            else:
                pairs.append((name, self._value(parts[1], depth + 1)))
        return Members(pairs, line, known)

    def _key(self, key: Syntax, depth: int) -> str | None:
        text = self._text(key)
        if text.replace("-", "_").isidentifier():
            return text
        value = self._value(key, depth + 1)
        if isinstance(value, Leaf) and value.known and value.value is not None:
            return str(value.value).lower() if isinstance(value.value, bool) else str(value.value)
        return None

    def _followed(self, children: list[Syntax], line: int, depth: int) -> Made:
        """A name with what follows it: ``local.a.b[0]``."""
        head, rest = children[0], children[1:]
        if head.type != "variable_expr":
            value = self._value(head, depth + 1)
        else:
            name = self._text(head)
            first = self._text(rest[0]).lstrip(". \t\n") if rest and rest[0].type == "get_attr" else ""
            table = {"local": self._locals, "var": self._defaults}.get(name, {})
            mark = f"{name}.{first}"
            if first not in table or mark in self._open:
                return untold(line)
            self._open.add(mark)
            try:
                value = self._value(table[first], depth + 1)
            finally:
                self._open.discard(mark)
            if name == "var":
                value = Items([value], line, known=False, spread=True)
            rest = rest[1:]
        for step in rest:
            value = self._step(value, step, line, depth)
        return value

    def _step(self, value: Made, step: Syntax, line: int, depth: int) -> Made:
        if isinstance(value, Items) and value.spread:
            return Items([self._step(made(each), step, line, depth) for each in value.items], line, False, True)
        name: str | None = None
        if step.type == "get_attr":
            name = self._text(step).lstrip(". \t\n")
        elif step.type == "index":
            keys = [each for part in step.named_children for each in part.named_children]
            name = self._key(keys[0], depth) if keys else None
        if isinstance(value, Members) and name is not None and value.known:
            found = [node for key, node in value.pairs if key == name]
            return made(found[-1]) if found else untold(line)
        if isinstance(value, Items) and name is not None and name.isdecimal() and int(name[:9]) < len(value.items):
            return made(value.items[int(name[:9])])
        return untold(line)

    def _call(self, children: list[Syntax], line: int, depth: int) -> Made:
        name = self._text(children[0]).removeprefix("core::") if children else ""
        given = [
            self._value(each, depth + 1)
            for part in children[1:]
            for each in part.named_children
            if each.type == "expression"
        ]
        if name in _LISTS:
            return Items(list(given), line, all(isinstance(each, Items) for each in given))
        if name in _SAME and len(given) == 1:
            return given[0]
        if name == "merge":
            return _merged(given, line)
        if name in _AMONG:
            return Items(list(given), line, known=False, spread=True)
        plain = [each.value for each in given if isinstance(each, Leaf) and each.known]
        if name in _CASES and len(plain) == len(given) == 1:
            return Leaf(_CASES[name](str(plain[0])), line)
        if name in ("jsondecode", "yamldecode") and len(plain) == len(given) == 1:
            return self._decoded(name, str(plain[0]), line)
        if name == "split" and len(plain) == len(given) == 2 and plain[0]:
            return Items([Leaf(part, line) for part in str(plain[1]).split(str(plain[0]))[:1000]], line)
        if name == "join" and len(given) == 2 and isinstance(given[1], Items) and len(plain) == 1:
            parts = [made(each) for each in given[1].items]
            texts = [str(each.value) for each in parts if isinstance(each, Leaf) and each.known]
            return Leaf(str(plain[0]).join(texts), line) if len(texts) == len(parts) else untold(line)
        if name == "format" and plain and len(plain) == len(given) and str(plain[0]).count("%s") == len(plain) - 1:
            pieces = str(plain[0]).split("%s")
            return Leaf("".join(f"{a}{b}" for a, b in zip(pieces, [*map(str, plain[1:]), ""], strict=True)), line)
        return untold(line)

    def _decoded(self, name: str, text: str, line: int) -> Made:
        from supervisor.inspection.plain_documents import json_document
        from supervisor.inspection.yaml_document import yaml_documents

        roots, problem = (
            json_document(text, self._work, line) if name == "jsondecode" else yaml_documents(text, self._work)
        )
        return made(roots[0]) if roots and not problem else untold(line)

    def _string(self, node: Syntax, children: list[Syntax], line: int, depth: int) -> Made:
        """Partly told, it is what is written, unless nothing but interpolations is."""
        heredoc = node.type == "heredoc_template"
        marks = [each for each in children if each.type in _MARKS]
        at = marks[-2 if heredoc else 0].end_byte if len(marks) > 1 else node.start_byte
        end = marks[-1].start_byte if len(marks) > 1 else node.end_byte
        texts: list[str] = []
        known, told, solid = True, False, False
        only: Made | None = None
        for child in children:
            if child.type not in ("template_interpolation", "template_directive"):
                continue
            before = self._source[at : child.start_byte]
            texts.append(_piece(before, heredoc))
            told |= bool(before.strip())
            at = child.end_byte
            value = only = self._interpolated(child, depth)
            if isinstance(value, Leaf) and value.known and value.value is not None:
                texts.append(str(value.value).lower() if isinstance(value.value, bool) else str(value.value))
                solid = True
                continue
            known = False
            texts.append(self._text(child))
        last = self._source[at:end]
        told |= bool(last.strip())
        texts.append(_piece(last, heredoc))
        if only is not None and not told and len(texts) == 3:
            return only  # "${x}" is x
        text = "".join(texts)
        text = text.removeprefix("\n") if heredoc else text
        return Leaf(text, line, known) if known or told or solid else untold(line)

    def _interpolated(self, child: Syntax, depth: int) -> Made:
        inner = [each for each in child.named_children if each.type == "expression"]
        if child.type == "template_interpolation" and len(inner) == 1:
            return self._value(inner[0], depth + 1)
        return untold(self._line(child))


_MARKS: Final = frozenset(("quoted_template_start", "quoted_template_end", "heredoc_identifier"))


def _piece(source: bytes, heredoc: bool) -> str:
    text = source.decode("utf-8", "replace")
    return text.replace("$${", "${").replace("%%{", "%{") if heredoc else _unescaped(text)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text or "{" in text else text


def _character(found: re.Match[str]) -> str:
    number = found[1] or found[2]
    if number:
        return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
    return found[4] + "{" if found[4] else _SIMPLE[found[3]]


def _scalar(kind: str, text: str) -> int | float | bool | None:
    if kind == "null_lit":
        return None
    if kind == "bool_lit":
        return text == "true"
    try:
        return int(text) if len(text) < 20 and text.isdecimal() else float(text)
    except ValueError:
        return float(int(text, 16)) if text[:2].lower() == "0x" and len(text) < 20 else 0.0


def _merged(given: list[Made], line: int) -> Made:
    """Later ones win, as Terraform's ``merge``."""
    pairs: dict[str, Node] = {}
    known = True
    for each in given:
        if not isinstance(each, Members):
            known = False
            continue
        known &= each.known
        pairs.update(each.pairs)
    return Members(list(pairs.items()), line, known)


def problem(root: Syntax) -> str:
    """Where the file does not parse; empty when it does. Bounded: it follows one error to where it begins."""
    node = root
    while node.has_error and not (node.is_error or node.is_missing):
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
    return f"line {node.start_point[0] + 1} is no HCL" if root.has_error else ""
