"""YAML as documents, by the parser's events: its composer recurses, and a deeply nested text would end the process.

Keys are what is written (``on`` is ``on``). An alias is the node that its anchor stands for, not a copy, so that
aliases of aliases cost nothing until a rule looks into them. ``<<`` brings in what the mapping does not say itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from supervisor.inspection.decoding import Unreadable, whole
from supervisor.inspection.document_nodes import Items, Leaf, Made, Members, Node, Work, made, untold
from supervisor.vocabulary.content import Scalar

_MARK: Final = "\ue000"  # stands for what a template would put there
_DEEPEST = 1000
_MOST_DOCUMENTS = 2000
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_BASED = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_TAG = "tag:yaml.org,2002:"


def plain(text: str) -> Scalar:
    """A scalar without quotes. ``yes`` and ``010`` mean different things to different programs: they stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 30 or text[0] not in "+-.0123456789":
        return text
    if _BASED.fullmatch(text):
        return int(text.replace("_", ""), 0)
    if _INTEGER.fullmatch(text):
        digits = text.replace("_", "")
        number = int(digits)
        return text if number and digits.lstrip("+-").startswith("0") else number
    return float(text.replace("_", "")) if _FLOAT.fullmatch(text) and text[-1] != "_" else text


class _Frame:
    __slots__ = ("key", "keys", "merged", "node")

    def __init__(self, node: Items | Members, keys: bool) -> None:
        self.node, self.keys = node, keys
        self.key: str | None = None
        self.merged: list[Node] = []


class _Reader:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Made] = {}
        self.roots: list[Node] = []

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._put(self._anchored(event, self._leaf(event)), event.value)
        elif kind == "MappingStartEvent":
            self._open(event, Members([], event.start_mark.line + 1))
        elif kind == "SequenceStartEvent":
            self._open(event, Items([], event.start_mark.line + 1))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close()
        elif kind == "AliasEvent":
            line = event.start_mark.line + 1
            node = self._anchors.get(event.anchor) or untold(line)
            self._put(node, str(node.value) if isinstance(node, Leaf) else "")
        elif kind == "DocumentStartEvent":
            self._anchors.clear()
            if len(self.roots) > _MOST_DOCUMENTS:
                raise Unreadable(f"more than {_MOST_DOCUMENTS} documents in one file")

    def end(self) -> None:
        while self._stack:
            self._close()

    def _leaf(self, event: Any) -> Leaf:
        self._work.spend()
        text, tag, line = event.value, event.tag, event.start_mark.line + 1
        if _MARK in text or "${{" in text:
            return _partly(text, line)
        if tag is None or tag == "!":
            return Leaf(plain(text) if event.implicit[0] and tag is None else text, line)
        kind = tag.removeprefix(_TAG) if tag.startswith(_TAG) else ""
        if kind == "str":
            return Leaf(text, line)
        if kind in ("bool", "int", "float", "null"):
            return Leaf(plain(text), line)
        return Leaf(text, line, known=False)

    def _anchored(self, event: Any, node: Made) -> Made:
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _open(self, event: Any, node: Items | Members) -> None:
        if len(self._stack) > _DEEPEST:
            raise Unreadable(f"nested more than {_DEEPEST} levels deep")
        self._work.spend()
        self._put(self._anchored(event, node), "")
        self._stack.append(_Frame(node, isinstance(node, Members)))

    def _put(self, node: Made, text: str) -> None:
        if not self._stack:
            self.roots.append(node)
            return
        frame = self._stack[-1]
        if isinstance(frame.node, Items):
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = text
            if _MARK in text:
                frame.node.known = False
        else:
            if frame.key == "<<":
                frame.merged.append(node)
            else:
                frame.node.pairs.append((frame.key, node))
            frame.key = None

    def _close(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame.node, Members) and frame.key not in (None, "<<"):
            frame.node.pairs.append((str(frame.key), untold(frame.node.line)))  # half-written
        if isinstance(frame.node, Members) and frame.merged:
            own = {name for name, _ in frame.node.pairs}
            for source in frame.merged:
                for each in self._sources(source):
                    self._merge(frame.node, each, own)

    def _sources(self, node: Node) -> Iterator[Node]:
        here = made(node)
        yield from here.items if isinstance(here, Items) else (here,)

    def _merge(self, into: Members, node: Node, own: set[str]) -> None:
        source = made(node)
        if not isinstance(source, Members):
            into.known &= isinstance(source, Leaf) and source.known
            return
        self._work.spend(len(source.pairs) + 1)
        new = [(name, value) for name, value in source.pairs if name not in own]
        into.known &= source.known
        into.pairs.extend(new)
        own.update(name for name, _ in new)


def _partly(text: str, line: int) -> Leaf:
    """Text with gaps that are filled later. Of nothing but gaps nothing is told."""
    rest = re.sub(r"\$\{\{[^}]*\}\}", "", text).replace(_MARK, "").strip()
    return Leaf(text.replace(_MARK, "{{}}"), line, known=False) if rest else untold(line)


def yaml_documents(text: str, work: Work, *, templates: bool = True) -> tuple[list[Node], str]:
    """Every document, and why they cannot be read whole. ``templates``: what stands in ``{{ }}`` is none of it."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    pending = ""
    if templates and "{{" in text:
        text, lines = _filled(text)
        pending = "it is a template: whole lines of it say what is not known here" if lines else ""
    reader = _Reader(work)
    try:
        for event in yaml.parse(text, Loader=loader):
            reader.take(event)
    except yaml.YAMLError as error:
        pending = whole(f"not YAML: {error}".replace("\n", " "), 160)
    reader.end()
    return reader.roots, pending


def _filled(text: str) -> tuple[str, bool]:
    """Without the actions of a template (``{{ … }}``, but not ``${{ … }}``), each line where it was; whether a line
    held nothing but one."""
    pieces: list[str] = []
    at, lines = 0, False
    while (start := text.find("{{", at)) >= 0:
        end = text.find("}}", start)
        if end < 0:
            break
        end += 2
        if text[start - 1 : start] == "$":
            pieces.append(text[at:end])
            at = end
            continue
        line = text.rfind("\n", 0, start) + 1
        after = text.find("\n", end)
        alone = not text[line:start].strip() and not text[end : len(text) if after < 0 else after].strip()
        lines |= alone
        gap = "\n" * text.count("\n", start, end)
        pieces.append(text[at:start] + ("" if alone else _MARK) + gap)
        at = end
    return "".join(pieces) + text[at:], lines
