"""Escape 221: fork and exit faster than a supervisor takes away the dead, so that it never gets to anything else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

# Each lineage is one address space that goes on under a new process id all the time; bounded in time and number.
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile long *beats;
static char *stacks;
static time_t end;
static int sessions, lineage;
static int hop(void *from) {
    long at = (long)from;
    for (;;) {
        beats[lineage * 8] = at;
        if (at > 900000 || ((at & 63) == 0 && time(NULL) >= end)) syscall(SYS_exit_group, 0);
        if (sessions) setsid();
        char *stack = stacks + ((at & 255) + 1) * 8192;
        if (clone(hop, stack, CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, (void *)(at + 1)) > 0) syscall(SYS_exit, 0);
    }
}
int main(int count, char **words) {
    sessions = atoi(words[1]);
    end = time(NULL) + 25;
    int fd = open("beats", O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, 4096)) return 1;
    beats = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (lineage = 0; lineage < 5; lineage++)
        if (fork() == 0) {
            setsid();
            signal(SIGCHLD, SIG_IGN);
            stacks = mmap(0, 260 * 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            hop((void *)1);
        }
    sleep(90);
    return 0;
}
"""


# They take every process id there is: in a namespace with fewer, which nobody else needs.
INSIDE = f"""#!/bin/sh
exec unshare {"" if os.geteuid() == 0 else "-Ur"} -pf --mount-proc sh -c '
    echo 12000 > /proc/sys/kernel/pid_max && {sys.executable} "$@"; code=$?
    pgrep -x hop221 > left
    exit $code' sh "$@"
"""


@pytest.mark.needs("gcc", "pid_max")
@pytest.mark.parametrize("sessions", ["0", "1"])
def test_the_time_out_comes(cage: Cage, sessions: str) -> None:
    folder = cage.tree.parent
    (folder / "hop.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-w", "-o", "hop221", "hop.c"], cwd=folder, check=True)
    (folder / "inside").write_text(INSIDE)
    (folder / "inside").chmod(0o755)
    cage.govrun = dataclasses.replace(cage.govrun, interpreter=str(folder / "inside"))
    cage.profile('[scope]\ntimeout = "2s"\n')
    began = time.monotonic()
    outcome = cage.run(f"{folder}/hop221 {sessions} & sleep 0.5; echo x > other; sleep 40")
    took = time.monotonic() - began
    assert outcome.code == 124, outcome.stderr
    assert (cage.tree / "other").exists(), "nobody else was answered"
    assert took < 20, took
    assert any((cage.tree / "beats").read_bytes())
    assert (cage.tree / "left").read_text() == ""
