"""CEL expressions over acts."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.invariants.expression import ExpressionRules, asks_the_clock, compile_expressions, judge
from supervisor.profile.model import Rule
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import Actor, Event, ExecEvent, FsEvent, FsOp, Kind, NetEvent, Target
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect

TREE, HOME = b"/w/tree", b"/home/ada"
ACTOR = Actor(1, 1, 1, b"/usr/bin/bash", (b"bash",), 1000)
FRIDAY, MONDAY = 1_796_385_600.0, 1_796_644_800.0  # 2026-12-04 and 2026-12-07, noon


def rules(*texts: str, **more: Any) -> ExpressionRules:
    made = [Rule("rule", f"r{at}", fields={"match": text}, **more) for at, text in enumerate(texts)]
    named = {
        each.id: Invariant(each.id, "rule", "deny", "", "", "", "", "p:1", Coverage.SUPERVISED, "") for each in made
    }
    return compile_expressions(made, named)


def ask(found: ExpressionRules, event: Event, now: float = MONDAY) -> list[str]:
    assert isinstance(event, ExecEvent | FsEvent | NetEvent)
    return [match.message for match in judge(found, event, TREE, HOME, now)]


def started(line: str, *classes: str, cwd: bytes = TREE) -> ExecEvent:
    argv = tuple(line.encode().split())
    command = Command(line.split(maxsplit=1)[0], "apply", tuple(line.split()), classes, ("prod-eu",))
    program = Target(b"/usr/bin/" + argv[0], Kind.FILE)
    return ExecEvent(ACTOR, program, argv[0], argv, cwd, "stop", commands=(command,))


def file(path: bytes, op: FsOp = FsOp.WRITE, to: bytes = b"") -> FsEvent:
    return FsEvent(ACTOR, op, "openat", Target(path, Kind.FILE), Target(to, Kind.ABSENT) if to else None)


FREEZE = 'event.kind == "exec" && "deploy" in event.classes && now.getDayOfWeek() == 5'


def test_a_freeze_on_fridays() -> None:
    found = rules(FREEZE)
    assert ask(found, started("kubectl apply", "deploy"), FRIDAY) == [f"exec /usr/bin/kubectl: {FREEZE}"]
    assert ask(found, started("kubectl apply", "deploy"), MONDAY) == []
    assert ask(found, started("kubectl get"), FRIDAY) == []
    assert ask(found, file(TREE + b"/x"), FRIDAY) == []


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('event.argv.exists(word, word.startsWith("--force"))', started("git push --force-with-lease")),
        ('event.tools == ["kubectl"] && event.verbs[0] == "apply"', started("kubectl apply")),
        ('event.targets.exists(t, t.matches("^prod-"))', started("kubectl apply")),
        ('event.actor == "/usr/bin/bash" && event.path.endsWith("/make")', started("make")),
        (
            'event.kind == "file" && event.op == "write" && event.path == "src/a.py" && event.inside',
            file(TREE + b"/src/a.py"),
        ),
        ('event.op == "rename" && event.to == "b"', file(TREE + b"/a", FsOp.RENAME, TREE + b"/b")),
        ('event.path == "~/notes" && !event.inside', file(HOME + b"/notes")),
        ('event.path.contains("\\ufffd")', file(TREE + b"/\xff")),
        ('event.kind == "net" && event.port > 1023', NetEvent(ACTOR, "connect", "inet", "tcp", "192.0.2.1", 8080)),
        ('event.host == "192.0.2.1" && event.op == "bind"', NetEvent(ACTOR, "bind", "inet", "tcp", "192.0.2.1", 1)),
        ('event.path == "/run/x"', NetEvent(ACTOR, "connect", "unix", "stream", unix=b"/run/x")),
        ('now < timestamp("2027-01-01T00:00:00Z")', started("x")),
    ],
)
def test_what_can_be_asked(text: str, event: Event) -> None:
    assert len(ask(rules(text), event)) == 1
    assert ask(rules(f"!({text})"), event) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('event.knd == "exec"', "undeclared reference to 'event.knd'"),
        ('event.port == "80"', "no matching overload"),
        ("event.kind ==", "Syntax error"),
        ("event.argv", "not true or false"),
        ("size(event.argv)", "not true or false"),
    ],
)
def test_what_is_no_expression_is_told(text: str, why: str) -> None:
    with pytest.raises(ProfileError) as raised:
        rules("true", text)
    assert "p:1" not in raised.value.why and "r1: " in raised.value.why and why in raised.value.why
    assert "r0" not in raised.value.why
    assert "event.classes" in raised.value.fix


def test_what_comes_to_no_answer_matches() -> None:
    """An index that is not there, a division by zero, a budget that is used up: none of it lets an act pass."""
    deep = "event.argv.all(a, event.argv.all(b, event.argv.all(c, a.size() + b.size() + c.size() > 0)))"
    for text in ("event.argv[999] == 'x'", "1 / event.port == 1", deep):
        (told,) = ask(rules(text), started("x " + "y " * 400))[:1] or [""]
        assert "comes to no answer" in told, text


def test_what_moves_along_with_a_folder_is_asked_about_too() -> None:
    found = rules('event.kind == "file" && event.path.startsWith("gen/")')
    move = file(TREE + b"/gen", FsOp.RENAME, TREE + b"/gone")._replace(beneath=(b"a", b"b/c"))
    assert ask(found, move) == ['file gen/a: event.kind == "file" && event.path.startsWith("gen/")']
    assert not ask(rules('event.to == "gone/d"'), move) and ask(rules('event.to == "gone/b/c"'), move)
    exchanged = move._replace(exchange=True, beneath=(), beneath_other=(b"x",))
    assert ask(rules('event.to == "gen/x"'), exchanged)
    for names in (None, tuple(b"%d" % at for at in range(5000))):
        (told,) = ask(rules('event.path == "gen/4999"'), move._replace(beneath=names))
        assert told == "more names move along with the folder than can be asked about"
        assert not ask(rules('event.kind == "exec" && event.path == "x"'), move._replace(beneath=names))


GEN = 'event.kind == "file" && event.path.startsWith("gen/")'


@pytest.mark.parametrize("op", [FsOp.RENAME, FsOp.LINK])
def test_a_new_name_is_asked_about_as_well(op: FsOp) -> None:
    found = rules(GEN)
    assert ask(found, file(TREE + b"/y", op, TREE + b"/gen/k")) == [f"file gen/k: {GEN}"]
    assert not ask(found, file(TREE + b"/y", op, TREE + b"/z"))
    assert not ask(rules(f'event.op == "{op}" && event.to != "gen/k"'), file(TREE + b"/y", op, TREE + b"/gen/k"))
    assert ask(rules("!event.inside"), file(TREE + b"/y", op, HOME + b"/y")) == ["file ~/y: !event.inside"]


def test_new_names_of_what_moves_along_with_a_folder() -> None:
    move = file(TREE + b"/made", FsOp.RENAME, TREE + b"/gen")._replace(beneath=(b"a",))
    assert ask(rules(GEN), move) == [f"file gen/a: {GEN}"]
    assert not ask(rules(GEN), move._replace(beneath=()))


def test_an_exchange_goes_both_ways() -> None:
    swap = file(TREE + b"/gen/a", FsOp.RENAME, TREE + b"/b")._replace(exchange=True)
    for event in (swap, file(TREE + b"/b", FsOp.RENAME, TREE + b"/gen/a")._replace(exchange=True)):
        assert ask(rules('event.path == "gen/a" && event.to == "b"'), event)
        assert ask(rules('event.path == "b" && event.to == "gen/a"'), event)
    folders = file(TREE + b"/x", FsOp.RENAME, TREE + b"/y")._replace(exchange=True, beneath_other=(b"gen",))
    assert ask(rules('event.path == "x/gen"'), folders) and ask(rules('event.path == "y/gen"'), folders)


def test_paths_speak_of_the_new_name() -> None:
    found = rules(GEN, exempt=("gen/free",))
    assert ask(found, file(TREE + b"/y", FsOp.RENAME, TREE + b"/gen/k"))
    assert not ask(found, file(TREE + b"/y", FsOp.RENAME, TREE + b"/gen/free"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),
        ("::ffff:127.0.0.1", "127.0.0.1:80"),
        ("::ffff:0.0.0.0", "127.0.0.1:80"),
        ("::ffff:7f00:1", "127.0.0.1:80"),
        ("::", "[::1]:80"),
        ("::1", "[::1]:80"),
        ("0:0:0:0:0:0:0:1", "[::1]:80"),
    ],
)
def test_an_address_has_one_spelling(given: str, shown: str) -> None:
    text = 'event.host.startsWith("127.") || event.host == "::1"'
    for op in ("connect", "send"):
        assert ask(rules(text), NetEvent(ACTOR, op, "inet", "tcp", given, 80)) == [f"net {shown}: {text}"]


def test_a_bind_to_every_address_is_none_to_loopback() -> None:
    assert ask(rules('event.host == "0.0.0.0"'), NetEvent(ACTOR, "bind", "inet", "tcp", "0.0.0.0", 80))
    assert ask(rules('event.host == "::"'), NetEvent(ACTOR, "bind", "inet6", "tcp", "::", 80))


def test_a_connection_is_told_by_where_it_goes() -> None:
    assert ask(rules("true"), NetEvent(ACTOR, "connect", "unix", "stream", unix=b"/run/x")) == ["net /run/x: true"]
    assert ask(rules("true"), NetEvent(ACTOR, "connect", "unix", "stream", unix=b"\0x")) == ["net @x: true"]
    assert ask(rules("true"), NetEvent(ACTOR, "listen", "other", "tcp")) == ["net listen: true"]


def test_paths_and_exceptions() -> None:
    found = rules("true", paths=("src/**",), exempt=("src/gen/**",))
    assert ask(found, file(TREE + b"/src/a"))
    assert not ask(found, file(TREE + b"/src/gen/a"))
    assert not ask(found, file(TREE + b"/docs/a"))
    assert ask(found, file(TREE + b"/docs/a", FsOp.RENAME, TREE + b"/src/a"))
    assert ask(found, file(TREE + b"/src/gen/a", FsOp.RENAME, TREE + b"/src/a"))
    assert ask(found, started("x", cwd=TREE + b"/src"))
    assert not ask(found, started("x"))
    assert not ask(found, NetEvent(ACTOR, "connect", "inet", "tcp", "192.0.2.1", 1))


def test_the_word_of_the_rule_is_its_effect() -> None:
    (match,) = judge(rules("true", then="ask"), started("x"), TREE, HOME, MONDAY)
    assert match.effect is Effect.ASK


def test_which_depend_on_the_day() -> None:
    assert asks_the_clock(Rule("rule", "r", fields={"match": FREEZE}))
    assert not asks_the_clock(Rule("rule", "r", fields={"match": "event.path == 'known'"}))
