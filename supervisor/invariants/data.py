"""``[[data]]``: which files a run may not read or write, and what it may have a database do.

An entry of ``allow`` and ``deny`` reads ``EFFECT[|EFFECT] [schema.table[.column]] [without where]``; ``*`` is every
effect, names take globs. Denied is what an entry of ``deny`` names, or, where there is an ``allow``, what no entry of
it covers: every effect of a statement on every object of it. What is not known counts against it both ways, but for one
thing: a table without a schema is that of the connected database, or of ``public``, ``dbo``, ``main``, ``default``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final, NamedTuple

from supervisor.invariants.addresses import classify, number
from supervisor.invariants.globs import Globs
from supervisor.invariants.hosts import Rule as Host
from supervisor.invariants.hosts import parse
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import Statement
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 20
_SCHEMES: Final = {"postgresql": "postgres", "mariadb": "mysql", "sqlserver": "tsql"}
_DEFAULT_SCHEMAS = ("public", "dbo", "main", "default")
_ROWS = frozenset({"read", "write", "modify"})  # on which a column says as much as its table


class Allowance(NamedTuple):
    """One entry. ``effects`` None: every one. ``table`` empty: everything. ``unbounded``: ``without where``."""

    text: str
    effects: frozenset[str] | None
    schema: str = ""
    table: str = ""
    column: str = ""
    unbounded: bool = False


class DataRule(NamedTuple):
    """One compiled table. ``scheme`` is the dialect of ``service``, empty for files. ``listed``: there is an ``allow``.
    ``access``: ``hide``, ``read`` or empty. ``paths`` of the tree, ``home`` of the home folder without ``~``.
    ``closed``: the kernel grants none of it."""

    invariant: Invariant
    effect: Effect
    scheme: str = ""
    hosts: tuple[Host, ...] = ()
    deny: tuple[Allowance, ...] = ()
    allow: tuple[Allowance, ...] = ()
    listed: bool = False
    access: str = ""
    paths: Globs = Globs(())
    home: Globs = Globs(())
    exempt: Globs = Globs(())
    exempt_home: Globs = Globs(())
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    closed: bool = False

    @property
    def judges_statements(self) -> bool:
        return self.listed or bool(self.deny)


class DataRules(NamedTuple):
    rules: tuple[DataRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def statements(self) -> bool:
        """Whether what databases are asked has to be known."""
        return any(rule.judges_statements for rule in self.rules)

    @property
    def files(self) -> bool:
        return any(rule.access for rule in self.rules)

    @property
    def hides(self) -> bool:
        """Whether what is opened for reading has to be known."""
        return any(rule.access == "hide" and not rule.closed for rule in self.rules)


# ------------------------------------------------------------------------------------------------- compilation


def compile_data(rules: Iterable[Rule], invariants: Mapping[str, Invariant]) -> DataRules:
    """The tables, in profile order."""
    return DataRules(tuple(_compiled(rule, invariants[rule.id]) for rule in rules))


def _compiled(rule: Rule, invariant: Invariant) -> DataRule:
    scheme, _, authority = str(rule.fields.get("service", "")).partition("://")
    hosts = tuple(parse(Entry(authority.rstrip("/"), rule.source), "")) if authority else ()
    paths, home = _globs(rule.paths, rule.source)
    exempt, exempt_home = _globs(rule.exempt, rule.source)
    return DataRule(
        invariant,
        Effect[(rule.then or "deny").upper()],
        _SCHEMES.get(scheme, scheme),
        hosts,
        tuple(allowance(text) for text in _words(rule, "deny")),
        tuple(allowance(text) for text in _words(rule, "allow")),
        "allow" in rule.fields,
        str(rule.fields.get("access", "")),
        paths,
        home,
        exempt,
        exempt_home,
        rule.denied,
        rule.allowed,
        closed_by_kernel(rule),
    )


def closed_by_kernel(rule: Rule) -> bool:
    """Whether a rule hides nothing but whole folders of the home folder, which are never granted."""
    whole = all(path.startswith("~/") and path.endswith("/**") and "*" not in path[:-2] for path in rule.paths)
    return rule.fields.get("access") == "hide" and whole and not rule.exempt


def _words(rule: Rule, key: str) -> tuple[str, ...]:
    found = rule.fields.get(key)
    return tuple(str(word) for word in found) if isinstance(found, tuple | list) else ()


def _globs(patterns: Iterable[str], source: str) -> tuple[Globs, Globs]:
    """Those of the tree, and those of the home folder without their ``~``."""
    every = tuple(patterns)
    tree = Globs(Entry(value, source) for value in every if not value.startswith("~/"))
    return tree, Globs(Entry(value[1:], source) for value in every if value.startswith("~/"))


def allowance(text: str) -> Allowance:
    """One entry of ``allow`` or ``deny``, which the loader has checked."""
    words = text.split()
    names = words[0].split("|")
    rest = words[1:]
    unbounded = [word.lower() for word in rest[-2:]] == ["without", "where"]
    target = (rest[:-2] if unbounded else rest) or [""]
    parts = [*target[0].lower().split("."), "", ""][:3]
    effects = None if "*" in names else frozenset(names)
    return Allowance(text, effects, parts[0] if parts[1] else "", parts[1], parts[2], unbounded)


# -------------------------------------------------------------------------------------------------- statements


def judge_statements(rules: DataRules, event: ExecEvent, *, tree: bytes = b"", home: bytes = b"") -> Iterator[Match]:
    """What the statements of a command line break. ``event.database`` is ``scheme://host:port/name``, ``scheme://`` for
    a server that cannot be told, or the canonical path of a file, for which ``tree`` and ``home`` say where patterns
    begin; without them they may begin anywhere, and ``except`` excepts nothing."""
    if not event.statements:
        return
    for rule in rules.rules:
        if rule.judges_statements and _concerns(rule, event.database, tree, home):
            name = event.database.partition("://")[2].partition("/")[2].lower()
            told = dict.fromkeys(
                message for each in event.statements if (message := _broken(rule, each, name, event.database))
            )
            for message in islice(told, _MOST_TOLD):
                yield Match(rule.invariant, rule.effect, message)


def _concerns(rule: DataRule, database: str, tree: bytes, home: bytes) -> bool:
    scheme, mark, rest = database.partition("://")
    if not rule.scheme:
        return not mark and _is_file(rule, database.encode("utf-8", "surrogateescape"), tree, home)
    if not mark or scheme != rule.scheme:
        return False
    authority = rest.partition("/")[0]
    return not authority or any(_may_be(host, authority) for host in rule.hosts)


def _may_be(rule: Host, authority: str) -> bool:
    """Whether the service and the address that a client names may be the same: a name and a number may."""
    host, _, port = authority.rpartition(":")
    host = host.strip("[]").rstrip(".").lower()
    if rule.port is not None and str(rule.port) != port:
        return False
    if rule.kind == "public":
        return True
    address = number(host.partition("%")[0])
    here = host == "localhost" or (address is not None and classify(address) == "loopback")
    if rule.kind == "net":
        width, base, prefix = rule.net
        if host == "localhost":
            return classify((width, base)) == "loopback"
        if address is None:
            return True
        return address[0] == width and (address[1] ^ base) >> (width - prefix) == 0
    if rule.kind != "name":
        return True
    if here or rule.pattern == "localhost":
        return here and rule.pattern == "localhost"
    return address is not None or fnmatchcase(host, rule.pattern) or fnmatchcase(rule.pattern, host + ".*")


def _is_file(rule: DataRule, path: bytes, tree: bytes, home: bytes) -> bool:
    if tree:
        relative = path[len(tree) + 1 :] if path.startswith(tree + b"/") else None
        if not _speaks_of(rule.paths, rule.home, path, relative, home):
            return False
        return not _speaks_of(rule.exempt, rule.exempt_home, path, relative, home)
    parts = path.strip(b"/").split(b"/") if path else []
    tails = (b"/".join(parts[at:]) for at in range(len(parts)))
    return any(rule.paths.match(tail) is not None or rule.home.match(tail) is not None for tail in tails)


def _broken(rule: DataRule, statement: Statement, database: str, place: str) -> str:
    """What is wrong with a statement, in one line; empty when it may be."""
    where = f" (at {_show(place)})" if place and not place.endswith("://") else ""
    for entry in rule.deny:
        if _denies(entry, statement):
            return f"{_shape(statement)} would {_verbs(statement)}{where}: {entry.text} is denied"
    if not rule.listed:
        return ""
    for effect in statement.effects:
        for found in statement.objects or ("",):
            if not any(_covers(entry, statement, effect, found, database) for entry in rule.allow):
                on = f" {found}" if found else ""
                return f"{_shape(statement)} would {_verbs(statement)}{where}: {effect}{on} is not allowed"
    return ""


def _denies(entry: Allowance, statement: Statement) -> bool:
    hit = bool(statement.effects) if entry.effects is None else not entry.effects.isdisjoint(statement.effects)
    if not hit or (entry.unbounded and statement.filtered):
        return False
    return not entry.table or any(_may_name(entry, found) for found in statement.objects)


def _may_name(entry: Allowance, found: str) -> bool:
    """Whether an object of a statement may be, or hold, what an entry names."""
    if found == "*.*":
        return True
    schema, table, column = [*found.split("."), ""][:3]
    if not (_may_match(entry.schema, schema) and _may_match(entry.table, table)):
        return False
    return not entry.column or (column != "" and _may_match(entry.column, column))


def _may_match(pattern: str, name: str) -> bool:
    return name == "*" or fnmatchcase(name.lower(), pattern)


def _covers(entry: Allowance, statement: Statement, effect: str, found: str, database: str) -> bool:
    """Whether an entry allows this effect on this object for certain."""
    if (entry.effects is not None and effect not in entry.effects) or (entry.unbounded and statement.filtered):
        return False
    if not entry.table or not found:
        return not entry.unbounded or not statement.filtered
    if found == "*.*" and (entry.schema, entry.table) != ("*", "*"):
        return False
    schema, table, column = [*found.split("."), ""][:3]
    if not (_is_schema(entry.schema, schema, database) and _is(entry.table, table)):
        return False
    if not entry.column:
        return True
    if column:
        return _is(entry.column, column)
    # The table itself: its columns are judged one by one where the statement tells them.
    told = any(each.startswith(found + ".") for each in statement.objects)
    return entry.column == "*" or (told and effect in _ROWS)


def _is(pattern: str, name: str) -> bool:
    return pattern == "*" if name == "*" else fnmatchcase(name.lower(), pattern)


def _is_schema(pattern: str, name: str, database: str) -> bool:
    return _is(pattern, name) or (name == "*" and (pattern in _DEFAULT_SCHEMAS or (pattern == database != "")))


def _verbs(statement: Statement) -> str:
    words = [effect for effect in statement.effects if effect != "opaque"]
    told = " and ".join(words) if words else "do what cannot be told"
    return f"{told} and more that cannot be told" if words and "opaque" in statement.effects else told


def _shape(statement: Statement) -> str:
    text = " ".join(statement.shape.split()) or "a statement"
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 120 else text[:117] + "..."


def _show(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else "?" for char in shown)


# ------------------------------------------------------------------------------------------------------- files


def judge_file(
    rules: DataRules, path: bytes, relative: bytes | None, home: bytes, *, writes: bool, reads: bool
) -> Iterator[Match]:
    """What is wrong with opening, making or removing a file. ``path`` is canonical; ``relative``: its path in the tree,
    None outside; ``home``: the home folder."""
    for rule in rules.rules:
        if not rule.access or not (writes or (reads and rule.access == "hide")):
            continue
        if not _speaks_of(rule.paths, rule.home, path, relative, home):
            continue
        if _speaks_of(rule.exempt, rule.exempt_home, path, relative, home):
            continue
        show = (relative if relative is not None else path).decode("utf-8", "backslashreplace")
        how = "is hidden from this run" if rule.access == "hide" else "may be read, not written"
        yield Match(rule.invariant, rule.effect, f"{_show(show)} {how}")


def _speaks_of(tree: Globs, at_home: Globs, path: bytes, relative: bytes | None, home: bytes) -> bool:
    if relative is not None and tree.match(relative) is not None:
        return True
    return bool(at_home) and path.startswith(home + b"/") and at_home.match(path[len(home) + 1 :]) is not None


def hidden(rules: DataRules) -> tuple[Entry, ...]:
    """The patterns of files that may be neither read nor written, those of the home folder with their ``~``. Rules with
    an ``except`` are left out: those are judged name by name."""
    return tuple(_entries(rules, "hide"))


def readonly(rules: DataRules) -> tuple[Entry, ...]:
    """The same for files that may not be written."""
    return tuple(_entries(rules, "read"))


def _entries(rules: DataRules, access: str) -> Iterator[Entry]:
    for rule in rules.rules:
        if rule.access == access and not rule.exempt and not rule.exempt_home:
            yield from rule.paths.entries
            for entry in rule.home.entries:
                yield entry._replace(value="~" + entry.value)


# ---------------------------------------------------------------------------------------------------- coverage

_CLIENTS: Final = {
    "postgres": "psql, pg_dump, createdb",
    "mysql": "mysql, mariadb, mysqldump",
    "tsql": "sqlcmd",
    "clickhouse": "clickhouse-client",
    "mongodb": "mongosh, mongodump (as opaque)",
    "redis": "redis-cli (as opaque)",
}


def describe(rule: Rule) -> tuple[Coverage, str]:
    """How firmly the table holds, and what is not judged."""
    acts = Effect[(rule.then or "deny").upper()] >= Effect.ASK
    scheme = str(rule.fields.get("service", "")).partition("://")[0]
    if scheme:
        tools = _CLIENTS.get(_SCHEMES.get(scheme, scheme), scheme)
        note = f"command lines of {tools} and the like; not what programs send themselves: no gateway yet"
        return Coverage.OBSERVED, note + ("; max_rows is not judged" if "max_rows" in rule.fields else "")
    access = str(rule.fields.get("access", ""))
    effects = "allow" in rule.fields or "deny" in rule.fields
    direct = "statements on a file are judged on command lines of sqlite3 and duckdb; programs open the file themselves"
    if not access:
        return Coverage.OBSERVED, f'{direct}: access = "hide" or "read" closes it to them'
    if closed_by_kernel(rule):
        return Coverage.ENFORCED, "Landlock, whole folders outside the tree"
    opening = "opening" if access == "hide" else "opening for writing"
    note = f"{opening}, creating, renaming and removing, before the act"
    if access == "hide":
        note += "; every open is asked about, which costs time"
    level = Coverage.SUPERVISED if acts else Coverage.OBSERVED
    return level, f"{note}; {direct}" if effects else note
