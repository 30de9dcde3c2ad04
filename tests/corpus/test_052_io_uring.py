"""Escape 52: io_uring opens and connects without a system call that a filter sees."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


def test_io_uring(cage: Cage) -> None:
    code = (
        "area = ctypes.create_string_buffer(256); print(json.dumps([sc(425, 4, area), sc(426, 3, "
        "0, 0, 0, None, 0), sc(427, 3, 0, None, 0)]))"
    )
    assert cage.probe(code) == ["ENOSYS", "ENOSYS", "ENOSYS"]


def test_aio(cage: Cage) -> None:
    code = "context = ctypes.c_ulong(0); print(json.dumps(sc(206, 4, ctypes.byref(context))))"
    assert cage.probe(code, governed=False) == "ok"
    assert cage.probe(code) == "ENOSYS"
