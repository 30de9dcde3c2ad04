"""How the command lines of database clients are read, and what each does whatever it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Spec(NamedTuple):
    """How a client's arguments are read. ``short``: letters that take a value. ``long``: option -> the letter or word
    it stands for; only options with a value. ``means``: letter or word -> ``host``, ``port``, ``name``, ``url``,
    ``text`` and ``file`` (statements), ``says`` and ``runs`` (the same, and standard input is not read), ``opaque``
    (something else is run or read), ``elsewhere`` (the server is told in another place).
    ``single``: long options begin with one dash. ``words``: what positional arguments are, the last one for all that
    follow. ``effects``: fixed ones; ``listens``: reads statements from standard input when it is given none."""

    dialect: str
    port: str = ""
    short: str = ""
    long: Mapping[str, str] = {}
    means: Mapping[str, str] = {}
    words: tuple[str, ...] = ()
    single: bool = False
    effects: tuple[str, ...] = ()
    listens: bool = True


_PG_LONG: Final = {"host": "h", "port": "p", "username": "U", "dbname": "d"}
_PG_MEANS: Final = {"h": "host", "p": "port", "d": "name"}
_PSQL = Spec(
    "postgres",
    "5432",
    "cdfhopPvFRTUL",
    {
        **_PG_LONG,
        "command": "c",
        "file": "f",
        "output": "o",
        "pset": "P",
        "set": "v",
        "variable": "v",
        "log-file": "L",
        "field-separator": "F",
        "record-separator": "R",
        "table-attr": "T",
    },
    {**_PG_MEANS, "c": "says", "f": "runs", "o": "out", "L": "out"},
    ("name", "user"),
)


def _postgres(effects: str, short: str, words: tuple[str, ...] = ("name",), **long: str) -> Spec:
    return Spec(
        "postgres",
        "5432",
        "hpU" + short,
        {**_PG_LONG, **long},
        _PG_MEANS,
        words,
        effects=tuple(effects.split()),
        listens=False,
    )


_MYSQL_LONG: Final = {
    "host": "h",
    "port": "P",
    "user": "u",
    "database": "D",
    "execute": "e",
    "socket": "S",
    "init-command": "init",
    "defaults-file": "conf",
    "defaults-extra-file": "conf",
    "defaults-group-suffix": "conf",
    "login-path": "conf",
    "tee": "tee",
    "pager": "tee",
    "delimiter": "tee",
    "protocol": "proto",
    "default-character-set": "cs",
    "init-command-add": "init",
    "prompt": "pr",
    "ssl-ca": "x",
    "ssl-cert": "x",
    "ssl-key": "x",
    "plugin-dir": "tee",
}
_MYSQL_MEANS: Final = {
    "h": "host",
    "P": "port",
    "D": "name",
    "e": "says",
    "init": "text",
    "conf": "elsewhere",
    "tee": "opaque",
    "S": "socket",
}


def _mysql(effects: str = "", *, listens: bool = False, words: tuple[str, ...] = ("name",)) -> Spec:
    return Spec(
        "mysql", "3306", "hPuDeS", _MYSQL_LONG, _MYSQL_MEANS, words, effects=tuple(effects.split()), listens=listens
    )


_SQLITE_LONG: Final = {
    **dict.fromkeys(("init", "cmd"), ""),
    **dict.fromkeys(("separator", "newline", "nullvalue", "maxsize", "mmap", "vfs", "heap", "escape", "nonce"), "x"),
}
_SQLITE = Spec(
    "sqlite",
    long={**_SQLITE_LONG, "init": "init", "cmd": "cmd", "lookaside": "two", "pagecache": "two"},
    means={"init": "file", "cmd": "text"},
    words=("path", "says"),
    single=True,
)
_DUCKDB = _SQLITE._replace(
    dialect="duckdb",
    long={**_SQLITE.long, "c": "c", "s": "c", "f": "f", "storage-version": "x"},
    means={**_SQLITE.means, "c": "says", "f": "runs"},
)
_MONGO_LONG: Final = {"host": "host", "port": "port", "db": "name", "d": "name", "eval": "eval", "file": "f", "f": "f"}
CLIENTS: Final[Mapping[str, Spec]] = {
    "psql": _PSQL,
    "pgcli": _PSQL._replace(effects=("opaque",), listens=False),
    "createdb": _postgres("schema", "DETOlW"),
    "dropdb": _postgres("schema", ""),
    "createuser": _postgres("privilege", "cgavm", ("user",)),
    "dropuser": _postgres("privilege", "", ("user",)),
    "pg_dump": _postgres("read export", "dfFjnNtTEZse", file="f", format="F"),
    "pg_dumpall": _postgres("read export", "dflE", (), file="f"),
    "pg_basebackup": _postgres("read export", "dDFrTXZcRlS", ()),
    "pg_restore": _postgres("write schema opaque", "dfFjlLnNItPTS", (), file="f", format="F"),
    "reindexdb": _postgres("schema", "dijStS"),
    "vacuumdb": _postgres("opaque", "djtnNP"),
    "clusterdb": _postgres("schema", "dt"),
    "pgbench": _postgres("write schema opaque", "bcfjtTsDMPR", file="f"),
    "mysql": _mysql(listens=True),
    "mariadb": _mysql(listens=True),
    "mycli": _mysql("opaque"),
    "mysqldump": _mysql("read export"),
    "mariadb-dump": _mysql("read export"),
    "mysqlpump": _mysql("read export"),
    "mysqlimport": _mysql("write"),
    "mysqladmin": _mysql("opaque", words=()),
    "mariadb-admin": _mysql("opaque", words=()),
    "sqlite3": _SQLITE,
    "sqlite": _SQLITE,
    "litecli": _SQLITE._replace(effects=("opaque",), listens=False),
    "duckdb": _DUCKDB,
    "clickhouse-client": Spec(
        "clickhouse",
        "9000",
        "hdquC",
        {
            "host": "h",
            "port": "port",
            "database": "d",
            "query": "q",
            "queries-file": "f",
            "user": "u",
            "config-file": "conf",
            "connection": "conf",
            "password": "x",
            "format": "x",
            "multiquery": "q",
        },
        {"h": "host", "port": "port", "d": "name", "q": "says", "f": "runs", "C": "elsewhere", "conf": "elsewhere"},
        ("name",),
    ),
    "clickhouse-local": Spec("clickhouse", effects=("opaque",), listens=False),
    "sqlcmd": Spec(
        "tsql",
        "1433",
        "SdQqiUPovaAbcCefghHIjklmnrRstuvVwWXyYzZ",
        {"server": "S", "database-name": "d", "query": "Q", "initial-query": "q", "input-file": "i"},
        {"S": "server", "d": "name", "Q": "says", "q": "text", "i": "runs"},
    ),
    "bcp": Spec("tsql", "1433", effects=("read", "write", "export", "opaque"), listens=False),
    "mongosh": Spec("mongodb", "27017", "", _MONGO_LONG, {}, ("url",), effects=("opaque",), listens=False),
    "mongo": Spec("mongodb", "27017", "", _MONGO_LONG, {}, ("url",), effects=("opaque",), listens=False),
    "mongodump": Spec("mongodb", "27017", "hdcou", {"uri": "url"}, {}, effects=("read", "export"), listens=False),
    "mongoexport": Spec("mongodb", "27017", "hdcou", {"uri": "url"}, {}, effects=("read", "export"), listens=False),
    "mongorestore": Spec("mongodb", "27017", "hdcu", {"uri": "url"}, {}, effects=("write", "schema"), listens=False),
    "mongoimport": Spec("mongodb", "27017", "hdcu", {"uri": "url"}, {}, effects=("write",), listens=False),
    "redis-cli": Spec(
        "redis",
        "6379",
        "hpnuas",
        {},
        {"h": "host", "p": "port", "n": "name", "u": "url"},
        effects=("opaque",),
        listens=False,
    ),
    "valkey-cli": Spec(
        "redis",
        "6379",
        "hpnuas",
        {},
        {"h": "host", "p": "port", "n": "name", "u": "url"},
        effects=("opaque",),
        listens=False,
    ),
}
ENVIRONMENT: Final = {
    "postgres": {"host": (b"PGHOST", b"PGHOSTADDR"), "port": (b"PGPORT",), "name": (b"PGDATABASE",)},
    "mysql": {"host": (b"MYSQL_HOST",), "port": (b"MYSQL_TCP_PORT",), "name": ()},
    "tsql": {"host": (b"SQLCMDSERVER",), "port": (), "name": (b"SQLCMDDBNAME",)},
    "clickhouse": {"host": (b"CLICKHOUSE_HOST",), "port": (), "name": ()},
}
