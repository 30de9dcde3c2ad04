"""Lines of the control socket: what is not exactly an order is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.operator.protocol import (
    MAX_ANSWER,
    MAX_ORDER,
    WORDS,
    Answer,
    Asked,
    MalformedError,
    answer_line,
    order_line,
    read_answer,
    read_order,
)

GOOD = [
    Asked("ps"), Asked("pause"), Asked("resume"), Asked("stop"), Asked("state", "3F"), Asked("approve", "3F"),
    Asked("approve", "3F", True), Asked("deny", "100"), Asked("deny", "AB", why="not — today"),
]  # fmt: skip
BAD = [
    b"", b"\0", b"\xff", b"approve 3F", b"[]", b"null", b"1", b'"ps"', b"{}", b'{"do":"ps"}', b'{"v":2,"do":"ps"}',
    b'{"v":"1","do":"ps"}', b'{"v":1,"do":null}', b'{"v":1,"do":["ps"]}', b'{"v":1,"do":"approve"}',
    b'{"v":1,"do":"PS"}', b'{"v":1,"do":"ps","id":"3F"}', b'{"v":1,"do":"deny","id":"3F","for_run":true}',
    b'{"v":1,"do":"state","id":"3F","why":"x"}', b'{"v":1,"do":"approve","id":63}', b'{"v":1,"do":"approve","id":""}',
    b'{"v":1,"do":"approve","id":"3"}', b'{"v":1,"do":"approve","id":"3G"}', b'{"v":1,"do":"approve","id":"3F\\n"}',
    b'{"v":1,"do":"approve","id":"\\uff13F"}', b'{"v":1,"do":"approve","id":"123456789"}',
    b'{"v":1,"do":"approve","id":"3F","for_run":1}', b'{"v":1,"do":"approve","id":"3F","for_run":"false"}',
    b'{"v":1,"do":"approve","id":"3F","for_run":null}', b'{"v":1,"do":"deny","id":"3F","why":7}',
    b'{"v":1,"do":"deny","do":"approve","id":"3F"}', b'{"v":1,"do":"approve","id":"3F","id":"40"}',
    b'{"v":1,"do":"approve","id":"3F","all":true}', b'{"v":1,"do":"ps"} {"v":1,"do":"stop"}', b'{"v":NaN,"do":"ps"}',
    b'{"v":1,"do":"ps"', b'{"v":1e999,"do":"ps"}', b"[" * (MAX_ORDER - 1), b'{"v":' + b"9" * 4090,
    b'{"v":1,"do":"\\ud800"}',
    '{"v":1,"do":"ps"}'.encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("asked", GOOD, ids=lambda asked: "-".join(map(str, asked)))
def test_there_and_back(asked: Asked) -> None:
    line = order_line(asked)
    assert line.endswith(b"\n") and line.isascii() and len(line) <= MAX_ORDER
    assert read_order(line[:-1]) == asked


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:40].decode("latin-1"))
def test_no_order(line: bytes) -> None:
    with pytest.raises(MalformedError):
        read_order(line)
    with pytest.raises(MalformedError):
        read_answer(line, "R")


@given(st.binary(max_size=300))
def test_rubbish(line: bytes) -> None:
    with pytest.raises(MalformedError):
        read_order(line)


@given(st.dictionaries(st.sampled_from(["v", "do", "id", "for_run", "why", "x"]),
                       st.sampled_from([1, True, "3F", "approve", "", None, 1.0, *sorted(WORDS)])))  # fmt: skip
def test_nearly_orders(said: dict[str, object]) -> None:
    try:
        asked = read_order(json.dumps(said).encode())
    except MalformedError:
        return
    assert said["do"] == asked.do and said.get("id", "") == asked.id and said.get("for_run", False) is asked.for_run


def test_a_reason_is_one_line() -> None:
    asked = read_order(json.dumps({"v": 1, "do": "deny", "id": "3f", "why": "a\nb\x1b[31m\u202e" + "é" * 500}).encode())
    assert asked.id == "3F" and asked.why.isprintable() and len(asked.why) == 200 and asked.why.startswith("a b [31m ")
    assert len(order_line(Asked("deny", "3F", why="\U0001f600" * 200))) <= MAX_ORDER


def test_a_long_list_is_cut() -> None:
    one = {"id": "3F", "message": "\u202e" * 300, "command": "é" * 200, "cwd": "é" * 200}
    line = answer_line("R", Answer(True, "running", "", {"paused": False, "questions": [one] * 128}))
    assert len(line) <= MAX_ANSWER
    answer = read_answer(line[:-1], "R")
    questions = answer.more["questions"]
    assert questions and all(each == one for each in questions) and len(questions) + answer.more["more"] == 128


def test_an_answer_of_another_run() -> None:
    line = answer_line("R", Answer(True, "approved", ""))
    assert read_answer(line[:-1], "R").ok
    with pytest.raises(MalformedError):
        read_answer(line[:-1], "S")
