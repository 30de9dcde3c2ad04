"""The words of SQL as its servers and their command line clients read it: strings, comments, client commands.

The parser is given statements one at a time, without comments and with plain strings only, so that it cannot see other
ends of strings and comments than the server does. Where nobody can tell how a text is read it is ``unsure``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_BACKSLASH = frozenset({"mysql", "clickhouse", "bigquery", "snowflake"})
_DOUBLE_IS_STRING = frozenset({"mysql", "bigquery"})
_BACKTICK = frozenset({"mysql", "sqlite", "clickhouse", "bigquery"})
_BRACKET = frozenset({"tsql", "sqlite"})
_DOLLAR = frozenset({"postgres", "duckdb", "snowflake"})
_ESCAPED = frozenset({"postgres", "duckdb"})
_HASH = frozenset({"mysql", "bigquery", "clickhouse"})
_NESTED = frozenset({"postgres", "duckdb", "tsql"})
_DOTTED = frozenset({"sqlite", "duckdb"})

_PLAIN = re.compile(r"[\w ./:@-]{0,60}", re.ASCII)
_NAME = re.compile(r"[\w$ .-]{1,120}")
_MOST = 200_000  # tokens
_COMMENT_MARK = re.compile(r"/\*|\*/")
_TAG = re.compile(r"\$([^\W\d]\w*)?\$")


class Token(NamedTuple):
    """``kind``: ``word``, ``name`` (quoted), ``string``, ``number``, ``sign``, ``command`` (of the client, to the end
    of its line), ``unsure``. ``value``: lower case for words, without its quotes for names and strings. ``glued``:
    nothing stands between it and the one before."""

    kind: str
    text: str
    value: str = ""
    glued: bool = False


class Piece(NamedTuple):
    """One statement. ``unsure``: the text may be read in another way. ``cut``: there is more than is looked at."""

    tokens: tuple[Token, ...]
    unsure: bool = False
    cut: bool = False

    def words(self) -> list[str]:
        return [token.value for token in self.tokens if token.kind == "word"]


def pieces(text: str, dialect: str) -> Iterator[Piece]:
    """The statements, without comments and empty ones. A client command is a piece of its own."""
    found: list[Token] = []
    unsure = False
    for number, token in enumerate(_Lexer(text, dialect).tokens()):
        if number >= _MOST:
            yield Piece((), cut=True)
            return
        ends = token.kind == "sign" and token.text == ";"
        if token.kind == "unsure":
            unsure = True
        if token.kind == "command" or ends:
            if found or unsure:
                yield Piece(tuple(found), unsure)
            found, unsure = [], False
            if not ends:
                yield Piece((token,))
        elif token.text:
            found.append(token)
    if found or unsure:
        yield Piece(tuple(found), unsure)


def parseable(tokens: tuple[Token, ...]) -> str:
    """The statement as the parser is given it."""
    parts: list[str] = []
    for token in tokens:
        if parts and not token.glued:
            parts.append(" ")
        if token.kind == "string":
            parts.append("'" + (token.value if _PLAIN.fullmatch(token.value) else "?") + "'")
        else:
            parts.append(token.text)
    return "".join(parts)


def shape(tokens: tuple[Token, ...], most: int = 200) -> str:
    """The text without literals."""
    parts: list[str] = []
    size, before = 0, ""
    for token in tokens:
        if token.kind in ("string", "number"):
            part = "?"
        elif token.kind == "command":
            part = token.value
        else:
            part = token.text if token.kind != "name" or _NAME.fullmatch(token.value) else "?"
        if part == "?" and parts[-2:] == ["?", ","]:
            parts.pop()
            continue
        if token.glued and token.kind == "sign" == before and part not in ",.()" and parts:
            parts[-1] += part
        else:
            parts.append(part)
        before = token.kind
        size += len(part) + 1
        if size > most:
            break
    told = re.sub(r" ?([,.]) ?", r"\1", re.sub(r"\( ", "(", re.sub(r" \)", ")", " ".join(parts)))).replace(",", ", ")
    return told[:most].encode("utf-8", "replace").decode("utf-8")


def depth(tokens: tuple[Token, ...]) -> int:
    """How deep its brackets go."""
    now = most = 0
    for token in tokens:
        if token.kind == "sign":
            now += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
            most = max(most, now)
    return most


class _Lexer:
    def __init__(self, text: str, dialect: str) -> None:
        self._text = text
        self._dialect = dialect
        self._at = 0
        self._ended = -1  # where the last token ends that may be joined with the next
        self._fresh = True  # at the beginning of a statement
        self._inside: list[int] = []  # ends of MySQL's comments whose content is executed

    def tokens(self) -> Iterator[Token]:
        text = self._text
        while self._at < len(text):
            if text[self._at].isspace():
                self._at += 1
                continue
            glued = self._at == self._ended
            for token in self._next():
                if token.kind in ("sign", "command") and (token.text == ";" or token.kind == "command"):
                    self._fresh = True
                elif token.text:
                    self._fresh = False
                    self._ended = self._at
                yield token._replace(glued=glued)
        if self._inside:
            yield Token("unsure", "")

    def _next(self) -> Iterator[Token]:
        text, at, dialect = self._text, self._at, self._dialect
        char, two = text[at], text[at : at + 2]
        command = self._command()
        if command is not None:
            yield command
        elif two == "--" or (two == "//" and dialect == "snowflake") or (char == "#" and dialect in _HASH):
            yield from self._line_comment(two)
        elif two == "/*":
            yield from self._comment()
        elif two == "*/" and self._inside:
            self._inside.pop()
            self._at += 2
        elif char == "'" or (char == '"' and dialect in _DOUBLE_IS_STRING):
            yield self._quoted("string", char, dialect in _BACKSLASH)
        elif char == '"' or (char == "`" and dialect in _BACKTICK):
            yield self._quoted("name", char, dialect in ("clickhouse", "bigquery"))
        elif char == "[" and dialect in _BRACKET:
            yield self._quoted("name", "]", backslash=False)
        elif char == "$" and dialect in _DOLLAR and (tag := _TAG.match(text, at)) is not None:
            yield self._between(tag[0])
        else:
            yield from self._plain()

    # Comments.

    def _line_comment(self, two: str) -> Iterator[Token]:
        """To the end of the line. MySQL takes ``--`` for one only before a space."""
        after = self._text[self._at + 2 : self._at + 3]
        if two == "--" and self._dialect == "mysql" and after and not after.isspace() and after >= " ":
            self._at += 1
            yield Token("sign", "-")
            self._ended = -1
            return
        end = self._text.find("\n", self._at)
        body = self._text[self._at : end if end >= 0 else len(self._text)]
        self._at = len(self._text) if end < 0 else end + 1
        if "\r" in body.rstrip("\r"):  # some take it for the end of a line
            yield Token("unsure", "")

    def _comment(self) -> Iterator[Token]:
        text, at = self._text, self._at
        executed = re.compile(r"/\*M?!\d{0,6}").match(text, at) if self._dialect == "mysql" else None
        if executed is not None:
            self._at = executed.end()
            self._inside.append(at)
            return
        level, end, inner = 0, at, False
        for mark in _COMMENT_MARK.finditer(text, at):
            if mark.start() < end:
                continue
            end = mark.end()
            if mark[0] == "*/":
                level -= 1
            elif level == 0 or self._dialect in _NESTED:
                level += 1
            else:
                inner = True
            if level == 0:
                break
        self._at = end if level == 0 else len(text)
        if inner or level:
            yield Token("unsure", "")

    # Strings and names.

    def _quoted(self, kind: str, close: str, backslash: bool) -> Token:
        """A doubled quote stands for itself. What does not end is unsure, and all of the rest."""
        at = self._at
        inner = rf"[^{re.escape(close)}\\]++|{re.escape(close * 2)}|" + (r"\\." if backslash else r"\\")
        found = re.compile(rf"(?s)((?:{inner})*+)({re.escape(close)})?").match(self._text, at + 1)
        assert found is not None
        self._at = found.end()
        if found[2] is None:
            self._at = len(self._text)
            return Token("unsure", self._text[at : at + 40])
        value = found[1].replace(close * 2, close)
        return self._name(value) if kind == "name" else Token("string", self._text[at : found.end()], value)

    def _name(self, value: str) -> Token:
        """In the quotes that the parser of the dialect takes."""
        if not value or any(char in value for char in "\"`[]\\'\0\n"):
            return Token("unsure", '"?"', value.lower())
        quote = "`" if self._dialect in ("mysql", "bigquery") else '"'
        return Token("name", f"{quote}{value}{quote}", value)

    def _between(self, mark: str) -> Token:
        start = self._at + len(mark)
        end = self._text.find(mark, start)
        self._at = len(self._text) if end < 0 else end + len(mark)
        return Token("unsure", "$") if end < 0 else Token("string", "''", self._text[start:end])

    # The rest.

    def _plain(self) -> Iterator[Token]:
        text, at, dialect = self._text, self._at, self._dialect
        word = re.compile(r"[^\W\d][\w$]*|@{1,2}[\w$.]+|#{1,2}\w+").match(text, at)
        if word is not None:
            value = word[0].lower()
            after = text[word.end() : word.end() + 1]
            self._at = word.end()
            if after == "'" and len(value) <= 2:
                yield from self._prefixed(value)
                return
            if value == "u" and text[word.end() : word.end() + 2] in ("&'", '&"'):
                yield Token("unsure", "")
            yield Token("word", word[0], value)
            return
        number = re.compile(r"(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?!\w)").match(text, at)
        if number is not None:
            self._at = number.end()
            yield Token("number", number[0])
            return
        variable = re.compile(r"""(?<!:):(?![:=])['"{A-Za-z_]""" if dialect == "postgres" else r"\$\(|\{\{").match(
            text, at
        )
        if variable is not None and (dialect in ("postgres", "tsql", "clickhouse")):
            yield Token("unsure", "")
        self._at = at + 1
        if text.startswith("::", at):
            self._at = at + 2
        yield Token("sign", text[at : self._at])

    def _prefixed(self, prefix: str) -> Iterator[Token]:
        """``E'…'``, ``N'…'``, ``X'…'`` …"""
        backslash = self._dialect in _BACKSLASH or (prefix == "e" and self._dialect in _ESCAPED)
        if prefix == "r" and self._dialect == "bigquery":
            backslash = False
        if prefix in ("e", "n", "b", "x", "r", "rb", "br", "q"):
            if prefix == "q" or (prefix in ("r", "rb", "br") and self._dialect == "bigquery"):
                yield Token("unsure", "")
            yield self._quoted("string", "'", backslash)
        else:
            yield Token("word", prefix, prefix)

    def _command(self) -> Token | None:
        """What the command line client does itself: it takes the line, or for MySQL one letter."""
        text, at, dialect = self._text, self._at, self._dialect
        char = text[at]
        ends = {"mysql": ("g", "G"), "postgres": (";",)}.get(dialect, ())
        if char == "\\" and text[at + 1 : at + 2] in ends:
            self._at = at + 2
            return Token("sign", ";")
        starts = char == "\\" and dialect != "sqlite"
        if self._fresh and not starts:
            starts = (char == "." and dialect in _DOTTED) or (char in ":!" and dialect == "tsql")
        if not starts:
            if dialect == "tsql" and char in "gG":
                batch = re.compile(r"(?im)^[ \t]*go[ \t]*\d*[ \t]*\r?$").match(text, text.rfind("\n", 0, at) + 1)
                if batch is not None and batch.end() > at:
                    self._at = batch.end()
                    return Token("sign", ";")
            return None
        end = text.find("\n", at)
        self._at = len(text) if end < 0 else end
        line = text[at : self._at].strip()
        return Token("command", line, re.split(r"\s", line, maxsplit=1)[0][:40])


DIALECTS: Final = frozenset({"postgres", "mysql", "sqlite", "tsql", "clickhouse", "duckdb", "snowflake", "bigquery"})
