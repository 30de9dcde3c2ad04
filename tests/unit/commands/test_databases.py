"""argv -> the database a client speaks to."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.databases import Client, client


def asked(line: str, program: str = "", **environment: str) -> Client | None:
    argv = tuple(word.encode() for word in shlex.split(line))
    made = {key.encode(): value.encode() for key, value in environment.items()}
    return client(argv, program.encode() or argv[0], lambda: made)


def found(line: str, program: str = "", **environment: str) -> Client:
    told = asked(line, program, **environment)
    assert told is not None
    return told


SERVERS = [
    ("psql", "postgres", "localhost:5432", "", (), (), True),
    ("psql -c 'select 1'", "postgres", "localhost:5432", "", ("select 1",), (), False),
    ("psql -c'select 1' -c 'select 2'", "postgres", "localhost:5432", "", ("select 1", "select 2"), (), False),
    ("psql --command='select 1'", "postgres", "localhost:5432", "", ("select 1",), (), False),
    ("psql --comm 'select 1'", "postgres", "localhost:5432", "", ("select 1",), (), False),
    ("psql -Atqc 'select 1' shop bob", "postgres", "localhost:5432", "shop", ("select 1",), (), False),
    ("psql -h db -p 5433 -d shop -f a.sql", "postgres", "db:5433", "shop", (), ("a.sql",), False),
    ("psql -hdb -p5433 -dshop -fa.sql", "postgres", "db:5433", "shop", (), ("a.sql",), False),
    ("psql -f -", "postgres", "localhost:5432", "", (), (), True),
    ("psql -v x=1 -U me shop", "postgres", "localhost:5432", "shop", (), (), True),
    (
        "psql postgres://u:pw@db.internal/shop?sslmode=require -c x",
        "postgres",
        "db.internal:5432",
        "shop",
        ("x",),
        (),
        False,
    ),
    ("psql postgresql://db:6000/shop", "postgres", "db:6000", "shop", (), (), True),
    ("psql 'host=db port=6000 dbname=shop password=x' -c y", "postgres", "db:6000", "shop", ("y",), (), False),
    ("psql -d 'postgres://[::1]:6000/x' -c y", "postgres", "[::1]:6000", "x", ("y",), (), False),
    ("psql -h /var/run/postgresql -c y", "postgres", "localhost:5432", "", ("y",), (), False),
    ("psql -l", "postgres", "localhost:5432", "", (), (), False),
    ("psql -- shop -c", "postgres", "localhost:5432", "shop", (), (), True),
    ("/usr/lib/postgresql/16/bin/psql -c y", "postgres", "localhost:5432", "", ("y",), (), False),
    ("psql-16 -c y", "postgres", "localhost:5432", "", ("y",), (), False),
    ("mysql -h db -e 'select 1' shop", "mysql", "db:3306", "shop", ("select 1",), (), False),
    ("mysql -hdb -P3307 -uroot -psecret -D shop", "mysql", "db:3307", "shop", (), (), True),
    ("mysql -hdb -p shop", "mysql", "db:3306", "shop", (), (), True),
    ("mysql -h db --init-command='drop table x'", "mysql", "db:3306", "", ("drop table x",), (), True),
    ("mariadb --host=db --exec='select 1'", "mysql", "db:3306", "", ("select 1",), (), False),
    ("sqlcmd -S db,1500 -d shop -Q 'select 1'", "tsql", "db:1500", "shop", ("select 1",), (), False),
    ("sqlcmd -S tcp:db -i a.sql,b.sql", "tsql", "db:1433", "", (), ("a.sql", "b.sql"), False),
    ("clickhouse-client -h db --query 'select 1'", "clickhouse", "db:9000", "", ("select 1",), (), False),
    (
        "clickhouse client --port=9001 -q 'select 1' -q 'select 2'",
        "clickhouse",
        "localhost:9001",
        "",
        ("select 1", "select 2"),
        (),
        False,
    ),
]


@pytest.mark.parametrize("case", SERVERS, ids=lambda case: case[0])
def test_servers(case: tuple[str, str, str, str, tuple[str, ...], tuple[str, ...], bool]) -> None:
    line, *rest = case
    told = found(line)
    assert [told.dialect, told.endpoint, told.database, told.texts, told.files, told.stdin] == rest
    assert told.resolved == (not line.startswith("mysql -e"))
    assert "pw" not in told.place
    assert "secret" not in repr(told)


FILES = [
    ("sqlite3 a.db 'select 1'", "a.db", ("select 1",), (), False),
    ("sqlite3 a.db", "a.db", (), (), True),
    ("sqlite3", "", (), (), True),
    ("sqlite3 :memory: .tables", "", (".tables",), (), False),
    ("sqlite3 -readonly -separator , a.db 'select 1' 'select 2'", "a.db", ("select 1", "select 2"), (), False),
    ("sqlite3 --cmd 'drop table x' a.db", "a.db", ("drop table x",), (), True),
    ("sqlite3 -init a.sql a.db .quit", "a.db", (".quit",), ("a.sql",), False),
    ("sqlite3 -lookaside 1 2 a.db x", "a.db", ("x",), (), False),
    ("sqlite3 file:///srv/a.db?mode=ro x", "/srv/a.db", ("x",), (), False),
    ("python3 -m sqlite3 a.db 'select 1'", "a.db", ("select 1",), (), False),
    ("python -Im sqlite3 a.db", "a.db", (), (), True),
    ("duckdb a.duckdb -c 'select 1'", "a.duckdb", ("select 1",), (), False),
    ("duckdb -f a.sql a.duckdb", "a.duckdb", (), ("a.sql",), False),
]


@pytest.mark.parametrize("case", FILES, ids=lambda case: case[0])
def test_files(case: tuple[str, str, tuple[str, ...], tuple[str, ...], bool]) -> None:
    line, *rest = case
    told = found(line)
    assert [told.endpoint, told.texts, told.files, told.stdin] == rest
    assert told.place == told.endpoint == told.database


@pytest.mark.parametrize(
    ("line", "effects"),
    [
        ("createdb shop", ("schema",)),
        ("dropdb -h db shop", ("schema",)),
        ("createuser -s bob", ("privilege",)),
        ("pg_dump -h db -t orders shop", ("read", "export")),
        ("pg_restore -d shop x.dump", ("write", "schema", "opaque")),
        ("pg_restore -f - x.dump", ()),
        ("mysqldump -h db shop", ("read", "export")),
        ("mongosh mongodb://db/shop", ("opaque",)),
        ("redis-cli -h db flushall", ("opaque",)),
        ("psql -o '|sh' -c x", ("opaque",)),
        ("psql -o out.txt -c x", ("export",)),
        ("sqlite3 -A a.db", ("opaque",)),
        ("mysql -h db --pager='sh -c x' -e x", ("opaque",)),
    ],
)
def test_fixed_effects(line: str, effects: tuple[str, ...]) -> None:
    told = found(line)
    assert told.effects == effects
    assert [each.effects for each in told.fixed()] == ([effects] if effects else [])
    assert not any(each.filtered for each in told.fixed())


def test_the_environment_says_what_arguments_leave_open() -> None:
    assert found("psql -c x", PGHOST="db", PGPORT="6000", PGDATABASE="shop").place == "postgres://db:6000/shop"
    assert found("psql -h other -c x", PGHOST="db").endpoint == "other:5432"
    assert found("psql postgres://other/x -c x", PGHOST="db", PGDATABASE="y").place == "postgres://other:5432/x"
    assert found("psql -c x", PGOPTIONS="-c search_path=secret").effects == ("opaque",)
    assert found("sqlcmd -Q x", SQLCMDSERVER="db").endpoint == "db:1433"


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        ("psql service=shop -c x", {}),
        ("psql -c x", {"PGSERVICE": "shop"}),
        ("psql -h a,b -c x", {}),
        ("psql postgres://a:1,b:2/x -c x", {}),
        ("psql postgres://%2Ftmp/x -c x", {}),
        ("psql -p $PORT -c x", {}),
        ("mysql -e x", {}),
        ("mysql -h db --defaults-file=x -e x", {}),
        ("mysql --login-path=x -h db -e x", {}),
        ("sqlcmd -S 'db\\inst' -Q x", {}),
        ("clickhouse-client -C conf.xml -q x", {}),
        ("mongosh mongodb+srv://db/x", {}),
    ],
)
def test_what_cannot_be_told_is_not_resolved(line: str, environment: dict[str, str]) -> None:
    told = found(line, **environment)
    assert not told.resolved
    assert told.endpoint == ""
    assert told.place == f"{told.dialect}://"


@pytest.mark.parametrize(
    "line", ["ls", "python -c 'import sqlite3'", "python -m http.server", "python sqlite3", "cat psql"]
)
def test_no_client(line: str) -> None:
    assert asked(line) is None


def test_the_program_counts_before_its_own_name_for_itself() -> None:
    assert asked("harmless -c x", "/usr/bin/psql") is not None
    assert asked("psql -c x", "/usr/share/postgresql-common/pg_wrapper") is not None
    assert asked("psql -c x", "/usr/bin/mysql") == found("mysql -c x", "/usr/bin/mysql")


@given(
    st.sampled_from(["psql", "mysql", "sqlite3", "duckdb", "sqlcmd", "redis-cli", "mongosh", "pg_dump"]),
    st.lists(st.binary(max_size=12), max_size=6),
)
def test_any_arguments_are_read(tool: str, arguments: list[bytes]) -> None:
    told = client((tool.encode(), *arguments), tool.encode(), dict)
    assert told is not None
    assert isinstance(told.place, str)
