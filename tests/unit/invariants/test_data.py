"""``[[data]]`` rules: effects on objects, services by address, files by path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.data import (
    DataRules,
    compile_data,
    describe,
    hidden,
    judge_file,
    judge_statements,
    readonly,
)
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import Statement
from supervisor.vocabulary.events import ExecEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match
from tests.property.world import ACTOR, target

SERVICE = "postgres://orders.internal:5432"
AT = "postgres://orders.internal:5432/shop"
EFFECTS = ("read", "write", "modify", "delete", "schema", "privilege", "export", "opaque")


def rule(ident: str = "r", **table: Any) -> Rule:
    own = {key: table.pop(key) for key in list(table) if key in Rule._fields}
    return Rule("data", ident, fields=table, source="govrun.toml:1", **own)


def rules(*made: Rule) -> DataRules:
    return compile_data(made, {each.id: Invariant(each.id, "data", each.then or "deny") for each in made})


def told(compiled: DataRules, *statements: Statement, database: str = AT) -> list[Match]:
    event = ExecEvent(ACTOR, target(b"/usr/bin/psql"), b"psql", (b"psql",), b"/w", "call")
    return list(judge_statements(compiled, event._replace(statements=statements, database=database)))


def does(effects: str, objects: str = "", filtered: bool = True, shape: str = "X") -> Statement:
    return Statement(tuple(effects.split()), tuple(objects.split()), filtered, shape)


def refused(statement: Statement, database: str = AT, **table: Any) -> bool:
    return bool(told(rules(rule(**{"service": SERVICE} | table)), statement, database=database))


DENIES = [
    ("delete", does("delete", "*.a"), True),
    ("delete", does("modify", "*.a"), False),
    ("modify|delete", does("read delete", "*.a"), True),
    ("*", does("read", "*.a"), True),
    ("*", does(""), False),
    ("delete without where", does("delete", "*.a"), False),
    ("delete without where", does("delete", "*.a", filtered=False), True),
    ("modify|delete without where", does("schema", "*.a", filtered=False), False),
    ("delete public.orders", does("delete", "public.orders"), True),
    ("delete public.orders", does("delete", "*.orders"), True),
    ("delete public.orders", does("delete", "other.orders"), False),
    ("delete public.orders", does("delete", "public.items"), False),
    ("delete public.o*", does("delete", "public.orders"), True),
    ("delete public.orders", does("delete", "*.*"), True),
    ("read PUBLIC.Orders", does("read", "public.orders"), True),
    ("* *.customers.email", does("read", "*.customers *.customers.id"), False),
    ("* *.customers.email", does("read", "*.customers *.customers.email"), True),
    ("* *.customers.email", does("read", "*.customers *.customers.*"), True),
    ("* *.customers.email", does("read", "*.customers"), False),
    ("* *.customers.email", does("export opaque", "*.*"), True),
    ("* *.customers.email", does("read", "*.orders *.orders.email"), False),
    ("read *.customers.e*", does("read", "s.customers.email"), True),
    ("delete s.orders without where", does("delete", "s.orders", filtered=False), True),
    ("delete s.orders without where", does("delete", "s.items", filtered=False), False),
]


@pytest.mark.parametrize("case", DENIES, ids=lambda case: f"{case[0]}: {case[1].effects} {case[1].objects}")
def test_denied(case: tuple[str, Statement, bool]) -> None:
    entry, statement, answer = case
    assert refused(statement, deny=(entry,)) is answer


ALLOWS = [
    (("read",), does("read", "*.a *.a.x"), True),
    (("read",), does("read delete", "*.a"), False),
    (("read",), does(""), True),
    ((), does("read"), False),
    ((), does(""), True),
    (("*",), does("opaque", "*.*", filtered=False), True),
    (("read public.orders",), does("read", "public.orders public.orders.id"), True),
    (("read public.orders",), does("read", "*.orders *.orders.id"), True),
    (("read orders.orders",), does("read", "*.orders"), False),
    (("read shop.orders",), does("read", "*.orders"), True),
    (("read public.orders",), does("read", "public.orders public.items"), False),
    (("read public.orders", "read public.items"), does("read", "public.orders public.items"), True),
    (("read public.orders",), does("read"), True),
    (("read public.orders",), does("read", "*.*"), False),
    (("read *.*",), does("read", "*.*"), True),
    (("read public.*",), does("read", "*.*"), False),
    (("write public.cart_*",), does("write", "*.cart_items *.cart_items.x"), True),
    (("write public.cart_*",), does("write", "*.carts"), False),
    (("read public.orders.id",), does("read", "*.orders *.orders.id"), True),
    (("read public.orders.id",), does("read", "*.orders *.orders.id *.orders.sum"), False),
    (("read public.orders.id",), does("read", "*.orders *.orders.*"), False),
    (("read public.orders.id",), does("read", "*.orders"), False),
    (("delete public.orders.id",), does("delete", "*.orders *.orders.id"), False),
    (("delete",), does("delete", "*.a", filtered=False), True),
    (("delete without where",), does("delete", "*.a"), False),
    (("delete without where",), does("delete", "*.a", filtered=False), True),
    (("read", "write public.a"), does("read write", "public.a public.b"), False),
]


@pytest.mark.parametrize("case", ALLOWS, ids=lambda case: f"{case[0]}: {case[1].effects} {case[1].objects}")
def test_allowed(case: tuple[tuple[str, ...], Statement, bool]) -> None:
    entries, statement, answer = case
    assert refused(statement, allow=entries) is not answer


def test_deny_wins_and_without_allow_the_rest_passes() -> None:
    assert refused(does("read", "*.a"), allow=("*",), deny=("read",))
    assert not refused(does("write", "*.a"), deny=("read",))
    assert refused(does("write", "*.a"), allow=("read",), deny=("schema",))


def test_messages_are_one_line_and_say_what() -> None:
    statement = does("delete", "*.a", filtered=False, shape="DELETE FROM a\nWHERE x = ?")
    (match,) = told(rules(rule(service=SERVICE, deny=("modify|delete without where",))), statement)
    assert match.message == f"DELETE FROM a WHERE x = ? would delete (at {AT}): modify|delete without where is denied"
    (match,) = told(rules(rule(service=SERVICE, allow=("read",))), statement)
    assert match.message == f"DELETE FROM a WHERE x = ? would delete (at {AT}): delete *.a is not allowed"
    (match,) = told(rules(rule(service=SERVICE, allow=())), does("opaque", "*.*", shape="\x1b[31m" + "y" * 400))
    assert "\x1b" not in match.message
    assert len(match.message) < 250


def test_the_word_of_the_rule_and_each_statement_once() -> None:
    compiled = rules(rule(service=SERVICE, deny=("delete",), then="pause"))
    found = told(
        compiled, does("delete", "*.a"), does("delete", "*.a"), does("read", "*.a"), does("delete", "*.b", shape="Y")
    )
    assert [each.effect for each in found] == [Effect.PAUSE, Effect.PAUSE]
    many = [does("delete", "*.a", shape=str(n)) for n in range(90)]
    assert len(told(compiled, *many)) == 20


PLACES = [
    (SERVICE, "postgres://orders.internal:5432/x", True),
    (SERVICE, "postgres://ORDERS.internal.:5432/x", True),
    (SERVICE, "postgres://orders:5432/x", True),
    (SERVICE, "postgres://orders.internal:5433/x", False),
    (SERVICE, "postgres://other.internal:5432/x", False),
    (SERVICE, "postgres://10.0.0.7:5432/x", True),
    (SERVICE, "postgres://localhost:5432/x", False),
    (SERVICE, "postgres://127.0.0.1:5432/x", False),
    (SERVICE, "postgres://", True),
    (SERVICE, "mysql://orders.internal:5432/x", False),
    (SERVICE, "", False),
    (SERVICE, "/w/a.db", False),
    ("postgresql://orders.internal:5432", AT, True),
    ("mariadb://db:3306", "mysql://db:3306/x", True),
    ("sqlserver://db:1433", "tsql://db:1433/x", True),
    ("postgres://*.internal:*", AT, True),
    ("postgres://*:5432", "postgres://localhost:5432/x", True),
    ("postgres://localhost:5432", "postgres://127.0.0.1:5432/x", True),
    ("postgres://127.0.0.1:5432", "postgres://localhost:5432/x", True),
    ("postgres://127.0.0.1:5432", "postgres://[::1]:5432/x", False),
    ("postgres://10.0.0.0/8:5432", "postgres://10.2.3.4:5432/x", True),
    ("postgres://10.0.0.0/8:5432", "postgres://11.2.3.4:5432/x", False),
    ("postgres://10.0.0.0/8:5432", "postgres://db:5432/x", True),
    ("postgres://[2001:db8::1]:5432", "postgres://[2001:db8::1]:5432/x", True),
]


@pytest.mark.parametrize("case", PLACES, ids=lambda case: f"{case[0]} {case[1]}")
def test_services_by_address(case: tuple[str, str, bool]) -> None:
    service, database, answer = case
    assert refused(does("read", "*.a"), database=database, service=service, allow=()) is answer


def test_statements_on_files() -> None:
    compiled = rules(rule(paths=("data/*.sqlite", "~/db/**"), allow=("read",)))
    for database in ("/w/data/a.sqlite", "/h/ada/db/x.db"):
        assert told(compiled, does("write", "*.a"), database=database)
        assert not told(compiled, does("read", "*.a"), database=database)
    for database in ("/w/data/a.txt", "/w/other.sqlite", AT, ""):
        assert not told(compiled, does("write", "*.a"), database=database)
    assert not told(rules(rule(paths=("*.sqlite",), access="read")), does("write", "*.a"), database="/w/a.sqlite")


def test_with_the_tree_patterns_begin_there_and_exceptions_hold() -> None:
    compiled = rules(rule(paths=("/data/*.db", "~/db/**"), exempt=("/data/test.db",), allow=()))

    def asked(database: str) -> bool:
        event = ExecEvent(ACTOR, target(b"/usr/bin/sqlite3"), b"x", (b"x",), b"/w", "call", database=database)
        event = event._replace(statements=(does("read", "*.a"),))
        return bool(list(judge_statements(compiled, event, tree=b"/w", home=b"/h/ada")))

    assert asked("/w/data/a.db")
    assert asked("/h/ada/db/a.db")
    assert not asked("/w/data/test.db")
    assert not asked("/w/x/data/a.db")
    assert not asked("/data/a.db")


def opened(compiled: DataRules, path: str, *, writes: bool = False, reads: bool = True) -> list[Match]:
    raw = path.encode()
    relative = raw[3:] if raw.startswith(b"/w/") else None
    return list(judge_file(compiled, raw, relative, b"/h/ada", writes=writes, reads=reads))


def test_hidden_and_read_only_files() -> None:
    compiled = rules(
        rule("secret", paths=("/dumps/**", "~/exports/**"), access="hide", exempt=("/dumps/README*",)),
        rule("kept", paths=("*.sqlite",), access="read"),
    )
    assert [each.message for each in opened(compiled, "/w/dumps/a.sql")] == ["dumps/a.sql is hidden from this run"]
    assert [each.message for each in opened(compiled, "/h/ada/exports/x")] == [
        "/h/ada/exports/x is hidden from this run"
    ]
    assert opened(compiled, "/w/dumps/a.sql", writes=True, reads=False)
    assert not opened(compiled, "/w/dumps/README.md")
    assert not opened(compiled, "/w/x/dumps/a.sql")
    assert not opened(compiled, "/h/bob/exports/x")
    assert not opened(compiled, "/h/ada/dumps/x")
    assert not opened(compiled, "/w/x/a.sqlite")
    (match,) = opened(compiled, "/w/x/a.sqlite", writes=True)
    assert match.message == "x/a.sqlite may be read, not written"
    assert match.invariant.id == "kept"
    assert hidden(compiled) == ()
    assert readonly(compiled) == (Entry("*.sqlite", "govrun.toml:1"),)
    assert [each.value for each in hidden(rules(rule(paths=("a/**", "~/b/**"), access="hide")))] == ["a/**", "~/b/**"]


def test_what_is_needed() -> None:
    assert not rules()
    assert rules(rule(paths=("a",), access="hide")).files
    assert not rules(rule(paths=("a",), access="hide")).statements
    assert rules(rule(service=SERVICE, allow=())).statements
    assert rules(rule(paths=("a",), access="hide")).hides
    assert rules(rule(paths=("~/a/**",), exempt=("~/a/b",), access="hide")).hides
    for closed in (rule(paths=("a",), access="read"), rule(paths=("~/a/**",), access="hide")):
        assert not rules(closed).hides


def test_it_says_how_it_holds() -> None:
    level, note = describe(rule(service=SERVICE, allow=("read",), max_rows=5))
    assert level is Coverage.OBSERVED
    assert "psql" in note
    assert "no gateway" in note
    assert "max_rows" in note
    level, note = describe(rule(paths=("a.db",), allow=("read",)))
    assert level is Coverage.OBSERVED
    assert "access" in note
    assert describe(rule(paths=("a.db",), access="read"))[0] is Coverage.SUPERVISED
    assert describe(rule(paths=("a.db",), access="read", then="observe"))[0] is Coverage.OBSERVED
    level, note = describe(rule(paths=("a.db",), access="hide"))
    assert level is Coverage.SUPERVISED
    assert "every open" in note
    assert describe(rule(paths=("~/dumps/**",), access="hide"))[0] is Coverage.ENFORCED


parts = st.sampled_from(["a", "b", "public", "*"])
things = st.lists(st.builds(".".join, st.lists(parts, min_size=2, max_size=3)), max_size=4)


@given(st.lists(st.sampled_from(EFFECTS), min_size=1, max_size=3, unique=True), things, st.booleans())
def test_what_star_denies_nothing_passes_and_what_nothing_allows_neither(
    effects: list[str], objects: list[str], filtered: bool
) -> None:
    statement = Statement(tuple(effects), tuple(objects), filtered)
    assert refused(statement, deny=("*",))
    assert refused(statement, allow=())
    assert not refused(statement, allow=("*",))


@given(things, things)
def test_more_objects_are_never_more_allowed(some: list[str], more: list[str]) -> None:
    entries = ("read public.a", "read public.b.a")
    if refused(Statement(("read",), tuple(some)), allow=entries) and not any(each.count(".") == 1 for each in some):
        assert refused(Statement(("read",), (*some, *more)), allow=entries)
