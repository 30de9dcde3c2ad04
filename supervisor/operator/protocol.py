"""What is said over a run's control socket: one order and one answer per connection, each a line of JSON.

Order: ``{"v":1,"do":WORD}`` and, by word: ``id`` (approve, deny, state), ``for_run`` (approve), ``why`` (deny).
Answer: ``{"v":1,"run":ULID,"ok":bool,"word":WORD,"told":TEXT}`` and for ``ps`` ``paused`` and ``questions``, a list of
``{"id","left","invariant","message","command","cwd"}``, with ``more`` where not all of them fit.

Nothing is taken that is not exactly of this form: an order that is misread could approve something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

VERSION = 1
SOCKET = "control"  # name in the run's folder
MAX_ORDER = 4096  # bytes of a line, its newline included
MAX_ANSWER = 64 << 10
MAX_WHY = 200  # characters
BUSY = "busy"  # the order was not listened to: it may be given again
_ID = re.compile(r"[0-9A-Fa-f]{2,8}", re.ASCII)
_KEYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ps": frozenset(),
        "state": frozenset({"id"}),
        "approve": frozenset({"id", "for_run"}),
        "deny": frozenset({"id", "why"}),
        "pause": frozenset(),
        "resume": frozenset(),
        "stop": frozenset(),
    }
)
WORDS = frozenset(_KEYS)


class MalformedError(ValueError):
    """The line is no order, or no answer; the text says why."""


class Who(NamedTuple):
    """The process at the other end, as the kernel names it; ``name`` is what it calls itself."""

    uid: int
    pid: int
    name: str

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid} ({self.name or '-'})"


class Asked(NamedTuple):
    """The content of an order. ``id`` is in upper case."""

    do: str
    id: str = ""
    for_run: bool = False
    why: str = ""


class Order(NamedTuple):
    """An order as it arrived. ``ticket`` names the connection that waits for the answer."""

    asked: Asked
    who: Who
    ticket: int


class Answer(NamedTuple):
    """``word`` is for programs, ``told`` for people; ``more`` holds further members."""

    ok: bool
    word: str
    told: str
    more: Mapping[str, Any] = MappingProxyType({})


def order_line(asked: Asked) -> bytes:
    """What a client sends."""
    said: dict[str, object] = {"v": VERSION, "do": asked.do}
    keys = _KEYS[asked.do]
    said |= {name: value for name, value in asked._asdict().items() if name in keys and value}
    return (json.dumps(said) + "\n").encode("ascii")


def read_order(line: bytes) -> Asked:
    """The order in a line without its newline. Raises ``MalformedError``."""
    said = _object(line)
    if said.pop("v", None) != VERSION:
        raise MalformedError(f"this run speaks version {VERSION}")
    word = said.pop("do", None)
    if not isinstance(word, str) or word not in _KEYS:
        raise MalformedError("no such order")
    keys = _KEYS[word]
    if not said.keys() <= keys:
        raise MalformedError(f"{word} does not take that")
    number, for_run, why = said.get("id", ""), said.get("for_run", False), said.get("why", "")
    if not isinstance(number, str) or not isinstance(for_run, bool) or not isinstance(why, str):
        raise MalformedError(f"{word}: a value of the wrong type")
    if "id" in keys and _ID.fullmatch(number) is None:
        raise MalformedError(f"{word} needs the id of a question")
    return Asked(word, number.upper(), for_run, one_line(why, MAX_WHY))


def answer_line(run: str, answer: Answer) -> bytes:
    """What a run sends. Questions at the end of a list that is too long are left out and counted in ``more``."""
    said: dict[str, object] = {"v": VERSION, "run": run, "ok": answer.ok, "word": answer.word, "told": answer.told}
    said |= answer.more
    line = json.dumps(said).encode("ascii") + b"\n"
    questions = said.get("questions")
    kept = len(questions) if isinstance(questions, list) else 0
    while len(line) > MAX_ANSWER and isinstance(questions, list) and kept:
        kept //= 2
        said |= {"questions": questions[:kept], "more": len(questions) - kept}
        line = json.dumps(said).encode("ascii") + b"\n"
    return line


def read_answer(line: bytes, run: str) -> Answer:
    """The answer of ``run`` in a line without its newline. Raises ``MalformedError``."""
    said = _object(line)
    ok, word, told = said.pop("ok", None), said.pop("word", None), said.pop("told", None)
    if said.pop("v", None) != VERSION or said.pop("run", None) != run:
        raise MalformedError("not an answer of this run")
    if not isinstance(ok, bool) or not isinstance(word, str) or not isinstance(told, str):
        raise MalformedError("not an answer")
    return Answer(ok, word, told, said)


def one_line(text: str, limit: int) -> str:
    """Printable text without line ends, cut to ``limit`` characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except MalformedError:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(value, dict):
        raise MalformedError("not an object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members with one name each reader takes another."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("a member is there twice")
    return found


def _no_constant(word: str) -> object:
    raise MalformedError(f"{word} is not JSON")
