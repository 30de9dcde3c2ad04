"""Inspectors and removal are total: any bytes, and real documents with damage."""

import functools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.inspection import kinds, wire
from supervisor.inspection.json_entries import json_entries
from supervisor.inspection.remove import without
from supervisor.inspection.toml_entries import toml_data, toml_entries

KINDS = sorted(kinds.SOURCES | kinds.MANIFESTS | kinds.LOCKS | {kinds.SCRIPT})
relaxed = functools.partial(settings, suppress_health_check=list(HealthCheck), deadline=None)
JSON = (
    b'{"name": "x", "dependencies": {"a": "^1", "b": "npm:c@2"}, "overrides": {"d": {".": "1"}},\n "packages": '
    b'{"node_modules/e": {"version": "1"}, "f": ["f@1", {}]}, "default": {"g": {"version": "==1"}},\n'
    b' "cells": [{"cell_type": "code", "source": ["import h\\n", "import i"]}]}\n'
)
TOML = (
    b'[project]\nname = "x"\ndependencies = [\n  "a>=1", # c\n  \'b\',\n]\n'
    b'[tool.poetry.dependencies]\nc = {version = "1"}\n'
    b'[packages]\nd = "*"\n\n[[package]]\nname = "e"\nversion = "1"\nsource = { git = """f""" }\n'
)
YAML = (
    b"lockfileVersion: 5\ndependencies:\n- a=1\n- pip:\n  - 'b'\n"
    b'packages:\n  c@1.0.0:\n    name: "d"\n  /e/1.0.0: {}\n'
)
LINES = (
    b"# c\na>=1 \\\n  --hash=x\n-e git+https://h/b#egg=c\n[options]\ninstall_requires =\n  d\n\ne@^1:\n  version 1\n"
)
SOURCE = (
    b"import a\nfrom b import c\nx = __import__('d' 'e')\nconst y = require(`f`); "
    b"export * from 'g'\nif TYPE_CHECKING:\n  import h\n"
)
SAMPLES = [JSON, TOML, YAML, LINES, SOURCE]


def check(inspect, kind, content):
    found = inspect(kind, content, b"a/setup.py")
    assert not found.refusal.startswith("the inspector failed"), found.refusal
    assert wire.read_answer(wire.answer(1, found)[wire.HEAD.size :]) == found
    for requirement in found.requirements[:3]:
        result = without(kind, content, [requirement])
        if result is not None:
            assert len(result) < len(content)
            assert len(inspect(kind, result).requirements) < len(found.requirements)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes(inspect, kind):
    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
    @relaxed(max_examples=60)
    def holds(content):
        check(inspect, kind, content)

    holds()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"?", b"dependencies:\n- ?", b"- pip:\n  - ", b"dependencies:", b"a: &x"])
def test_values_that_are_left_out_at_the_end(inspect, kind, content):
    check(inspect, kind, content)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_documents(inspect, kind):
    @given(
        st.sampled_from(SAMPLES),
        st.lists(
            st.tuples(
                st.integers(0, 400),
                st.integers(0, 12),
                st.sampled_from([b"", b"\\", b'"', b"[", b"}", b"\n", b"\xff", b"'", b"\\ud800"]),
            ),
            max_size=4,
        ),
    )
    @relaxed(max_examples=100)
    def holds(content, damages):
        for at, length, instead in damages:
            content = content[:at] + instead + content[at + length :]
        check(inspect, kind, content)

    holds()


SCALARS = st.text(max_size=8) | st.booleans() | st.integers() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def strings(value, path=()):
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in strings(inner, (*path, key))]
    if isinstance(value, list):
        return [each for index, inner in enumerate(value) for each in strings(inner, (*path, index))]
    return [(path, value)] if isinstance(value, str) else []


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
@relaxed(max_examples=200)
def test_json_is_read_as_json_does(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = json_entries(text)
    told = sorted(repr((each.path, each.text)) for each in found if each.text is not None)
    assert told == sorted(repr(each) for each in strings(value) if each[0])
    for each in found:
        if each.text is not None and isinstance(each.path[-1], int):
            assert json.loads(text[each.start : each.end]) == each.text


PIECES = [
    "a",
    "b",
    ".",
    "=",
    '"',
    "'",
    '"""',
    "'''",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    "\n",
    " ",
    "#",
    "\\n",
    "\\u0061",
    "1",
    "x = ",
    "[t]\n",
    "\\\n",
    "\r\n",
    "true",
    '"s"',
    "= [",
]


@given(st.lists(st.sampled_from(PIECES), max_size=16))
@relaxed(max_examples=1500)
def test_toml_is_read_as_tomllib_does(pieces):
    text = "".join(pieces)
    found = toml_entries(text)
    try:
        data = toml_data(text)
    except ValueError:
        return
    assert sorted(repr((each.path, each.text)) for each in found if each.text is not None) == sorted(
        map(repr, strings(data))
    )
