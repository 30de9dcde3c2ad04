"""Artifacts in Gradle's scripts and version catalogs. A script is a program: what is read here are its literals, joined
and filled in where that is plain to see. Nothing can be taken out of it singly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from supervisor.inspection.decoding import Lines, whole
from supervisor.inspection.entries import Document, Entry, Located
from supervisor.inspection.maven_manifests import coordinates
from supervisor.inspection.toml_entries import toml_document
from supervisor.vocabulary.content import Requirement

_UNICODE = re.compile(r"\\u+([0-9a-fA-F]{4})")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LITERAL = (
    r'"""(?:[^"\\]|\\.|"(?!""))*"""' r"|'''(?:[^'\\]|\\.|'(?!''))*'''" r'|"(?:[^"\\\n]|\\.)*"' r"|'(?:[^'\\\n]|\\.)*'"
)
_TOKEN = re.compile(
    rf"(?P<note>//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>{_LITERAL})|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>[^\s\w])", re.DOTALL
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][\w.]{0,100})\}|\$([A-Za-z_]\w{0,100})")
_OTHER = frozenset(("exclude", "project", "println", "description"))
_PLUGIN = ".gradle.plugin"  # ends the artifact in whose group a plugin of that name is published
_ID = re.compile(r"[\w-]+(?:\.[\w-]+)+", re.ASCII)
_LOOKED_BACK = 12


class _Token:
    __slots__ = ("at", "kind", "text")

    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind, self.text, self.at = kind, text, at


def script(text: str) -> Document:
    text = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text
    lines = Lines(text)
    tokens = list(_tokens(text))
    known = _variables(tokens)
    located = [
        Located(Requirement("maven", whole(name), whole(version), lines.at(at), place))
        for name, version, place, at in (*_written(tokens, known), *_mapped(tokens, known), *_plugins(tokens, known))
    ]
    unfinished = "it ends in a comment" if re.search(r"/\*(?:(?!\*/).){0,2000}\Z", text[-2002:], re.DOTALL) else ""
    return Document(sorted(located, key=lambda each: each.requirement.line), [], unfinished)


def _tokens(text: str) -> Iterator[_Token]:
    """Literals that are joined by ``+`` are one."""
    last: _Token | None = None
    plus = False
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or ""
        if kind == "note":
            continue
        if kind == "text" and plus and last is not None:
            last.text, plus = last.text + _inside(found[0]), False
            continue
        if kind == "sign" and found[0] == "+" and last is not None and last.kind == "text" and not plus:
            plus = True
            continue
        if last is not None:
            yield last
        plus = False
        last = _Token(kind, _inside(found[0]) if kind == "text" else found[0], found.start())
    if last is not None:
        yield last


def _inside(literal: str) -> str:
    quotes = 3 if literal.startswith(('"""', "'''")) and len(literal) > 5 else 1
    return _ESCAPE.sub(r"\1", literal[quotes:-quotes]) if "\\" in literal else literal[quotes:-quotes]


def _variables(tokens: list[_Token]) -> dict[str, str]:
    """``x = "text"``, by its last name only."""
    known: dict[str, str] = {}
    for one, sign, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if one.kind == "word" and sign.text in ("=", ":") and value.kind == "text":
            known[one.text.rpartition(".")[2]] = value.text
    return known


def _filled(text: str, known: Mapping[str, str]) -> str:
    if "$" not in text:
        return text
    return _VARIABLE.sub(lambda found: known.get((found[1] or found[2]).rpartition(".")[2], found[0]), text[:2000])


def _written(tokens: list[_Token], known: Mapping[str, str]) -> Iterator[tuple[str, str, str, int]]:
    """Every text that looks like ``g:a:v``, unless it is given to something that asks for nothing."""
    for number, token in enumerate(tokens):
        if token.kind != "text" or ":" not in token.text:
            continue
        caller = _caller(tokens, number)
        if caller in _OTHER:
            continue
        for name, version in coordinates(_filled(token.text.strip(), known)):
            yield name, version, caller or "script", token.at


def _caller(tokens: list[_Token], number: int) -> str:
    """The word before a text, with nothing but brackets between."""
    for token in reversed(tokens[max(0, number - _LOOKED_BACK) : number]):
        if token.kind == "word":
            return whole(token.text.rpartition(".")[2], 60)
        if token.text != "(":
            return ""
    return ""


def _mapped(tokens: list[_Token], known: Mapping[str, str]) -> Iterator[tuple[str, str, str, int]]:
    """``group: "g", name: "a", version: "v"``, in any order, also with ``=``."""
    for number, token in enumerate(tokens):
        if token.text != "name" or not _is_value(tokens, number):
            continue
        fields = {"name": tokens[number + 2].text}
        for way in (4, -4):
            at = number + way
            while at >= 0 and _is_value(tokens, at) and tokens[at].text in ("group", "version", "ext", "classifier"):
                if tokens[min(at, at - way) + 3].text != "," and way < 0:
                    break
                fields.setdefault(tokens[at].text, tokens[at + 2].text)
                at += way
        if "group" in fields:
            name = _filled(f"{fields['group']}:{fields['name']}", known)
            for made, _ in coordinates(name):
                yield made, _filled(fields.get("version", ""), known), "script", token.at


def _is_value(tokens: list[_Token], at: int) -> bool:
    """``word: "text"``."""
    if at + 2 >= len(tokens) or tokens[at].kind != "word":
        return False
    return tokens[at + 1].text in (":", "=") and tokens[at + 2].kind == "text"


def _plugins(tokens: list[_Token], known: Mapping[str, str]) -> Iterator[tuple[str, str, str, int]]:
    """``id "x.y" version "1"`` and ``id("x.y")``."""
    for number, token in enumerate(tokens):
        if token.kind != "text" or _caller(tokens, number) != "id" or _ID.fullmatch(token.text) is None:
            continue
        following = tokens[number + 1 : number + 5]
        words = [each.text for each in following if each.text not in (")", "(")]
        version = words[1] if len(words) > 1 and words[0] == "version" else ""
        yield f"{token.text}:{token.text}{_PLUGIN}".lower(), _filled(version, known), "plugins", token.at


def catalog(text: str) -> Document:
    """``libraries`` and ``plugins`` of a ``libs.versions.toml``."""
    entries, problem = toml_document(text)
    versions = {
        str(each.path[1]): each.text
        for each in entries
        if each.path[:1] == ("versions",) and each.text and len(each.path) > 1
    }
    items: dict[tuple[str, str], list[Entry]] = {}
    for each in entries:
        if len(each.path) > 1 and each.path[0] in ("libraries", "plugins") and each.text is not None:
            items.setdefault((str(each.path[0]), str(each.path[1])), []).append(each)
    located = [Located(made) for (table, _), inside in items.items() for made in _listed(table, inside, versions)]
    return Document(sorted(located, key=lambda each: each.requirement.line), entries, problem)


def _listed(table: str, inside: list[Entry], versions: Mapping[str, str]) -> Iterator[Requirement]:
    fields = {".".join(map(str, each.path[2:])): each.text or "" for each in inside}
    line = min((each.line for each in inside if each.line), default=0)
    version = next((fields[each] for each in ("version", "version.strictly", "version.require") if each in fields), "")
    version = versions.get(fields["version.ref"], "") if "version.ref" in fields else version
    if table == "plugins":
        name, _, told = fields.get("", "").partition(":")
        name = fields.get("id", name).strip()
        if _ID.fullmatch(name) is not None:
            yield Requirement("maven", whole(f"{name}:{name}{_PLUGIN}".lower()), whole(told or version), line, table)
        return
    text = fields.get("") or fields.get("module") or f"{fields.get('group', '')}:{fields.get('name', '')}"
    for name, told in coordinates(text.strip()):
        yield Requirement("maven", whole(name), whole(told or version), line, table)
