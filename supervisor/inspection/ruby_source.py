"""What Ruby asks for: ``require`` in sources, ``gem`` in a Gemfile, ``add_dependency`` in a gemspec. Ruby is not run:
names have to stand there as literals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from supervisor.inspection.decoding import Lines, whole
from supervisor.inspection.entries import Document, Located
from supervisor.vocabulary.content import Findings, Import, Requirement

_LITERAL = (
    r"\"(?:[^\"\\\n]|\\[^\n])*\"|'(?:[^'\\\n]|\\[^\n])*'"
    r"|%[qQ]?(?:\([^()\n]*\)|\[[^\[\]\n]*\]|\{[^{}\n]*\}|<[^<>\n]*>|\|[^|\n]*\|)"
)
_TOKEN = re.compile(
    rf"(?P<note>^=begin\b.*?(?:^=end\b[^\n]*|\Z)|\#[^\n]*)|(?P<text>{_LITERAL})|(?P<end>^__END__$)"
    r"|(?P<word>:?[A-Za-z_][\w.]*[?!]?:?|->)|(?P<line>\n|;)|(?P<sign>=>|[^\s\w])",
    re.DOTALL | re.MULTILINE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|([0-7]{1,3})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "s": " ", "e": "\x1b", "r": "\r", "0": "\0"}
_LOADS = frozenset(("require", "Kernel.require", "autoload", "gem", "Kernel.gem", "Object.require"))
_ADDS: Final = ("add_dependency", "add_runtime_dependency", "add_development_dependency")
_ORIGINS: Final = ("git", "github", "gitlab", "bitbucket", "gist", "path", "svn", "source")
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_ONE = r"[<>=!~]{0,2}\s*\d[\w.-]*"
_VERSION = re.compile(rf"\s*{_ONE}\s*(?:,\s*{_ONE}\s*)*")
_GOES_ON = (",", "\\", "(", "+")
_MOST = 60  # tokens of one call


class Token(NamedTuple):
    """``kind``: ``text``, ``word``, ``line`` or ``sign``."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> list[Token]:
    """Literals that stand side by side, or are joined by ``+``, are one; a line that ends in ``,`` goes on."""
    found: list[Token] = []
    for each in _TOKEN.finditer(text):
        kind = each.lastgroup or ""
        if kind == "end":
            break
        if kind == "note":
            continue
        if each[0] == "\n" and found and found[-1].kind == "sign" and found[-1].text in _GOES_ON:
            if found[-1].text == "\\":
                found.pop()
            continue
        if kind == "text":
            value = _value(each[0])
            if found and found[-1] == Token("sign", "+", found[-1].at) and len(found) > 1 and found[-2].kind == "text":
                found.pop()
            if found and found[-1].kind == "text":
                found[-1] = found[-1]._replace(text=found[-1].text + value)
                continue
            found.append(Token(kind, value, each.start()))
            continue
        found.append(Token(kind, each[0], each.start()))
    return found


def _value(literal: str) -> str:
    if literal[0] == "%":
        return literal[3 if literal[1] in "qQ" else 2 : -1]
    body = literal[1:-1]
    if literal[0] == "'" or "\\" not in body:
        return body.replace("\\'", "'") if literal[0] == "'" else body
    return _ESCAPE.sub(_unescaped, body)


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2] or found[3]
    if number:
        return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
    return chr(int(found[4], 8)) if found[4] else _SIMPLE.get(found[5], found[5])


def inspect(content: bytes) -> Findings:
    """The features that a source loads by name, and the gems that it activates."""
    if b"\0" in content:
        return Findings(refusal="binary")
    text = content.decode("utf-8", "replace")
    read = tokens(text)
    lines = Lines(text)
    found: dict[Import, None] = {}
    for number, token in enumerate(read):
        if token.kind != "word" or token.text not in _LOADS:
            continue
        for each in _arguments(read, number):
            if each.kind == "text" and _NAME.fullmatch(each.text) and not each.text.startswith("."):
                found[Import("rubygems", whole(each.text), lines.at(token.at))] = None
                break
    return Findings(imports=tuple(found))


def _arguments(read: list[Token], number: int) -> Iterator[Token]:
    """What follows a call up to the end of its line; a comma goes over it."""
    for token in read[number + 1 : number + 1 + _MOST]:
        if token.kind == "line" or token.text in ("do", "if", "unless"):
            return
        yield token


def gemfile(text: str) -> Document:
    """A ``Gemfile`` or ``*.gemspec``. Nothing can be taken out of it singly."""
    read = tokens(text)
    lines = Lines(text)
    located: list[Located] = []
    for number, token in enumerate(read):
        if token.kind != "word":
            continue
        last = token.text.rpartition(".")[2]
        if token.text in ("gem", "Kernel.gem") or last in _ADDS:
            located += [Located(each) for each in _gem(read, number, lines.at(token.at), last)]
        elif token.text in ("source", "git", "github", "path"):
            first = next((each for each in _arguments(read, number) if each.text != "("), None)
            if first is not None and first.kind == "text" and first.text:
                origin = _origin(token.text, first.text)
                located.append(Located(Requirement("rubygems", "", "", lines.at(token.at), token.text, origin=origin)))
    return Document(located, [])


def _gem(read: list[Token], number: int, line: int, place: str) -> Iterator[Requirement]:
    given = list(_arguments(read, number))
    while given and given[0].text in ("(", "["):
        del given[0]
    if not given or given[0].kind != "text" or _NAME.fullmatch(given[0].text) is None:
        return
    versions: list[str] = []
    origin, key = "", ""
    for before, each in pairwise(given):
        if each.kind == "word" and each.text.endswith(":"):
            key = each.text[:-1]
        elif each.kind == "word" and each.text.startswith(":"):
            key = each.text[1:]
        elif each.kind == "text" and key and before.text in (key + ":", "=>"):
            origin = _origin(key, each.text) if key in _ORIGINS else origin
        elif each.kind == "text" and not key and _VERSION.fullmatch(each.text):
            versions.append(each.text.strip())
    name = whole(given[0].text.lower())
    yield Requirement("rubygems", name, whole(", ".join(versions)), line, whole(place), origin=origin)


def _origin(key: str, text: str) -> str:
    if key == "path" and not text.startswith(("/", ".")):
        return whole(f"./{text}")
    return whole(f"{key}:{text}" if key in ("github", "gitlab", "bitbucket", "gist") and "://" not in text else text)
