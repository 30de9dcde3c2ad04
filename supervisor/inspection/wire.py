"""Questions to the worker and its answers, as frames. The worker reads what a run wrote, so its answers are checked
field by field: the worst that a taken-over worker can do is to answer wrongly."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

from supervisor.inspection.looked import Look, Looked
from supervisor.vocabulary.content import (
    Findings,
    Import,
    Reference,
    Requirement,
    Scalar,
    Secret,
    Statement,
    Value,
)

HEAD = struct.Struct("!II")  # bytes that follow the head, ticket
_QUESTION = struct.Struct("!BHII")  # what is asked, lengths of kind, path and list of requirements; the content follows
MOST_ANSWER = 16 << 20
MOST_QUESTION = (64 << 20) + (1 << 20)
INSPECT, WITHOUT, TRACED = 1, 2, 3
_LONGEST = 2000  # characters of one string
_LONGEST_PATH = 8192
_LINES = 1 << 31
_ECOSYSTEMS = frozenset(("pypi", "npm", "cargo", "go", "maven", "rubygems"))


class Garbled(ValueError):
    """A frame that is not what it should be."""


class Traced(NamedTuple):
    """``looked``: what the findings rest on besides the content; None when that is not known."""

    found: Findings
    looked: Looked | None


def question(ticket: int, asked: int, kind: str, path: bytes, content: bytes, drop: Collection[Requirement]) -> bytes:
    """A frame. ``Garbled`` when it would be too large."""
    import json

    told = kind.encode("utf-8", "replace")
    listed = json.dumps([list(each) for each in drop]).encode("ascii") if drop else b""
    size = _QUESTION.size + len(told) + len(path) + len(listed) + len(content)
    if size > MOST_QUESTION or len(told) > 0xFFFF:
        raise Garbled("the question is too large")
    parts = (HEAD.pack(size, ticket), _QUESTION.pack(asked, len(told), len(path), len(listed)))
    return b"".join((*parts, told, path, listed, content))


def read_question(body: bytes) -> tuple[int, str, bytes, list[Requirement], bytes]:
    """(what is asked, kind, path, requirements, content)."""
    import json

    asked, kind, path, listed = _QUESTION.unpack_from(body)
    at = _QUESTION.size
    parts: list[bytes] = []
    for size in (kind, path, listed):
        parts.append(body[at : at + size])
        at += size
    drop = [_requirement(each) for each in json.loads(parts[2])] if parts[2] else []
    return asked, parts[0].decode("utf-8", "replace"), parts[1], drop, body[at:]


def answer(ticket: int, found: Findings | bytes | None) -> bytes:
    """A frame: ``F`` and JSON, ``C`` and content, or ``N``. Findings that would be too large become a refusal."""
    if isinstance(found, bytes):
        body = b"C" + found
    elif found is None:
        body = b"N"
    else:
        body = _findings(found)
        if len(body) > MOST_ANSWER:
            refusal = f"too much is found: {len(found.imports)} imports and {len(found.requirements)} requirements"
            body = _findings(Findings(refusal=refusal))
    return HEAD.pack(len(body), ticket) + body


def traced(ticket: int, found: Findings, looked: Looked, known: set[int]) -> bytes:
    """A frame: ``L`` and JSON, or one without what was looked at. ``known``: groups that were sent before, and now."""
    import json

    new = [group for group in looked.groups if group[0] not in known]
    numbers = [number for number, _ in looked.groups]
    body = b"L" + json.dumps((_members(found), looked.looks, new, numbers)).encode("ascii")
    if len(body) > MOST_ANSWER:
        return answer(ticket, found)
    known.update(numbers)
    return HEAD.pack(len(body), ticket) + body


def _findings(found: Findings) -> bytes:
    import json

    return b"F" + json.dumps(_members(found)).encode("ascii")


def _members(found: Findings) -> tuple[object, ...]:
    return (*found[:4], found.references, found.values, found.secrets, found.statements)


def read_answer(body: bytes) -> Findings | bytes | None:
    """``Garbled`` for anything that ``answer`` does not make."""
    if body[:1] == b"C":
        return body[1:]
    if body == b"N":
        return None
    if body[:1] != b"F":
        raise Garbled("an answer of no kind")
    return findings(_json(body))


def read_traced(body: bytes, groups: dict[int, tuple[Look, ...]]) -> Traced:
    """What ``traced`` makes. ``groups``: those that the same worker has sent; new ones are added. ``Garbled``."""
    if body[:1] != b"L":
        found = read_answer(body)
        if not isinstance(found, Findings):
            raise Garbled("an answer to another question")
        return Traced(found, None)
    told, looks, new, numbers = _items(_json(body), 4)
    for each in _items(new):
        number, group = _items(each, 2)
        groups[_line(number)] = _looks(group)
    known = [_line(each) for each in _items(numbers)]
    if not groups.keys() >= set(known):
        raise Garbled("an answer that rests on nothing")
    return Traced(findings(told), Looked(_looks(looks), tuple((each, groups[each]) for each in known)))


def _json(body: bytes) -> object:
    import json

    try:
        return json.loads(body[1:])
    except (ValueError, RecursionError) as error:
        raise Garbled("an answer that is no JSON") from error


def _looks(value: object) -> tuple[Look, ...]:
    return tuple(Look(*map(_path, _items(each, 3))) for each in _items(value))


def _path(value: object) -> str:
    if isinstance(value, str) and len(value) <= _LONGEST_PATH:
        return value
    raise Garbled("an answer that rests on what is no look")


def findings(value: object) -> Findings:
    """Of the decoded JSON. ``Garbled`` for anything else."""
    imports, requirements, pending, refusal, references, values, secrets, statements = _items(value, 8)
    return Findings(
        tuple(_import(each) for each in _items(imports)),
        tuple(_requirement(each) for each in _items(requirements)),
        _text(pending),
        _text(refusal),
        references=tuple(_reference(each) for each in _items(references)),
        values=tuple(_value(each) for each in _items(values)),
        secrets=tuple(_secret(each) for each in _items(secrets)),
        statements=tuple(_statement(each) for each in _items(statements)),
    )


def _items(value: object, length: int | None = None) -> Sequence[object]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise Garbled("an answer with other members")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise Garbled("an answer without a text where one belongs")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Garbled("an answer with half a character") from error
    return value


def _line(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LINES:
        raise Garbled("an answer without a line number where one belongs")
    return value


def _ecosystem(value: object) -> str:
    if isinstance(value, str) and value in _ECOSYSTEMS:
        return value
    raise Garbled("an answer with another ecosystem")


def _import(value: object) -> Import:
    ecosystem, module, line = _items(value, 3)
    return Import(_ecosystem(ecosystem), _text(module), _line(line))


def _requirement(value: object) -> Requirement:
    ecosystem, name, versions, line, place, locked, origin = _items(value, 7)
    told = _truth(locked)
    return Requirement(
        _ecosystem(ecosystem), _text(name), _text(versions), _line(line), _text(place), told, _text(origin)
    )


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise Garbled("an answer without a truth value where one belongs")
    return value


def _reference(value: object) -> Reference:
    to, name, line, external = _items(value, 4)
    return Reference(_text(to), _text(name), _line(line), _truth(external))


def _value(value: object) -> Value:
    selection, at, line, fields, known, unsure = _items(value, 6)
    members = []
    for member in _items(fields):
        name, values = _items(member, 2)
        members.append((_text(name), tuple(_scalar(each) for each in _items(values))))
    names = tuple(_text(each) for each in _items(unsure))
    return Value(_text(selection), _text(at), _line(line), tuple(members), _truth(known), names)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(value)


def _secret(value: object) -> Secret:
    pattern, digest, line = _items(value, 3)
    return Secret(_text(pattern), _text(digest), _line(line))


def _statement(value: object) -> Statement:
    effects, objects, filtered, shape = _items(value, 4)
    return Statement(
        tuple(_text(each) for each in _items(effects)),
        tuple(_text(each) for each in _items(objects)),
        _truth(filtered),
        _text(shape),
    )
