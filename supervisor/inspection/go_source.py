"""What a Go source imports. Imports come before all other declarations, so that nothing behind them has to be read."""

from __future__ import annotations

import re

from supervisor.inspection.decoding import whole
from supervisor.vocabulary.content import Findings, Import

# Line ends count as tokens: the grammar's semicolons stand there.
_TOKEN = re.compile(
    r"""(?:[ \t\r]|/\*.*?\*/|//[^\n]*)*(?:(?P<end>[;\n])|(?P<string>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)|(?P<word>\w+)"""
    r"""|(?P<sign>[().])|(?P<other>.)|\Z)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


def unquoted(token: str) -> str:
    """A string literal of Go as the text it stands for; anything else as it is."""
    if token[:1] == "`" and len(token) > 1:
        return token[1:-1]
    if token[:1] != '"' or len(token) < 2:
        return token
    return _ESCAPE.sub(_unescaped, token[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2] or found[3]
    if number:
        return chr(int(number, 16)) if int(number, 16) < 0x110000 else "?"
    return chr(int(found[4], 8)) if found[4] else found[5]


def inspect(content: bytes) -> Findings:
    """Packages of the language's own library, which have no dot in the first part of their path, are left out."""
    if b"\0" in content:
        return Findings(refusal="binary")
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    found: list[Import] = []
    at, line, state = 0, 1, "start"
    while at < len(text) and state != "done":
        token = _TOKEN.match(text, at)
        if token is None or token.end() == at:
            break
        kind = token.lastgroup or ""
        start = token.start(kind) if kind else token.end()
        begun = line + text.count("\n", at, start)
        line, at = begun + text.count("\n", start, token.end()), token.end()
        if kind == "string" and state in ("import", "import ("):
            path = unquoted(token["string"])
            if "." in path.partition("/")[0] and not path.startswith("."):
                found.append(Import("go", whole(path), begun))
        if kind not in ("end", ""):
            state = _next(state, kind, token[kind])
    unfinished = {"start": "it has no package", "package": "it has no package"}
    pending = unfinished.get(state, "it ends in its imports" if state.startswith("import") else "")
    return Findings(imports=tuple(found), pending=pending if text.strip() else "")


def _next(state: str, kind: str, text: str) -> str:
    """``start``, ``package`` (its name is to come), ``between`` declarations, ``import``, ``import (`` and ``done``.
    More is taken than Go takes, never less."""
    match state, kind, text:
        case "start", _, "package":
            return "package"
        case ("package", "word", _) | ("import", "string", _) | ("import (", _, ")"):
            return "between"
        case "between", _, "import":
            return "import"
        case "import", _, "(":
            return "import ("
        case ("import", "word", _) | ("import", _, "."):
            return "import"
        case ("import (", "word" | "string", _) | ("import (", _, "."):
            return "import ("
    return "done"
