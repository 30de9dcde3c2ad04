"""Escape 53: the same kernel answers x32 and i386 calls, whose numbers mean something else."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")


I386 = """
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
int main(void) {
    char *path = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    strncpy(path, getenv("VICTIM"), 4095);
    long got = 5;
    __asm__ volatile("int $0x80" : "+a"(got) : "b"((long)path), "c"((long)(O_WRONLY | O_TRUNC)), "d"(0L) : "memory");
    return got < 0;
}
"""


@pytest.mark.needs("gcc")
def test_i386(cage: Cage) -> None:
    for tree in (cage.tree, cage.twin_tree):
        (tree / "old.c").write_text(I386)
    cage.both("gcc -O1 -o old old.c")
    script = 'VICTIM="$OUT/victim" ./old; echo $?'
    emulated = cage.bare(script).stdout == b"0\n"
    outcome = cage.run(script)
    assert (cage.outside / "victim").read_text() == "original victim\n"
    assert outcome.stdout == b"159\n", (emulated, outcome.stdout, outcome.stderr)  # 128 + SIGSYS


def test_x32(cage: Cage) -> None:
    code = "sc(0x40000000 | 2, c(VICTIM), os.O_WRONLY | os.O_TRUNC, 0)"
    outcome = cage.run(cage.script(code) + "; echo $?")
    assert outcome.stdout == b"159\n", outcome.stderr
    assert (cage.outside / "victim").read_text() == "original victim\n"
