"""Escape 56: the old twins of the *at calls are still there on x86-64."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


CALLS = {
    "creat": "sc(85, c(OUT + '/new'), 0o644)",
    "open": "sc(2, c(VICTIM), os.O_WRONLY | os.O_TRUNC, 0)",
    "rename": "sc(82, c(VICTIM), c(OUT + '/moved'))",
    "mkdir": "sc(83, c(OUT + '/new'), 0o755)",
    "rmdir": "sc(84, c(OUT + '/empty'))",
    "link": "sc(86, c(VICTIM), c(OUT + '/linked'))",
    "unlink": "sc(87, c(VICTIM))",
    "symlink": "sc(88, c('x'), c(OUT + '/new'))",
    "chmod": "sc(90, c(VICTIM), 0o777)",
    "utime": "sc(132, c(VICTIM), (ctypes.c_long * 2)(1, 1))",
    "utimes": "sc(235, c(VICTIM), (ctypes.c_long * 4)(1, 0, 1, 0))",
    "futimesat": "sc(261, AT, c(VICTIM), (ctypes.c_long * 4)(1, 0, 1, 0))",
    "mknod": "sc(133, c(OUT + '/new'), 0o100644, 0)",
    "mknodat": "sc(259, AT, c(OUT + '/new'), 0o010644, 0)",
    "fchmodat": "sc(268, AT, c(VICTIM), 0o777)",
    "lsetxattr": "sc(189, c(VICTIM), c('user.mark'), c('1'), 1, 0)",
}


@pytest.mark.parametrize("name", CALLS)
def test_legacy_call(cage: Cage, name: str) -> None:
    cage.both('mkdir -p "$OUT/empty"')
    cage.escape(cage.script(f"print({CALLS[name]})"), cage.WRITE)
