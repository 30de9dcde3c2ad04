"""What an answer rests on, as the worker tells it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.inspection import looked, wire
from supervisor.inspection.looked import Look, Looked
from supervisor.inspection.resolving import Resolver
from supervisor.inspection.wire import Traced
from supervisor.inspection.worker import Inspector
from supervisor.vocabulary.content import Findings, Reference, Wanted

FOUND = Findings(references=(Reference("a.py", "a", 1),), pending="half")
LOOKS = (Look("kind", "a.py", "file"), Look("at", "\udce9", "\udce9"))
GROUP = (Look("names", "", "d" * 32),)


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    made = Inspector(Wanted(os.fsencode(tmp_path), packages=False, references=True), deadline=30)
    yield made
    made.close()


def answered(inspector: Inspector, path: bytes, text: bytes, kind: str = "python") -> Traced:
    ticket = inspector.ask_traced(kind, path, text)
    found: list[tuple[int, Traced]] = []
    while not found:
        found = inspector.traced()
    assert found[0][0] == ticket
    return found[0][1]


def test_groups_are_sent_once() -> None:
    known: set[int] = set()
    groups: dict[int, tuple[Look, ...]] = {}
    seen = Looked(LOOKS, ((7, GROUP),))
    first = wire.traced(1, FOUND, seen, known)[wire.HEAD.size :]
    second = wire.traced(2, FOUND, seen, known)[wire.HEAD.size :]
    assert len(second) < len(first)
    assert wire.read_traced(first, groups) == wire.read_traced(second, groups) == Traced(FOUND, seen)
    with pytest.raises(wire.Garbled):
        wire.read_traced(second, {})


def test_an_answer_that_is_too_large_comes_without_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_ANSWER", 200)
    known: set[int] = set()
    many = Looked(tuple(Look("kind", str(number), "") for number in range(100)), ((1, GROUP),))
    body = wire.traced(1, FOUND, many, known)[wire.HEAD.size :]
    assert wire.read_traced(body, {}) == Traced(FOUND, None)
    assert known == set()  # nothing was sent


@pytest.mark.parametrize(
    "value",
    [
        [], [[], [], [], []], ["x", [], [], []], ["F", [["kind", "a"]], [], []], ["F", [["kind", "a", 1]], [], []],
        ["F", [["kind", "a" * 9000, ""]], [], []], ["F", [], [[1]], []], ["F", [], [["1", []]], []], ["F", [], [], [1]],
        ["F", [], [], ["1"]], ["F", {}, [], []],
    ],
)  # fmt: skip
def test_what_no_worker_sends(value: list[object]) -> None:
    body = json.dumps([[[], [], "", "", [], [], [], []] if each == "F" else each for each in value]).encode()
    with pytest.raises(wire.Garbled):
        wire.read_traced(b"L" + body, {})
    for other in (b"C", b"N", b"L", b"L{", b""):
        with pytest.raises(wire.Garbled):
            wire.read_traced(other, {})


def test_what_a_worker_looked_at_can_be_looked_at_again(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    told = answered(inspector, b"a.py", b"import b, strange\n")
    assert told.found.references == (Reference("b.py", "b", 1), Reference("", "strange", 1, external=True))
    assert told.looked is not None
    every = [*told.looked.looks, *(look for _, group in told.looked.groups for look in group)]
    assert {each.what.partition(" ")[0] for each in every} >= {"kind", "at", "has", "folders", "like"}
    now = Resolver(os.fsencode(tmp_path))
    assert [each for each in every if looked.seen(now, each.what, each.path) != each.seen] == []
    (tmp_path / "b.py").unlink()
    later = Resolver(os.fsencode(tmp_path))
    assert {each.path for each in every if looked.seen(later, each.what, each.path) != each.seen} == {"b.py", ""}


def test_a_file_without_references_rests_on_nothing(inspector: Inspector) -> None:
    assert answered(inspector, b"a.py", b"import b\n").looked != Looked()
    assert answered(inspector, b"a.pth", b"x\n", "pth") == Traced(Findings(), Looked())


def test_a_refusal_rests_on_nothing_that_is_known(inspector: Inspector) -> None:
    told = answered(inspector, b"a.py", b" " * (3 << 20))
    assert "too large" in told.found.refusal
    assert told.looked is None


def test_another_worker_sends_its_groups_again(inspector: Inspector, tmp_path: Path) -> None:
    first = answered(inspector, b"a.py", b"import strange\n")
    assert inspector.pid is not None
    os.kill(inspector.pid, signal.SIGKILL)
    while not answered(inspector, b"a.py", b"import other\n").found.refusal == "":
        pass
    again = answered(inspector, b"a.py", b"import strange\n")
    assert first.looked is not None
    assert again.looked is not None
    assert [group for _, group in again.looked.groups] == [group for _, group in first.looked.groups]


def test_a_memo_counts_for_everything_that_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    tree = Resolver(os.fsencode(tmp_path))

    def outer() -> tuple[str, ...]:
        return tree.remembered("inner", lambda: tree.listdir("a")) + tree.listdir("")

    for _ in range(2):
        tree.begin()
        tree.remembered("outer", outer)
        told = tree.looked()
        assert told.looks == ()
        assert [{(each.what, each.path) for each in group} for _, group in told.groups] == [
            {("names", "a"), ("names", "")}
        ]
