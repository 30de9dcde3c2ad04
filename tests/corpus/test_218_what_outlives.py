"""Escape 218: processes that hand themselves on faster than they can be counted end with the run all the same."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int main(void) {
    int fd = open("beats", O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, 4096)) return 1;
    volatile long *beats = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    time_t end = time(NULL) + 15;
    for (int hopper = 0; hopper < 3; hopper++)
        if (fork() == 0)
            for (;;) {
                beats[hopper]++;
                if (time(NULL) > end || syscall(SYS_clone, 0, 0, 0, 0, 0) > 0) syscall(SYS_exit_group, 0);
                setsid();
            }
    usleep(100000);
    return 0;
}
"""


@pytest.mark.needs("gcc")
def test_hoppers(cage: Cage) -> None:
    folder = cage.tree.parent
    (folder / "hop.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-w", "-o", "hop", "hop.c"], cwd=folder, check=True)
    cage.run(str(folder / "hop")).ok()
    beats = (cage.tree / "beats").read_bytes()
    assert any(beats)
    alive = subprocess.run(["pgrep", "-x", "hop"], capture_output=True).stdout.split()
    assert not [pid for pid in alive if _is(int(pid), folder / "hop")]
    assert (cage.tree / "beats").read_bytes() == beats


def _is(pid: int, program: object) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") == str(program)
    except OSError:
        return False
