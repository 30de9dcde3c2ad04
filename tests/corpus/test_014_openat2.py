"""Escape 14: openat2(2) carries its flags in memory, where a filter cannot see them (sandlock pull request 115)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
how = (ctypes.c_uint64 * 3)(os.O_WRONLY | os.O_TRUNC, 0, {resolve})
print(sc(437, AT, c(VICTIM), ctypes.byref(how), 24))
"""


@pytest.mark.parametrize("resolve", ["0", "0x04"])
def test_openat2(cage: Cage, resolve: str) -> None:
    cage.escape(cage.script(CODE.format(resolve=resolve)), cage.WRITE)


def test_openat2_creates(cage: Cage) -> None:
    code = (
        "how = (ctypes.c_uint64 * 3)(os.O_WRONLY | os.O_CREAT, 0o644, 0); print(sc(437, AT, c(OUT + '/new'), how, 24))"
    )
    cage.escape(cage.script(code), cage.WRITE)
