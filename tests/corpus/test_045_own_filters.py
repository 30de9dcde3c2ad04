"""Escapes 45, 46: the child brings filters and Landlock layers of its own (inner sandboxes do)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
libc.prctl(38, 1, 0, 0, 0)
program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
prog = Prog(1, ctypes.addressof(program))
rules = (ctypes.c_uint64 * 2)(1 << 1, 0)
handled = sc(444, rules, 16, 0)
print(json.dumps({
    "listener": sc(317, 1, 1 << 3, ctypes.byref(prog)),
    "plain": sc(317, 1, 0, ctypes.byref(prog)),
    "landlock": handled,
    "write": attempt(open, VICTIM, "w"),
}))
"""


def test_own_filters(cage: Cage) -> None:
    answers = cage.probe(CODE)
    assert answers == {"listener": "EBUSY", "plain": "ok", "landlock": "ok", "write": answers["write"]}
    assert answers["write"] in ("EACCES", "EPERM", "EROFS")
    assert (cage.outside / "victim").read_text() == "original victim\n"
