"""Saved plans: what they do, what they make, and what is no plan."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

from supervisor.inspection import reading
from supervisor.vocabulary.applied import BEFORE, PLANNED, WORKSPACE
from supervisor.vocabulary.content import Selection, Wanted
from tests import plan_kit as kit

PLANS = Path(__file__).parents[2] / "fixtures" / "plans"  # by Terraform 1.0.3, of a provider that makes nothing
OPEN = {"type": "ingress", "cidr_blocks": ["0.0.0.0/0"], "description": None, "id": kit.UNKNOWN}


@pytest.fixture(scope="module")
def read(parsers):
    def ask(content, at="", *fields):
        selections = (Selection("r", ("*.tf",), (), at, fields),) if at else ()
        return reading.inspect("applied:plan", b"/w/p", content, reading.Tools(parsers, Wanted(selections=selections)))

    return ask


def told(found, selection):
    assert not found.refusal, found.refusal
    return [
        (each.at, *(one for _, values in each.fields for one in values))
        for each in found.values
        if each.selection == selection
    ]


@pytest.mark.parametrize(
    ("name", "planned"),
    [
        ("create", []),
        ("nothing", []),
        ("replace", [("null_resource.a", "delete, then create")]),
        ("destroy", [("null_resource.a", "delete"), *[('module.inner["x.y"].null_resource.b', "delete")] * 2]),
    ],
)
def test_plans_of_the_real_program(read, name, planned) -> None:
    content = (PLANS / f"{name}.plan").read_bytes()
    found = read(content, "resource.null_resource.*.triggers.range")
    assert told(found, PLANNED) == planned
    assert told(found, WORKSPACE) == [("", "default")]
    made = told(found, "r")
    if name == "create":
        inner = ('module.inner["x.y"].resource.null_resource.b.triggers.range', "10.0.0.0/8")
        assert made == [inner, inner, ("resource.null_resource.a.triggers.range", "0.0.0.0/0")]
    elif name == "replace":
        assert made == told(found, BEFORE + "r") == [("resource.null_resource.a.triggers.range", "0.0.0.0/0")]
    else:
        assert made == []


@pytest.mark.parametrize(
    ("action", "word"),
    [
        *[(5, "delete"), (6, "delete, then create"), (7, "create, then delete"), (8, "forget")],
        *[(9, "create, then forget"), (4, "unknown"), (10, "unknown"), (1 << 40, "unknown")],
    ],
)
def test_what_is_not_harmless_is_told(read, action, word) -> None:
    found = read(kit.plan(kit.change("a_b.c", 0, {}), kit.change("a_b.d[0]", action, {}, {})))
    assert told(found, PLANNED) == [("a_b.d[0]", word)]


@pytest.mark.parametrize("action", [0, 1, 2, 3])
def test_what_is_harmless_is_not(read, action) -> None:
    assert told(read(kit.plan(kit.change("data.a_b.c", action, {}, {}))), PLANNED) == []


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("aws_x.y", "resource.aws_x.y"),
        ('aws_x.y["a.b\\"]."]', "resource.aws_x.y"),
        ("module.m.module.n[3].aws_x.y", "module.m.module.n[3].resource.aws_x.y"),
        ("data.aws_x.y", "data.aws_x.y"),
    ],
)
def test_where_a_resource_stands(read, address, place) -> None:
    found = read(kit.plan(kit.change(address, 1, {"open": True})), "**.aws_x.*", "open")
    assert told(found, "r") == [(place, True)]


def test_blocks_numbers_types_and_what_is_not_set(read) -> None:
    value = {
        "ingress": [{"cidr_blocks": ["0.0.0.0/0", "::/0"], "port": -400}],
        "size": 1.5,
        "long": "x" * 40,
        "any": [b'"string"', "inner"],
        "none": None,
        "policy": '{"Statement": [{"Effect": "Allow"}]}',
    }
    content = kit.plan(kit.change("a_b.c", 1, value))
    assert told(read(content, "resource.a_b.*.ingress", "cidr_blocks", "port"), "r") == [
        ("resource.a_b.c.ingress", "0.0.0.0/0", "::/0", -400)
    ]
    fields = ("size", "long", "any", "none")
    assert told(read(content, "resource.a_b.*", *fields), "r") == [("resource.a_b.c", 1.5, "x" * 40, "inner")]
    assert told(read(content, "resource.a_b.*.policy.Statement[*].Effect"), "r")[0][1] == "Allow"


def test_what_was_there_before_an_update(read) -> None:
    content = kit.plan(kit.change("a_b.c", 3, {"open": True}, {"open": False}))
    found = read(content, "resource.a_b.*", "open")
    assert (told(found, "r")[0][1], told(found, BEFORE + "r")[0][1]) == (False, True)


# ------------------------------------------------------------------------------------------------------- hostile ones


def _zip(*members: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as file:
        for name, body in members:
            file.writestr(name, body)
    return out.getvalue()


def _made_of(*parts: bytes) -> bytes:
    """A plan of one change that has these fields."""
    return kit.archive(kit.message(kit.piece(13, "a.b") + kit.piece(9, b"".join(parts))))


def _valued(value: bytes) -> bytes:
    return _made_of(kit.number(1, 1), kit.piece(2, kit.piece(1, value)))


GOOD = kit.plan(kit.change("a_b.c", 1, OPEN))
TWICE = kit.change("a_b.c", 5, {}) + kit.piece(9, kit.number(1, 1))
HOSTILE = {
    "empty": b"",
    "no archive": b"tfplan" * 100,
    "encrypted by tofu": b'{"meta":{"key_provider":"x"},"encrypted_data":"AAAA"}' * 3,
    "kept elsewhere": b'{"remote_plan_format":1,"run_id":"run-x","hostname":"example.com"}',
    "cut off": GOOD[:-40],
    "something before": b"#!/bin/sh\n" + GOOD,
    "something behind": GOOD + b"\0" * 30,
    "a comment that holds an end": GOOD[:-2] + struct.pack("<H", 22) + GOOD[-22:],
    "another name": _zip(("TFPLAN", kit.message())),
    "two of the name": _zip(("tfplan", kit.message()), ("tfplam", kit.message())).replace(b"tfplam", b"tfplan"),
    "an unusual packing": _zip(("tfplan", kit.message()), kind=zipfile.ZIP_LZMA),
    "a bomb": lambda: _zip(("tfplan", b"\0" * (70 << 20))),
    "another version": kit.archive(kit.message(version=4)),
    "no version": kit.archive(kit.piece(3, kit.change("a.b", 1, {}))),
    "two versions": kit.archive(kit.message(version=4) + kit.number(1, 3)),
    "a change twice": kit.archive(kit.message(TWICE)),
    "an action twice": _made_of(kit.number(1, 5), kit.number(1, 1)),
    "an action in text": _made_of(kit.piece(1, "x")),
    "a group": kit.archive(kit.message() + bytes((3 << 3 | 3,))),
    "a field without number": kit.archive(kit.message() + b"\0\0"),
    "a long number": kit.archive(kit.message() + b"\x08" + b"\xff" * 10 + b"\1"),
    "a length beyond the end": kit.archive(kit.message() + kit.piece(3, b"x" * 9)[:-1]),
    "no address": kit.archive(kit.message(kit.piece(9, kit.number(1, 1)))),
    "an address of no form": kit.archive(kit.message(kit.change("a", 1, {}))),
    "made of nothing": kit.archive(kit.message(kit.change("a.b", 1))),
    "a value in another format": _made_of(kit.number(1, 1), kit.piece(2, kit.piece(2, "x"))),
    "half a value": _valued(b"\xdd\xff\xff\xff\xff"),
    "a deep value": _valued(b"\x91" * 5000 + b"\xc0"),
    "a reserved code": _valued(b"\xc1"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_plan_is_refused(read, name) -> None:
    content = HOSTILE[name]
    assert read(content() if callable(content) else content, "resource.*.*", "type").refusal


def test_a_good_one_beside_them(read) -> None:
    assert told(read(GOOD, "resource.*.*", "type", "cidr_blocks"), "r") == [("resource.a_b.c", "ingress", "0.0.0.0/0")]


def test_no_change_of_a_byte_passes_for_harmless(read) -> None:
    """A plan that destroys is refused or destroys, whichever byte of the archive is another: its sum would be wrong."""
    rng, content = random.Random(7), kit.plan(kit.change("a_b.c", 5, {"x": "y" * 50}))
    for _ in range(400):
        spoilt = bytearray(content)
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        found = read(bytes(spoilt))
        assert found.refusal or told(found, PLANNED)
