"""A parsed statement -> its effects, tables and columns. Imported with the parser, in the worker alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from supervisor.inspection import sql_words
from supervisor.vocabulary.content import Statement

_ANY = "*.*"
_MOST_TABLES = 200
_QUERIES = (exp.Query, exp.Values, exp.Table)
_SAYS_NOTHING = (exp.Transaction, exp.Commit, exp.Rollback)
_READ_PRAGMAS = frozenset(
    [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "database_list",
        "collation_list",
        "function_list",
        "module_list",
        "pragma_list",
        "compile_options",
        "integrity_check",
        "quick_check",
        "page_count",
        "freelist_count",
        "user_version",
        "schema_version",
        "application_id",
        "encoding",
        "page_size",
        "data_version",
        "show_tables",
        "database_size",
        "version",
    ]
)
_ASKING = ("table_", "index_", "foreign_key_", "integrity_", "quick_")
_OTHER = re.compile(r"[^\w$ -]")


def told(tree: exp.Expr, words: list[str], dialect: str) -> Statement:
    """``words``: all words of the statement, lower case."""
    effects, filtered = _root(tree, words)
    for node in tree.walk():
        more, bounded = _node(node)
        effects |= more
        filtered &= bounded
    objects = tuple(dict.fromkeys(_objects(tree)))
    if dialect == "duckdb" and any(_OTHER.search(node.name) for node in tree.find_all(exp.Table)):
        effects.add("opaque")  # a file by its name
    if "opaque" in effects or (not objects and not effects <= {"read"}):
        objects = tuple(dict.fromkeys((*objects, _ANY)))
    if "read" not in effects and _reads(tree):
        effects.add("read")
    return Statement(tuple(sorted(effects)), objects, filtered)


def _root(tree: exp.Expr, words: list[str]) -> tuple[set[str], bool]:
    """Effects of the kind of statement, without those of what it holds."""
    first = words[0] if words else ""
    if isinstance(tree, exp.Command):
        effects, complete = sql_words.of_command(words)
        return effects if complete else effects | {"opaque"}, complete
    if isinstance(tree, _SAYS_NOTHING):
        return set(), True
    if isinstance(tree, exp.DML | exp.Merge | exp.TruncateTable | exp.Copy | exp.Drop):
        return set(), True
    if isinstance(tree, _QUERIES):
        return {"read"}, True
    if isinstance(tree, exp.Create):
        return _create(tree, words), True
    if isinstance(tree, exp.Alter):
        effects, complete = sql_words.of_command(["alter", "table", *words[1:]])
        return effects if complete else effects | {"opaque"}, True
    if isinstance(tree, exp.Comment):
        return {"schema"}, True
    if isinstance(tree, exp.Grant | exp.Revoke):
        return {"privilege"}, True
    if isinstance(tree, exp.Set):
        effects, complete = sql_words.of_set(words)
        return effects if complete else effects | {"opaque"}, True
    if isinstance(tree, exp.Describe | exp.Show):
        return {"read"}, True
    if isinstance(tree, exp.Pragma):
        return _pragma(tree, words), True
    effects, complete = sql_words.of_command(words)
    return (effects, True) if complete and first else (sql_words.by_words(words), False)


def _pragma(tree: exp.Pragma, words: list[str]) -> set[str]:
    """``name(x)`` sets it as ``name = x`` does, but for those that ask about ``x``."""
    name = words[1] if len(words) > 1 else ""
    asks = name in _READ_PRAGMAS and (tree.find(exp.EQ) is None or name.startswith(_ASKING))
    return {"read"} if asks else {"opaque"}


def _create(tree: exp.Create, words: list[str]) -> set[str]:
    kind = str(tree.args.get("kind") or "").upper()
    effects = {"schema"}
    if kind not in ("TABLE", "VIEW", "INDEX", "SCHEMA", "SEQUENCE", "TYPE", "DATABASE"):
        effects.add("opaque")  # functions, triggers: what runs later
    if kind == "TABLE" and tree.find(exp.Query) is not None:
        effects.add("write")
    if "security" in words and "definer" in words:
        effects.add("privilege")
    return effects


def _node(node: exp.Expr) -> tuple[set[str], bool]:
    """Effects of one node, and whether what it changes is bounded."""
    if isinstance(node, exp.Insert):
        wider = {"delete"} if node.args.get("overwrite") else set[str]()
        return {"write"} | wider | ({"export"} if isinstance(node.this, exp.Directory) else set()), not wider
    if isinstance(node, exp.Update):
        return {"modify"}, isinstance(node.parent, exp.When) or _bounded(node)
    if isinstance(node, exp.Delete):
        return {"delete"}, _bounded(node)
    if isinstance(node, exp.Merge):
        return {"modify"}, not _always(node.args.get("on"))
    if isinstance(node, exp.When):
        then = node.args.get("then")
        removes = isinstance(then, exp.Expression) and then.name.upper() == "DELETE"
        return ({"delete"} if removes else set()), True
    if isinstance(node, exp.TruncateTable):
        return {"delete"}, False
    if isinstance(node, exp.Drop):
        kind = str(node.args.get("kind") or "").upper()
        return {"schema"} | ({"privilege"} if kind in ("USER", "ROLE") else set()), False
    if isinstance(node, exp.Into):
        return {"write", "schema"}, True
    if isinstance(node, exp.Copy):
        return _copy(node), True
    if isinstance(node, exp.Command):
        return ({"opaque"} if node.parent is not None else set()), True
    return set(), True


def _copy(node: exp.Copy) -> set[str]:
    names = {str(each.name).upper() for each in node.args.get("files") or ()}
    target = node.this
    unloads = not isinstance(target, exp.Table | exp.Schema) or target.name.startswith("@")
    into = bool(node.args.get("kind")) and not unloads
    effects = {"write"} if into else {"export", "read"}
    if "PROGRAM" in names:
        effects |= {"opaque", "export"}
    return effects


def _reads(tree: exp.Expr) -> bool:
    return tree.find(exp.Select) is not None or tree.find(exp.Returning) is not None


def _bounded(node: exp.Expr) -> bool:
    """A condition that is not always true, or a limit."""
    if node.args.get("limit") is not None:
        return True
    where = node.args.get("where")
    return where is not None and not _always(where.this)


def _always(condition: object) -> bool:
    """``true``, ``1``, ``1 = 1``, ``x = x``, ``… OR true``, nothing at all. A condition without a column is one."""
    if not isinstance(condition, exp.Expression):
        return True
    condition = condition.unnest()
    if isinstance(condition, exp.Or):
        return any(_always(each) for each in condition.flatten())
    if isinstance(condition, exp.And):
        return all(_always(each) for each in condition.flatten())
    if (
        isinstance(condition, exp.EQ | exp.GTE | exp.LTE | exp.NullSafeEQ | exp.Is)
        and condition.this == condition.expression
    ):
        return True
    return condition.find(exp.Column) is None


# ------------------------------------------------------------------------------------------------------- objects


def _objects(tree: exp.Expr) -> Iterator[str]:
    """Tables, then columns of them."""
    nodes = [node for node in tree.find_all(exp.Table) if node.name]
    if len(nodes) > _MOST_TABLES:
        yield _ANY
        return
    tables: dict[str, list[str]] = {}  # how a column may name it -> what it is
    named: dict[str, None] = {}
    for node in nodes:
        virtual = _is_virtual(node)
        if virtual or isinstance(node.this, exp.Func):
            tables.setdefault((node.alias or node.name).lower(), [])
            continue
        name = _named(node)
        named[name] = None
        tables.setdefault(node.name.lower(), []).append(name)
        if node.alias:
            tables.setdefault(node.alias.lower(), []).append(name)
    for tree_ in tree.find_all(exp.Subquery, exp.CTE):
        if tree_.alias:
            tables.setdefault(tree_.alias.lower(), [])
    yield from named
    for node in nodes:
        if node.alias_column_names or node.args.get("pivots"):  # its columns have other names
            yield f"{_named(node)}.*"
    yield from _columns(tree, tables, list(named))


def _named(node: exp.Table) -> str:
    return f"{_part(node.text('db')) or '*'}.{_part(node.name)}"


def _part(name: str) -> str:
    """A name as it stands between dots; one that would be taken for several is unknown."""
    return "*" if _OTHER.search(name) else name.lower()


def _is_virtual(node: exp.Table) -> bool:
    """Whether the name is that of a CTE in whose scope it stands. In its own body it is the table of that name."""
    if node.text("db"):
        return False
    name = node.name.lower()
    below: exp.Expr = node
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            before = parent.expressions if parent.args.get("recursive") else _until(parent, below)
            if any(each.alias.lower() == name for each in before):
                return True
        else:
            ctes = parent.args.get("with_") or parent.args.get("with")
            seen = ctes.expressions if isinstance(ctes, exp.With) and ctes is not below else []
            if any(each.alias.lower() == name for each in seen) and not _is_changed(parent, node):
                return True
        below, parent = parent, parent.parent
    return False


def _until(ctes: exp.With, one: exp.Expr) -> list[exp.Expr]:
    found = []
    for each in ctes.expressions:
        if each is one:
            break
        found.append(each)
    return found


def _is_changed(statement: exp.Expr, node: exp.Table) -> bool:
    """The target of a statement is a table, whatever a CTE is called."""
    target = statement.this
    return isinstance(statement, exp.DML | exp.Merge) and (
        target is node or (isinstance(target, exp.Schema) and target.this is node)
    )


_COUNTS = (exp.Count, exp.Column)


def _columns(tree: exp.Expr, tables: dict[str, list[str]], every: list[str]) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Column):
            yield from _column(node, tables, every)
        elif isinstance(node, exp.Columns) or (isinstance(node, exp.Star) and not isinstance(node.parent, _COUNTS)):
            for name in every:
                yield f"{name}.*"
        elif isinstance(node, exp.Insert | exp.Copy):
            yield from _of_target(node.this)
        elif isinstance(node, exp.Join):
            for each in node.args.get("using") or ():
                for name in every:
                    yield f"{name}.{_part(each.name)}"


def _column(node: exp.Column, tables: dict[str, list[str]], every: list[str]) -> Iterator[str]:
    name = "*" if isinstance(node.this, exp.Star) else _part(node.name)
    if node.table:
        found = tables.get(node.table.lower())
        if found is None:  # a composite value, or a table that was not told
            schema = _part(node.text("db"))
            found = [f"{schema}.{_part(node.table)}"] if schema else every
        for each in found:
            yield f"{each}.{name}"
        return
    if node.name.lower() in tables:  # the whole row
        for each in tables[node.name.lower()]:
            yield f"{each}.*"
    for each in every:
        yield f"{each}.{name}"


def _of_target(target: object) -> Iterator[str]:
    """The columns of ``a (x, y)``, or all of ``a``."""
    if isinstance(target, exp.Schema) and isinstance(target.this, exp.Table):
        for each in target.expressions:
            yield f"{_named(target.this)}.{_part(each.name)}"
    elif isinstance(target, exp.Table):
        yield f"{_named(target)}.*"
