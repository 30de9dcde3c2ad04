"""Database statements by their effects: what each would read, write, change, remove or give away.

What the parser does not read is ``opaque`` and, besides, everything that its words could mean; so is what reaches
beyond the data (files, other servers, programs) and what says something that is known at run time alone.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from supervisor.inspection import sql_text, sql_words
from supervisor.inspection.decoding import whole
from supervisor.inspection.sql_text import DIALECTS, Piece, Token
from supervisor.vocabulary.content import Statement

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

EFFECTS: Final = ("read", "write", "modify", "delete", "schema", "privilege", "export", "opaque")
ANY: Final = "*.*"  # object that cannot be told
_MOST_TEXT = 1 << 20
_MOST_STATEMENTS = 500
_MOST_TOKENS = 20_000  # that are parsed, of all statements together
_DEEPEST = 60
_MOST_OBJECTS = 400


def statements(text: str, dialect: str) -> tuple[Statement, ...]:
    """Every statement of a text, equal ones once. ``dialect``: one of ``DIALECTS``; for another everything is opaque.
    Never raises for what a text says. Too much of it is one opaque statement that may do anything."""
    if dialect not in DIALECTS or len(text) > _MOST_TEXT:
        return (_anything(f"{len(text)} characters of {whole(dialect, 40)}"),) if text.strip() else ()
    found: dict[Statement, None] = {}
    left = _MOST_TOKENS
    for number, piece in enumerate(sql_text.pieces(text, dialect)):
        if piece.cut or number >= _MOST_STATEMENTS:
            found[_anything("more statements than are looked at")] = None
            break
        left -= len(piece.tokens)
        for each in _of_piece(piece, dialect, parse=left >= 0):
            # What nobody can read is no statement, perhaps: it may be a file of another kind, and is not repeated.
            told = each if each.shape else each._replace(shape=f"statement {number + 1}, which cannot be read,")
            found[told] = None
    return tuple(found)


def _anything(shape: str) -> Statement:
    return Statement(EFFECTS, (ANY,), filtered=False, shape=shape)


def _of_piece(piece: Piece, dialect: str, *, parse: bool) -> tuple[Statement, ...]:
    tokens = piece.tokens
    shape = sql_text.shape(tokens)
    if tokens and tokens[0].kind == "command":
        effects = sql_words.of_client(tokens[0].text, dialect)
        return (
            Statement(
                _ordered(effects), (ANY,) if effects != {"read"} else (), filtered=effects == {"read"}, shape=shape
            ),
        )
    words = piece.words()
    if dialect == "mysql" and words[:1] and words[0] in sql_words.MYSQL_COMMANDS:
        return (Statement(("export", "opaque"), (ANY,), filtered=False, shape=shape),)
    if all(token.kind == "word" for token in tokens) and sql_words.is_transaction(words):
        return (Statement((), shape=shape),)
    if not parse:
        return (_unparsed(piece, dialect),)
    harmless, tokens = _unwrapped(tokens)
    told = _parsed(tokens, dialect)
    if told is None:
        return (_unparsed(piece, dialect),)
    extra = sql_words.functions(tokens, dialect) | ({"opaque"} if piece.unsure or _runs_on(words, dialect) else set())
    if harmless and "opaque" not in extra:
        told = [Statement(("read",), each.objects) for each in told]
    unknown = (ANY,) if "opaque" in extra else ()
    return tuple(
        each._replace(
            effects=_ordered({*each.effects, *extra}),
            objects=tuple(dict.fromkeys((*each.objects, *unknown))),
            shape=shape,
        )
        for each in told
    )


def _unparsed(piece: Piece, dialect: str) -> Statement:
    effects = sql_words.by_words(piece.words()) | sql_words.functions(piece.tokens, dialect)
    return Statement(_ordered(effects), (ANY,), filtered=False)


def _ordered(effects: set[str]) -> tuple[str, ...]:
    return tuple(effect for effect in EFFECTS if effect in effects)


# Statements of T-SQL need no semicolon between them, so one of these inside of a statement may begin another.
_BEGINS = frozenset(
    [
        "insert",
        "update",
        "delete",
        "drop",
        "alter",
        "create",
        "exec",
        "execute",
        "truncate",
        "merge",
        "grant",
        "revoke",
        "deny",
        "shutdown",
        "backup",
        "restore",
        "bulk",
        "dbcc",
        "kill",
        "reconfigure",
        "waitfor",
        "use",
    ]
)


def _runs_on(words: list[str], dialect: str) -> bool:
    if dialect != "tsql" or words[:1] == ["merge"]:
        return False
    inner = [after for before, after in itertools.pairwise(words) if before not in ("for", "on", "with")]
    allowed = {"create": {"alter"}, "grant": _BEGINS, "revoke": _BEGINS, "deny": _BEGINS}.get("".join(words[:1]), set())
    return any(word in _BEGINS and word not in allowed for word in inner)


# ------------------------------------------------------------------------------------------------------ EXPLAIN

_OPTIONS = frozenset(
    ["verbose", "extended", "partitions", "query", "plan", "costs", "buffers", "ast", "syntax", "pipeline", "estimate"]
)
_EXECUTES = frozenset({"analyze", "analyse", "profile"})


def _unwrapped(tokens: tuple[Token, ...]) -> tuple[bool, tuple[Token, ...]]:
    """The statement that is explained or prepared, and whether it is only explained and never run."""
    first = tokens[0].value if tokens and tokens[0].kind == "word" else ""
    if first == "prepare":
        at = next((at for at, token in enumerate(tokens) if token.value == "as"), 0)
        return False, tokens[at + 1 :] if at else tokens
    if first not in ("explain", "describe", "desc"):
        return False, _plain_mysql(tokens)
    at, runs = 1, False
    while at < len(tokens):
        token = tokens[at]
        if token.text == "(" and at == 1:
            end = next((n for n, each in enumerate(tokens) if each.text == ")"), len(tokens))
            if any(each.value in ("select", "with") for each in tokens[at:end]):
                break
            runs |= any(each.value in _EXECUTES for each in tokens[at:end])
            at = end + 1
        elif (
            token.kind == "word" and token.value == "format" and tokens[at + 1 : at + 2] and tokens[at + 1].text == "="
        ):
            at += 3
        elif token.kind == "word" and token.value in _OPTIONS | _EXECUTES:
            runs |= token.value in _EXECUTES
            at += 1
        else:
            break
    rest = tokens[at:]
    verbs = ("select", "with", "insert", "update", "delete", "merge", "replace", "values", "table", "create", "execute")
    if rest and (rest[0].value in verbs or rest[0].text == "("):
        return not runs, _plain_mysql(rest)
    return (False, tokens) if runs or len(tokens) > 4 else (True, tokens)


def _plain_mysql(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """``REPLACE INTO`` in the words that the parser reads; it is an upsert."""
    values = [token.value for token in tokens[:3] if token.kind == "word"]
    if values[:2] == ["replace", "into"]:
        return (Token("word", "INSERT", "insert"), *tokens[1:])
    return tokens


# ------------------------------------------------------------------------------------------------------- parsing


def _parsed(tokens: tuple[Token, ...], dialect: str) -> list[Statement] | None:
    """What the parser makes of one statement; None when it does not read it."""
    if not tokens or sql_text.depth(tokens) > _DEEPEST:
        return None
    exported = _outfile(tokens)
    trees = _trees(sql_text.parseable(exported or tokens), dialect)
    if trees is None:
        return None
    from supervisor.inspection import sql_tree

    words = [token.value for token in tokens if token.kind == "word"]
    found = []
    for tree in trees:
        told = sql_tree.told(tree, words, dialect)
        if exported is not None:
            told = told._replace(effects=(*told.effects, "export"))
        objects = told.objects if len(told.objects) <= _MOST_OBJECTS else (ANY,)
        found.append(told._replace(objects=tuple(whole(each, 300) for each in objects)))
    return found


def _outfile(tokens: tuple[Token, ...]) -> tuple[Token, ...] | None:
    """The query without a final ``INTO OUTFILE 'name' …``, which the parser does not read; None where there is none."""
    for at, (one, two) in enumerate(itertools.pairwise(tokens)):
        if one.value == "into" and two.value in ("outfile", "dumpfile") and one.kind == two.kind == "word":
            kept = not any(token.kind == "word" and token.value in ("from", "union", "select") for token in tokens[at:])
            return tokens[:at] if kept and tokens[0].value in ("select", "with") else None
    return None


def _trees(text: str, dialect: str) -> list[Expr] | None:
    import logging

    import sqlglot
    from sqlglot.errors import SqlglotError

    log = logging.getLogger("sqlglot")  # it warns of each statement that it does not read
    log.setLevel(logging.CRITICAL)
    try:
        found = sqlglot.parse(text, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    except (SqlglotError, RecursionError):
        return None
    except Exception:  # noqa: BLE001 - any text is possible; what it fails on is opaque
        return None
    trees = [tree for tree in found if tree is not None]
    return trees or None
