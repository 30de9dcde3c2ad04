"""The difference told to an agent: short, exact where it is shown, and harmless on a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.trees.diff import unified

MANY = b"".join(b"line %d\n" % n for n in range(2000))


def test_one_line() -> None:
    new = MANY.replace(b"line 1000\n", b"import requests\nline 1000\n")
    assert unified(b"src/a.py", MANY, new) == (
        "--- src/a.py\n+++ src/a.py\n@@ -1000,2 +1000,3 @@\n line 999\n+import requests\n line 1000\n"
    )


def test_nothing_changed() -> None:
    assert unified(b"f", b"x", b"x") == ""


def test_binary_content_says_sizes() -> None:
    assert unified(b"f", b"\0a", b"text") == "f: binary, 2 -> 4 bytes\n"


def test_last_line_without_its_end() -> None:
    assert unified(b"f", b"a\n", b"a") == "--- f\n+++ f\n@@ -1 +1 @@\n-a\n+a\n\\\\ no newline at end of file\n".replace(
        "\\\\", "\\"
    )


def test_content_that_looks_like_a_header() -> None:
    text = unified(b"f", b"a\n-- \n", b"a\n++ \n")
    assert "--- \n+++ \n" in text


@pytest.mark.parametrize("most", [1, 5, 12])
def test_long_changes_are_cut(most: int) -> None:
    text = unified(b"f", b"", MANY, most)
    assert text.count("\n") == 2 + most + 1
    assert text.endswith(" more lines\n")


def test_a_changed_whole_stays_fast_and_small() -> None:
    other = MANY[::-1]
    text = unified(b"f", MANY * 10, other * 10, 1000)
    assert len(text.encode()) <= 2000


def test_controls_are_escaped() -> None:
    text = unified("a\u202eb\x1b".encode(), b"", "x\x1b[2Jy\u2066\u200b\rz\x07\ttab".encode())
    assert "\x1b" not in text and "\u202e" not in text and "\r" not in text
    assert "x\\x1b[2Jy\\u2066\\u200b\\x0dz\\x07\ttab" in text


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(min_size=1, max_size=300))
def test_always_bounded_and_printable(old: bytes, new: bytes, path: bytes) -> None:
    text = unified(path, old, new)
    assert len(text.encode()) <= 2000
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)
    assert bool(text) == (old != new)
