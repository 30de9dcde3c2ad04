"""Which programs are told that they will not get what they need."""

from __future__ import annotations

import pytest

from supervisor.commands.rights import lacking


@pytest.mark.parametrize(("given", "words", "part"), [
    (b"/usr/bin/sudo", 2, "sudo gains no rights"),
    (b"su", 1, "su gains no rights"),
    (b"/usr/bin/bwrap", 1, "bwrap gets no new namespaces"),
    (b"/bin/mount", 3, "mount gets no new namespaces"),
])  # fmt: skip
def test_told(given: bytes, words: int, part: str) -> None:
    assert lacking(given, words).startswith(part)


@pytest.mark.parametrize(("given", "words"), [
    (b"/bin/mount", 1), (b"unshare", 1), (b"/usr/bin/sudoku", 2), (b"/opt/su/bin/x", 2), (b"", 0), (b"/bin/\xff", 1),
])  # fmt: skip
def test_not_told(given: bytes, words: int) -> None:
    assert lacking(given, words) == ""
