"""The line index agrees with where keys really stand."""

from __future__ import annotations

import json
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.profile.lines import line_index

TRICKY = '''\
# [comment]
title = """
[not.a.header]
x = 1
"""  # done
"quoted # key" = 'literal # "text'
esc = "a \\" [b] # c"
many = [ # first
  1,
  [2, 3],

  { a = "]" , b = [4,
    5] },
]
dotted.key . "x" = 1

[table] # c
k = 1
[[array]]
k = 2
[[array]]
k = 3
[array.inner]
k = 4
[[array.deep]]
k = 5
last = "x"'''


def test_tricky_document() -> None:
    tomllib.loads(TRICKY)
    found = line_index(TRICKY)
    expected = {
        ("title",): 2,
        ("quoted # key",): 6,
        ("esc",): 7,
        ("many",): 8,
        ("many", 0): 9,
        ("many", 1): 10,
        ("many", 1, 1): 10,
        ("many", 2): 12,
        ("many", 2, "b"): 12,
        ("many", 2, "b", 1): 13,
        ("dotted", "key", "x"): 15,
        ("table",): 17,
        ("table", "k"): 18,
        ("array", 0): 19,
        ("array", 0, "k"): 20,
        ("array", 1, "k"): 22,
        ("array", 1, "inner", "k"): 24,
        ("array", 1, "deep", 0, "k"): 26,
        ("array", 1, "deep", 0, "last"): 27,
    }
    assert {path: found.get(path) for path in expected} == expected


def test_quotes_at_the_end_of_long_strings() -> None:
    text = 'a = """x"""""\nb = 1\nc = """\\\n  \\"" """\nd = 2\n'
    tomllib.loads(text)
    assert line_index(text) == {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 5}


def test_windows_line_ends() -> None:
    text = "a = 1\r\n[t]\r\nb = [\r\n1,\r\n2]\r\n"
    assert line_index(text)["t", "b", 1] == 5


def test_empty() -> None:
    assert line_index("") == line_index("\n\n# x") == {}


VALUES = st.recursive(
    st.one_of(
        st.integers(), st.booleans(), st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab#]= ", max_size=3), inner, max_size=2),
    max_leaves=6,
)


def inline(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[\n# ] }\n" + "".join(f"{inline(item)},\n" for item in value) + "]"
    return json.dumps(value).replace("\\u007f", "x").replace("\x7f", "x")


@settings(deadline=None, database=None)
@given(st.lists(st.tuples(st.text('ab"#[]. ', max_size=4), VALUES), max_size=6, unique_by=lambda pair: pair[0]))
def test_generated_documents(pairs: list[tuple[str, object]]) -> None:
    text, expected = "", {}
    for table in ("", "[t]\n", "[[l]]\n", "[[l]]\n"):
        prefix = {"": (), "[t]\n": ("t",)}.get(table, ("l", text.count("[[l]]\n")))
        if table:
            text += table
        for key, value in pairs:
            expected[(*prefix, key)] = text.count("\n") + 1
            text += f"{json.dumps(key)} = {inline(value)}\n"
    tomllib.loads(text)
    found = line_index(text)
    assert {path: found.get(path) for path in expected} == expected


@settings(deadline=None, database=None, max_examples=300)
@given(st.text("ab=[]{}.,#\"'\\\n \r\t\x00"))
def test_any_text_ends(text: str) -> None:
    found = line_index(text)
    assert all(line >= 1 for line in found.values())
