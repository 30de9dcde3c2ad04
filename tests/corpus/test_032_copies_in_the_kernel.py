"""Escape 32: copy_file_range, sendfile, splice and reflinks move bytes without write(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize(
    "how",
    ["os.copy_file_range(src, dst, 5)", "os.sendfile(dst, src, 0, 5)", "fcntl.ioctl(dst, 0x40049409, src)"],
)
def test_copies_in_the_kernel(cage: Cage, how: str) -> None:
    code = f"src = os.open('evil', os.O_RDONLY)\ndst = os.open(VICTIM, os.O_WRONLY | os.O_TRUNC)\n{how}"
    cage.escape(cage.script(code), cage.WRITE)


@pytest.mark.parametrize("how", ["os.copy_file_range(src, dst, 5)", "os.sendfile(dst, src, 0, 5)"])
def test_into_a_read_only_descriptor(cage: Cage, how: str) -> None:
    code = f"src = os.open('evil', os.O_RDONLY)\ndst = os.open(VICTIM, os.O_RDONLY)\nprint(attempt(lambda: {how}))"
    outcome = cage.escape(cage.script(code), None, bare=False)
    assert outcome.stdout == b"EBADF\n"
