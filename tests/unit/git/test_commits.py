"""Raw commits: who made them, from what, and what their last paragraph says; git is asked for the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from supervisor.git.commits import facts, header, trailers

HEAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent %s\nparent %s\n" % (b"1" * 40, b"2" * 40)
MESSAGES = [
    "subject",
    "subject\n\nSigned-off-by: a <a@b>",
    "Signed-off-by: a <a@b>",
    "subject\n\nbody\nSigned-off-by: a",
    "subject\n\nbody\n\nSigned-off-by: a\nAssisted-by: b",
    "subject\n\nbody: it is\n\nmore text\nand more\nand more\nand more\nand more\nSigned-off-by: a",
    "subject\n\nSigned-off-by: a\nprose\nAssisted-by: b",
    "subject\n\nKey: a\nprose\nOther: b",
    "subject\n\nKey: one\n two\n three\nOther: b",
    "subject\n\nKey:\nOther : b",
    "subject\n\nhttps://example.com/x",
    "subject\n\nSigned-off-by: a\n\nbut then prose",
    "subject\n\nSigned-off-by: a\n\n\n",
    "subject\n \nSigned-off-by: a",
    "subject\n\nKey: a\n(cherry picked from commit 1234)",
    "subject\r\n\r\nKey: a\r\n",
    "",
    "\n\n\nsubject\n\nKey: a",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_trailers_are_those_that_git_finds(tmp_path: Path, message: str) -> None:
    """``--no-divider``, as git log does it."""
    command = ["git", "interpret-trailers", "--parse", "--no-divider"]
    done = subprocess.run(command, input=message.encode(), capture_output=True, check=True, cwd=tmp_path)
    expected = [tuple(part.strip() for part in line.split(":", 1)) for line in done.stdout.decode().splitlines()]
    assert trailers(message) == expected


@pytest.mark.parametrize(
    ("line", "author", "address"),
    [
        (b"author Ada <ada@example.com> 1700000000 +0100", "Ada <ada@example.com>", "ada@example.com"),
        (b"author  <> 0 +0000", "<>", ""),
        (b"author <a@b> 1 +0000", "<a@b>", "a@b"),
        (b"author \xc3\x89va <e@x> 1 +0000", "Éva <e@x>", "e@x"),
        (b"author \xff <e@x> 1 +0000", "\\xff <e@x>", "e@x"),
        (b"author nobody", "", ""),
        (b"author a <x@y> <e@x> 1 +0000", "a <x@y>", "x@y"),
        (b"gpgsig author X <x@x> 1 +0000", "", ""),
    ],
)
def test_authors(line: bytes, author: str, address: str) -> None:
    found = facts("3" * 40, HEAD + line + b"\ncommitter C <c@x> 5 +0000\n\ntext\n\nKey: a\0\nOther: b\n")
    assert (found.author, found.address) == (author, address)
    assert found.trailers == (("Key", "a"),)


FINE = b"author A <a@x> 1 +0000\ncommitter C <c@x> 5 +0000\n"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (FINE, ""),
        (FINE + b"encoding utf-8\n", ""),
        (FINE + b"encoding ISO-8859-1\ngpgsig -----BEGIN\n author X <x@x>\n", ""),
        (FINE + b"encoding UTF-7\n", "its encoding is UTF-7, in which names can be written anew"),
        (FINE + b"encoding utf-8\nencoding UTF-16\n", "its encoding is UTF-16, in which names can be written anew"),
        (FINE + b"encoding \n", "its encoding is , in which names can be written anew"),
        (FINE + b"author B <b@x> 1 +0000\n", "it has 2 author lines"),
        (FINE + b"committer B <b@x> 1 +0000\n", "it has 2 committer lines"),
        (FINE + b"tree " + b"1" * 40 + b"\n", "it has 2 tree lines"),
        (b"committer C <c@x> 5 +0000\n", "it has no author line"),
        (b"author A <a@x> 1 +0000\n", "it has no committer line"),
        (b"author A\0 <a@x> 1 +0000\ncommitter C <c@x> 5 +0000\n", "its header has a zero byte"),
    ],
)
def test_authors_that_cannot_be_told(lines: bytes, why: str) -> None:
    assert facts("3" * 40, HEAD + lines + b"\nauthor of the text\n").unclear == why


def test_header() -> None:
    found = header(HEAD + b"author A <a@x> 4 +0000\ncommitter C <c@x> 1700000000 +0000\n\nparent 3\n")
    assert found == (("1" * 40, "2" * 40), 1_700_000_000)
    assert header(b"committer C <c@x> never\n\nx").date == 0
    assert header(b"") == ((), 0)
