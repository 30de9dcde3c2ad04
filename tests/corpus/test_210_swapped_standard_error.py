"""Escape 210: a thread swaps standard error while a reason is being written to it, for a file that the run may only
read, or for a pipe that is full."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.needs("gcc")

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static int one, other;
static volatile int stop;
static void *swap(void *unused) {
    (void)unused;
    while (!stop) {
        dup2(one, 2);
        for (volatile int i = 0; i < 250; i++);
        dup2(other, 2);
        for (volatile int i = 0; i < 250; i++);
    }
    return NULL;
}
int main(int argc, char **argv) {
    int ends[2], full = !strcmp(argv[1], "full");
    char name[64], bytes[4096] = {0};
    (void)argc;
    if (pipe(ends)) return 2;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (full && write(ends[1], bytes, sizeof bytes) > 0);
    while (full && write(ends[1], bytes, 1) > 0);
    if (full) fcntl(ends[1], F_SETFL, 0);
    else fcntl(ends[0], F_SETFL, O_NONBLOCK);
    one = ends[1];
    other = full ? open(argv[2], O_RDWR | O_CREAT, 0600) : open(argv[2], O_RDONLY);
    if (other < 0) return 3;
    pthread_t thread;
    pthread_create(&thread, NULL, swap, NULL);
    time_t end = time(NULL) + 4;
    for (int i = 0; i < 4000 && time(NULL) < end; i++) {
        snprintf(name, sizeof name, "/govrun-test-%d-%d", (int)getpid(), i);
        open(name, O_WRONLY | O_CREAT, 0600);
        while (!full && read(ends[0], bytes, sizeof bytes) > 0);
    }
    stop = 1;
    pthread_join(thread, NULL);
    if (full) unlink(argv[2]);
    puts("through");
    return 0;
}
"""


def _racer(folder: Path) -> Path:
    (folder / "racer.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-w", "-o", "racer", "racer.c", "-lpthread"], cwd=folder, check=True)
    return folder / "racer"


@pytest.mark.parametrize("name", [".envrc", ".git/config", ".git/hooks/pre-push", "govrun.toml"])
def test_file_that_is_only_read(cage: Cage, name: str) -> None:
    cage.both("mkdir -p .git/hooks; echo true > .envrc; cp evil .git/hooks/pre-push")
    cage.profile("")
    before = (cage.tree / name).read_bytes()
    outcome = cage.run(f"{_racer(cage.tree.parent)} read {name}", timeout=30)
    assert (cage.tree / name).read_bytes() == before
    assert outcome.stdout == b"through\n"
    cage.refused(outcome, cage.WRITE, told=False)


def test_pipe_that_nobody_reads(cage: Cage) -> None:
    """The supervisor must not wait where it meant to write to a file."""
    place = f"/tmp/govrun-test-{cage.tree.parent.name}"
    outcome = cage.run(f'{_racer(cage.tree.parent)} full {place}; rm -f {place}; echo x >> "$OUT/victim"', timeout=30)
    assert outcome.stdout == b"through\n"
    cage.refused(outcome, cage.WRITE, told=False)
    assert (cage.outside / "victim").read_text() == "original victim\n"
