"""Escape 57: calls newer than the filter's author: unknown numbers must fail, known ones be judged."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CALLS = {
    "fchmodat2": "sc(452, AT, c(VICTIM), 0o777, 0)",
    "setxattrat": "sc(463, AT, c(VICTIM), 0, c('user.mark'), (ctypes.c_uint64 * 2)(ctypes.addressof(local), 1), 16)",
    "removexattrat": "sc(466, AT, c(VICTIM), 0, c('user.old'))",
    "file_setattr": "sc(469, AT, c(VICTIM), (ctypes.c_uint64 * 3)(0x80, 0, 0), 24, 0)",
}


@pytest.mark.parametrize("name", CALLS)
def test_new_call(cage: Cage, name: str) -> None:
    """Where the running kernel lacks the call, bare has no effect either: only the governed half is asserted."""
    cage.both('setfattr -n user.old -v 1 "$OUT/victim"')
    code = f"local = ctypes.create_string_buffer(b'1', 1)\nprint({CALLS[name]})"
    known = cage.bare(cage.script(code)).stdout == b"ok\n"
    outcome = cage.escape(cage.script(code), None, bare=False)
    assert outcome.stdout.strip() in (b"EACCES", b"EPERM", b"ENOSYS", b"EOPNOTSUPP"), (known, outcome.stdout)


def test_unknown_numbers(cage: Cage) -> None:
    code = "print(json.dumps(sorted({sc(n, 0, 0, 0, 0, 0, 0) for n in (400, 480, 500, 511, 600, 100000)})))"
    assert cage.probe(code) == ["ENOSYS"]
