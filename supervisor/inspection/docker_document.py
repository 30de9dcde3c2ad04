"""Dockerfiles as documents.

A mapping: every instruction is a list of its texts, in order, under its name in capitals (``USER``, ``RUN``,
``ONBUILD`` …), and ``stages`` is the list of stages. ``FROM`` holds the images that are taken from elsewhere: no
earlier stages and not ``scratch``. A stage has ``from`` (as written, variables filled in), ``name``, ``platform``,
``image`` (the one that it comes from in the end), ``user`` (the last one set, by it or by the stages that it builds on,
without group; absent when nobody sets one) and ``group``, and its own instructions in capitals. ``final`` is the last
stage once more.

``ARG`` and ``ENV`` with a literal value are that value; a build may be given others. What is not told is left as it is
written.
"""

from __future__ import annotations

import re
from typing import Final

from supervisor.inspection.document_nodes import Items, Leaf, Made, Members, Node, Work, untold

_ESCAPE = re.compile(r"#[ \t]*escape[ \t]*=[ \t]*([\\`])[ \t]*", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#[ \t]*(?:syntax|escape|check)[ \t]*=", re.IGNORECASE)  # others are comments, and end them
_WORD = re.compile(r"[ \t]*([A-Za-z]+)(?:[ \t]+|$)")
_HEREDOC = re.compile(r"<<(-?)[ \t]*([\"']?)([A-Za-z_][A-Za-z0-9_.-]*)\2")
_VARIABLE = re.compile(r"\\\$|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^{}]*))?\})")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?[ \t]+")
_PAIRS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?:[^\s\\]|\\.)*)")
_WITH_HEREDOCS: Final = frozenset(("RUN", "COPY", "ADD"))
_FILLED: Final = frozenset(
    ("ADD", "COPY", "ENV", "EXPOSE", "FROM", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR", "ONBUILD")
)


class _Stage:
    def __init__(self, line: int) -> None:
        self.line = line
        self.pairs: dict[str, Items] = {}
        self.name = self.platform = ""
        self.image: Leaf = untold(line)
        self.written: Leaf = untold(line)
        self.user: Leaf | None = None
        self.variables: dict[str, str | None] = {}

    def document(self) -> Members:
        pairs: list[tuple[str, Node]] = [("from", self.written), ("image", self.image)]
        for name, text in (("name", self.name), ("platform", self.platform)):
            if text:
                pairs.append((name, Leaf(text, self.line)))
        if self.user is not None:
            text, known = str(self.user.value or ""), self.user.known
            user, _, group = text.partition(":")
            pairs.append(("user", Leaf(user or None, self.user.line, known)))
            if group:
                pairs.append(("group", Leaf(group, self.user.line, known)))
        return Members([*pairs, *self.pairs.items()], self.line)


class _Reader:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._globals: dict[str, str | None] = {}
        self.stages: list[_Stage] = []
        self.all: dict[str, Items] = {}

    def take(self, name: str, text: str, line: int) -> None:
        self._work.spend()
        if name == "FROM":
            self._from(text, line)
            return
        leaf = self._filled(text, line) if name in _FILLED else Leaf(text, line)
        if name == "ARG":
            self._arguments(text)
        elif name == "ENV":
            self._environment(text)
        elif name == "USER" and self.stages:
            self.stages[-1].user = leaf
        self._add(self.all, name, leaf)
        if self.stages:
            self._add(self.stages[-1].pairs, name, leaf)

    def _add(self, into: dict[str, Items], name: str, leaf: Leaf) -> None:
        into.setdefault(name, Items([], leaf.line)).items.append(leaf)

    def _from(self, text: str, line: int) -> None:
        stage = _Stage(line)
        while (flag := _FLAG.match(text)) is not None:
            if flag[1] == "platform":
                stage.platform = flag[2] or ""
            text = text[flag.end() :]
        words = text.split()
        leaf = self._filled(words[0], line, self._globals) if words else untold(line)
        if len(words) >= 3 and words[1].lower() == "as":
            stage.name = words[2].lower()
        stage.written = stage.image = leaf
        image = str(leaf.value).lower()
        base = next((each for each in reversed(self.stages) if each.name and each.name == image), None)
        if base is not None and leaf.known:
            stage.image, stage.user = base.image, base.user
            stage.variables = dict(base.variables)
        elif leaf.value != "scratch":
            self._add(self.all, "FROM", leaf)
        self.stages.append(stage)

    def _filled(self, text: str, line: int, variables: dict[str, str | None] | None = None) -> Leaf:
        if variables is None:
            variables = self.stages[-1].variables if self.stages else self._globals
        values, known = variables, True

        def put(found: re.Match[str]) -> str:
            nonlocal known
            name = found[1] or found[2]
            if name is None:
                return "$"
            value = values.get(name)
            if found[3] == "-" and not value:
                value = found[4]
            elif found[3] == "+":
                value = found[4] if value else None
            known &= value is not None
            return found[0] if value is None else value

        filled = _VARIABLE.sub(put, text)[:8000]
        if not known and not _VARIABLE.sub("", filled).strip():
            return untold(line)
        return Leaf(_unquoted(filled), line, known)

    def _arguments(self, text: str) -> None:
        for word in text.split():
            name, equals, value = word.partition("=")
            told: str | None = _unquoted(value) if equals else None
            if not self.stages:
                self._globals[name] = self._literal(told, self._globals)
            else:
                variables = self.stages[-1].variables
                variables[name] = self._literal(told, variables) if equals else self._globals.get(name)

    def _environment(self, text: str) -> None:
        if not self.stages:
            return
        variables = self.stages[-1].variables
        head, _, rest = text.partition(" ")
        pairs = [(head, rest.strip())] if "=" not in head else [(m[1], m[2]) for m in _PAIRS.finditer(text[:8000])]
        for name, value in pairs:
            variables[name] = self._literal(_unquoted(value), variables)

    def _literal(self, text: str | None, variables: dict[str, str | None]) -> str | None:
        if text is None or "$" not in text:
            return text
        leaf = self._filled(text, 0, variables)
        return str(leaf.value) if leaf.known else None


def docker_document(text: str, work: Work) -> tuple[list[Node], str]:
    """The document; a file that ends in the middle of an instruction says so."""
    reader = _Reader(work)
    lines = text.split("\n")
    escape, at, pending = "\\", 0, ""
    while at < len(lines) and _DIRECTIVE.match(lines[at]):
        found = _ESCAPE.fullmatch(lines[at].rstrip("\r"))
        escape = found[1] if found is not None else escape
        at += 1
    while at < len(lines):
        line = lines[at].strip()
        if not line or line.startswith("#"):
            at += 1
            continue
        first, whole = at + 1, False
        parts: list[str] = []
        while at < len(lines):
            here = lines[at].rstrip()
            at += 1
            if here.lstrip().startswith("#") or (parts and not here):  # passed over inside an instruction too
                continue
            whole = not here.endswith(escape)
            parts.append(here if whole else here[:-1])  # joined as they are: a word may be cut in two
            if whole:
                break
        pending = pending if whole else "it ends in the middle of an instruction"
        joined = "".join(parts).strip()
        word = _WORD.match(joined)
        if word is None:
            pending = pending or f"line {first} is no instruction"
            continue
        name, said = word[1].upper(), joined[word.end() :].strip()
        if name in _WITH_HEREDOCS:
            said, at, ended = _heredocs(said, lines, at)
            pending = pending if ended else "a here-document without its end"
        reader.take(name, said, first)
    if not reader.stages and not pending:
        pending = "it has no FROM"
    stages: list[Node] = [stage.document() for stage in reader.stages]
    pairs: list[tuple[str, Node]] = [*reader.all.items(), ("stages", Items(stages, 1))]
    if stages:
        pairs.append(("final", stages[-1]))
    root: Made = Members(pairs, 1)
    return [root], pending


def _heredocs(said: str, lines: list[str], at: int) -> tuple[str, int, bool]:
    """The text with its here-documents, the line after them, and whether they end."""
    for found in list(_HEREDOC.finditer(said))[:16]:
        while at < len(lines):
            line = lines[at].rstrip("\r")
            at += 1
            if (line.lstrip("\t") if found[1] else line) == found[3]:
                break
            said += "\n" + line
        else:
            return said, at, False
    return said, at, True


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
