"""Statements by their effects. What is not understood must never look harmless."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.inspection.sql import ANY, DIALECTS, EFFECTS, statements
from supervisor.vocabulary.content import Statement


def effects(text: str, dialect: str = "postgres") -> str:
    """Effects of every statement, joined by `` / ``; ``!`` where what it changes is not bounded."""
    return " / ".join(" ".join(each.effects) + ("" if each.filtered else "!") for each in statements(text, dialect))


def objects(text: str, dialect: str = "postgres") -> set[str]:
    return {each for found in statements(text, dialect) for each in found.objects}


CASES = [
    ("postgres", "SELECT 1", "read"),
    ("postgres", "TABLE a", "read"),
    ("postgres", "VALUES (1)", "read"),
    ("postgres", "SHOW work_mem", "read"),
    ("postgres", "select percentile_cont(0.5) within group (order by x) from t", "read"),
    ("postgres", "INSERT INTO a VALUES (1)", "write"),
    ("postgres", "INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET x = 1", "write"),
    ("postgres", "INSERT INTO a SELECT * FROM b", "read write"),
    ("postgres", "COPY a FROM STDIN", "write"),
    ("postgres", "UPDATE a SET b = 1 WHERE id = 2", "modify"),
    ("postgres", "UPDATE a SET b = 1", "modify!"),
    ("postgres", "DELETE FROM a WHERE id = 1", "delete"),
    ("postgres", "DELETE FROM a", "delete!"),
    ("postgres", "DELETE FROM a WHERE true", "delete!"),
    ("postgres", "DELETE FROM a WHERE 1=1", "delete!"),
    ("postgres", "DELETE FROM a WHERE id=id", "delete!"),
    ("postgres", "DELETE FROM a WHERE (id=1) OR (1=1)", "delete!"),
    ("postgres", "DELETE FROM a WHERE NOT false", "delete!"),
    ("postgres", "DELETE FROM a WHERE true AND 1 = 1", "delete!"),
    ("postgres", "DELETE FROM a WHERE true AND id = 1", "delete"),
    ("postgres", "DELETE FROM a WHERE EXISTS (SELECT 1)", "read delete!"),
    ("postgres", "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", "read delete!"),
    ("postgres", "WITH x AS (UPDATE a SET b=1 WHERE true RETURNING *) SELECT 1", "read modify!"),
    ("postgres", "MERGE INTO a USING b ON a.i=b.i WHEN MATCHED THEN DELETE", "modify delete"),
    ("postgres", "MERGE INTO a USING b ON a.i=b.i WHEN MATCHED THEN UPDATE SET x=1", "modify"),
    ("postgres", "MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET x=1", "modify!"),
    ("postgres", "MERGE INTO a USING b ON a.i=b.i WHEN NOT MATCHED THEN INSERT (x) VALUES (1)", "write modify"),
    ("postgres", "TRUNCATE a, b", "delete!"),
    ("postgres", "DROP TABLE a", "schema!"),
    ("postgres", "CREATE TABLE a (b int)", "schema"),
    ("postgres", "CREATE TABLE a AS SELECT * FROM b", "read write schema"),
    ("postgres", "SELECT * INTO x FROM y", "read write schema"),
    ("postgres", "ALTER TABLE a ADD COLUMN b int", "schema"),
    ("postgres", "ALTER TABLE a DROP COLUMN b", "schema!"),
    ("postgres", "ALTER TABLE a OWNER TO b", "schema privilege"),
    ("postgres", "COMMENT ON TABLE a IS 'x'", "schema"),
    ("postgres", "REINDEX TABLE a", "schema"),
    ("postgres", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$delete from a$$", "schema opaque"),
    ("postgres", "CREATE EXTENSION dblink", "schema opaque!"),
    ("postgres", "GRANT ALL ON a TO b", "privilege"),
    ("postgres", "REVOKE ALL ON a FROM b", "privilege"),
    ("postgres", "CREATE ROLE x", "privilege"),
    ("postgres", "ALTER USER x SUPERUSER", "privilege"),
    ("postgres", "SET ROLE x", "privilege"),
    ("postgres", "SET SESSION AUTHORIZATION x", "privilege"),
    ("postgres", "COPY a TO STDOUT", "read export"),
    ("postgres", "COPY (SELECT 1) TO '/tmp/x'", "read export"),
    ("postgres", "COPY a TO PROGRAM 'sh'", "read export opaque"),
    ("postgres", "COPY a FROM PROGRAM 'sh'", "write export opaque"),
    ("postgres", "SELECT lo_export(1, 'x')", "read export opaque"),
    ("postgres", "SELECT nextval('s')", "read write"),
    ("postgres", "SELECT * FROM pg_read_file('x')", "read opaque"),
    ("postgres", "SELECT \"pg_read_file\"('x')", "read opaque"),
    ("postgres", "SELECT pg_catalog . PG_LS_DIR /**/ ('x')", "read opaque"),
    ("postgres", "SELECT query_to_xml('drop table x', true, true, '')", "read opaque"),
    ("postgres", "SELECT dblink_exec('drop table x')", "read opaque"),
    ("postgres", "SELECT set_config('role', 'x', true)", "read opaque"),
    ("postgres", "SELECT U&\"\\0070g_read_file\"('x')", "read opaque"),
    ("postgres", "DO $$ begin end $$", "opaque!"),
    ("postgres", "CALL f(1)", "opaque!"),
    ("postgres", "VACUUM a", "opaque!"),
    ("postgres", "LISTEN a", "opaque!"),
    ("postgres", "EXECUTE a", "opaque!"),
    ("postgres", "SET search_path = x", "opaque"),
    ("postgres", "SET statement_timeout = 5", ""),
    ("postgres", "START TRANSACTION READ ONLY", ""),
    ("postgres", "SAVEPOINT x", ""),
    ("postgres", "SELECT :x", "read opaque"),
    ("postgres", "SELECT a::text, b[1] FROM t WHERE x = $1", "read"),
    ("postgres", "EXPLAIN DELETE FROM a", "read"),
    ("postgres", "EXPLAIN ANALYZE DELETE FROM a", "delete!"),
    ("postgres", "EXPLAIN (COSTS off, ANALYZE) DELETE FROM a WHERE i=1", "delete"),
    ("postgres", "EXPLAIN /* x */ ANALYSE VERBOSE DELETE FROM a", "delete!"),
    ("postgres", "PREPARE p (int) AS DELETE FROM a", "delete!"),
    ("postgres", "BEGIN; UPDATE a SET b=1; COMMIT; DROP TABLE x", " / modify! /  / schema!"),
    ("postgres", "SELECT 1; COMMIT; DROP TABLE x", "read /  / schema!"),
    ("postgres", "-- x\nDROP TABLE x", "schema!"),
    ("postgres", "SELECT /* a /* b */ ; DROP TABLE x */ 1", "read"),
    ("postgres", "SELECT $x$ ; DROP TABLE a $x$", "read"),
    ("postgres", "SELECT $x$ $y$ $x$; DROP TABLE a --$y$", "read / schema!"),
    ("postgres", "SELECT E'a\\'; DROP TABLE x --'", "read"),
    ("postgres", "SELECT 'a\\'; DROP TABLE x --'", "read / schema!"),
    ("postgres", "SELECT 'it''s; DROP TABLE x'", "read"),
    ("postgres", 'SELECT "a;b" FROM "c;d"', "read"),
    ("postgres", "SELECT 'unterminated; DROP TABLE x", "read opaque!"),
    ("postgres", "BROKEN SELECT FROM DROP TABLE x", "read schema opaque!"),
    ("postgres", "\\dt", "read"),
    ("postgres", "\\! ls", "opaque!"),
    ("postgres", "\\x \\! ls", "read opaque!"),
    ("postgres", "\\echo `ls`", "export opaque!"),
    ("postgres", "\\o |sh", "export opaque!"),
    ("postgres", "\\o x.txt", "export!"),
    ("postgres", "\\i x.sql", "opaque!"),
    ("postgres", "\\w x", "export!"),
    ("postgres", "\\c other", "opaque!"),
    ("postgres", "\\copy a to 'x'", "read export!"),
    ("postgres", "\\copy a from 'x'\nDELETE FROM b WHERE i=1;", "write! / delete"),
    ("postgres", "\\dt \\\\ DROP TABLE x", "read schema opaque!"),
    ("postgres", "\\dt; DROP TABLE x", "read schema opaque!"),
    ("postgres", "\\copy a to program 'sh'", "write export opaque!"),
    ("postgres", "SELECT 'drop table x' \\gexec", "read / opaque!"),
    ("postgres", "DELETE FROM a \\g", "delete! / read"),
    ("postgres", "SELECT 1 \\; DROP TABLE x", "read / schema!"),
    ("postgres", "\\unknown", "opaque!"),
    ("mysql", "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */", "read export"),
    ("mysql", "SELECT * FROM a INTO OUTFILE '/tmp/x'", "read export"),
    ("mysql", "SELECT 1 --1; DROP TABLE x", "read / schema!"),
    ("mysql", "SELECT 1 -- 1; DROP TABLE x", "read"),
    ("mysql", "SELECT 1 # 1; DROP TABLE x", "read"),
    ("mysql", "SELECT 1 /*! ; DROP TABLE x */", "read / schema!"),
    ("mysql", "SELECT 1 /*M! ; DROP TABLE x */", "read / schema!"),
    ("mysql", "/*!40101 SET NAMES utf8 */;", ""),
    ("mysql", "SELECT 1 /* /* */ ; DROP TABLE x", "read opaque / schema!"),
    ("mysql", 'SELECT "it\\"s; DROP TABLE x"', "read"),
    ("mysql", "SELECT `a`.`b` FROM `s`.`a`", "read"),
    ("mysql", "LOAD DATA INFILE 'x' INTO TABLE a", "read write opaque!"),
    ("mysql", "SELECT load_file('/etc/passwd')", "read opaque"),
    ("mysql", "REPLACE INTO a VALUES (1)", "write"),
    ("mysql", "DELETE a FROM a JOIN b", "delete!"),
    ("mysql", "DELETE FROM a LIMIT 5", "delete"),
    ("mysql", "SET GLOBAL x = 1", "privilege"),
    ("mysql", "SET @x = 1", "read"),
    ("mysql", "RENAME TABLE a TO b", "schema"),
    ("mysql", "SELECT 1\\G DROP TABLE x", "read / schema!"),
    ("mysql", "system ls", "export opaque!"),
    ("mysql", "\\! ls", "opaque!"),
    ("mysql", "PREPARE s FROM 'drop table x'", "read opaque!"),
    ("mysql", "DESCRIBE a", "read"),
    ("mysql", "DESC ANALYZE DELETE FROM a", "delete!"),
    ("sqlite", "PRAGMA table_info(a)", "read"),
    ("sqlite", "PRAGMA user_version", "read"),
    ("sqlite", "PRAGMA user_version = 3", "opaque"),
    ("sqlite", "PRAGMA user_version(3)", "opaque"),
    ("sqlite", "PRAGMA writable_schema = on", "opaque"),
    ("sqlite", "ATTACH 'x' AS y", "opaque!"),
    ("sqlite", "SELECT load_extension('x')", "read opaque"),
    ("sqlite", "SELECT writefile('x', 'y')", "read export opaque"),
    ("sqlite", "EXPLAIN QUERY PLAN SELECT 1", "read"),
    ("sqlite", "SELECT [a;b] FROM t", "read"),
    ("sqlite", ".tables", "read"),
    ("sqlite", ".shell ls", "opaque!"),
    ("sqlite", ".read x.sql", "opaque!"),
    ("sqlite", ".dump", "read export!"),
    ("sqlite", ".output |sh", "export opaque!"),
    ("sqlite", ".import x.csv t", "write opaque!"),
    ("tsql", "EXEC xp_cmdshell 'x'", "opaque!"),
    ("tsql", "SELECT TOP 1 * FROM dbo.a", "read"),
    ("tsql", "SELECT 1\nGO\nDROP TABLE x", "read / schema!"),
    ("tsql", "SELECT 1 x SHUTDOWN", "read opaque!"),
    ("tsql", "SELECT a FROM b DELETE", "read opaque"),
    ("tsql", "IF 1=1 DROP TABLE a", "read schema opaque!"),
    ("tsql", ":r x.sql", "opaque!"),
    ("tsql", "!! dir", "opaque!"),
    ("duckdb", "COPY a TO 'x.parquet'", "read export"),
    ("duckdb", "SELECT * FROM 'x.csv'", "read opaque"),
    ("duckdb", "SELECT * FROM read_csv('x')", "read opaque"),
    ("duckdb", "INSTALL httpfs", "opaque!"),
    ("duckdb", "FROM a", "read"),
    ("clickhouse", "SELECT * FROM a INTO OUTFILE 'x'", "read export"),
    ("clickhouse", "ALTER TABLE a DELETE WHERE 1", "delete schema!"),
    ("clickhouse", "SELECT * FROM url('http://x')", "read opaque"),
    ("snowflake", "COPY INTO @s FROM a", "read export"),
    ("bigquery", "SELECT * FROM a.b", "read"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1][:50]}")
def test_effects(case: tuple[str, str, str]) -> None:
    dialect, text, told = case
    assert effects(text, dialect) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "SELECT id, c.email FROM public.customers c",
            {"public.customers", "public.customers.id", "public.customers.email"},
        ),
        ("SELECT * FROM customers", {"*.customers", "*.customers.*"}),
        ("SELECT count(*) FROM customers", {"*.customers"}),
        ("SELECT count(*) FROM customers WHERE email = 'x'", {"*.customers", "*.customers.email"}),
        ("SELECT x.n FROM (SELECT email AS n FROM customers) x", {"*.customers", "*.customers.email"}),
        ("SELECT x.b FROM customers AS x (a, b)", {"*.customers", "*.customers.*", "*.customers.b"}),
        ("SELECT customers FROM customers", {"*.customers", "*.customers.*", "*.customers.customers"}),
        ("INSERT INTO a (x, y) VALUES (1, 2)", {"*.a", "*.a.x", "*.a.y"}),
        ("INSERT INTO a VALUES (1)", {"*.a", "*.a.*"}),
        ("UPDATE s.a SET x = 1 WHERE y = 2", {"s.a", "s.a.x", "s.a.y"}),
        ("DROP TABLE a, s.b", {"*.a", "s.b"}),
        ("SELECT a.id FROM a JOIN b USING (email)", {"*.a", "*.b", "*.a.id", "*.a.email", "*.b.email"}),
        ("WITH x AS (SELECT id FROM a) SELECT id FROM x", {"*.a", "*.a.id"}),
        ("WITH a AS (SELECT id FROM a) SELECT id FROM a", {"*.a", "*.a.id"}),
        ("WITH x AS (SELECT 1) DELETE FROM x WHERE id = 1", {"*.x", "*.x.id"}),
        ('SELECT 1 FROM "public.customers"', {"*.*"}),
        ("COPY a (x) TO STDOUT", {"*.a", "*.a.x"}),
        ("COPY a TO STDOUT", {"*.a", "*.a.*"}),
        ("CALL f()", {ANY}),
    ],
)
def test_objects(text: str, told: set[str]) -> None:
    assert objects(text) == told


def test_a_cte_is_the_table_of_its_name_in_its_own_body_only() -> None:
    assert "*.b" in objects("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM b")
    assert "*.b" not in objects("WITH b AS (SELECT 1), a AS (SELECT * FROM b) SELECT * FROM a")
    assert "*.b" not in objects("WITH RECURSIVE b AS (SELECT 1 UNION ALL SELECT * FROM b) SELECT * FROM b")


def test_the_shape_holds_no_literal() -> None:
    (found,) = statements("SELECT a, 'top secret', 42, $$also$$ FROM t WHERE x >= 'y' -- and this", "postgres")
    assert found.shape == "SELECT a, ?, ? FROM t WHERE x >= ?" or found.shape == "SELECT a, ? FROM t WHERE x >= ?"
    (long,) = statements("SELECT " + ", ".join(f"column_{n}" for n in range(300)), "postgres")
    assert len(long.shape) <= 200


def test_equal_statements_are_told_once() -> None:
    assert len(statements("INSERT INTO a VALUES (1); INSERT INTO a VALUES (2);" * 10, "postgres")) == 1


def test_nothing_in_nothing_out() -> None:
    assert statements("", "postgres") == ()
    assert statements(" ;; -- x\n /* y */ ; ", "postgres") == ()


def everything(found: tuple[Statement, ...]) -> bool:
    return any(each.effects == EFFECTS and ANY in each.objects and not each.filtered for each in found)


def test_too_much_may_do_anything() -> None:
    assert everything(statements("SELECT 1;" + " " * (1 << 20), "postgres"))
    assert everything(statements(";".join(f"SELECT {'a' * n}" for n in range(1, 700)), "postgres"))
    assert everything(statements("SELECT " + "a," * 150_000, "postgres"))
    assert everything(statements("x", "cobol"))


def test_long_and_deep_statements_are_told_by_their_words() -> None:
    assert effects("SELECT " + "(" * 5000 + "1" + ")" * 5000) == "read opaque!"
    assert effects("SELECT 1" + " + 1" * 30_000) == "read opaque!"
    assert effects("INSERT INTO a VALUES " + ",".join(["(1)"] * 30_000)) == "read write opaque!"
    assert effects("SELECT 1 WHERE " + "NOT " * 3000 + "true").startswith("read")


@pytest.mark.parametrize("unit", ["'", '"', "$$", "/*", "$a$", "\\'", "'\\''", "E'\\", "[", "`", "--", "/*!", ":", "@"])
def test_a_text_of_marks_ends(unit: str) -> None:
    for dialect in sorted(DIALECTS):
        statements(unit * (60_000 // len(unit)), dialect)


def test_the_parser_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        statements("CREATE ROLE x; VACUUM a", "postgres")
    assert caplog.records == []


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="SELCTDROP abx01;'\"$/*-!\\\n.(),:=@#[]`{}", max_size=60), st.sampled_from(sorted(DIALECTS)))
def test_any_text_is_told_in_words_of_the_vocabulary(text: str, dialect: str) -> None:
    for found in statements(text, dialect):
        assert set(found.effects) <= set(EFFECTS)
        assert len(found.shape) <= 200
        assert all(each.count(".") in (1, 2) for each in found.objects)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab'\"$*/-\\\n ", max_size=12).filter(lambda text: "'" not in text))
def test_what_follows_a_string_is_not_swallowed(inner: str) -> None:
    told = [each.effects for each in statements(f"SELECT '{inner}'; DROP TABLE x", "sqlite")]
    assert told[-1] == ("schema",)
