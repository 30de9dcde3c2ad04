"""Escapes 54, 55: new namespaces bring capabilities; clone3 hides its flags in memory."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CODE = """
args = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
answers = {"clone3": sc(435, args, 88)}
for name, flag in {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000}.items():
    answers["unshare " + name] = sc(272, flag)
    answers["clone " + name] = sc(56, flag | 17, None, None, None, 0)
answers["setns"] = sc(308, os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
answers["unshare files"] = sc(272, 0x400)
print(json.dumps(answers))
"""


def test_namespaces(cage: Cage) -> None:
    answers = cage.probe(CODE)
    assert answers.pop("clone3") == "ENOSYS"
    assert answers.pop("unshare files") == "ok"
    assert set(answers.values()) == {"EPERM"}, answers
