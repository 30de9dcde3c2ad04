"""Escape 220: threads of one process execute at once. In de_thread the kernel waits until the tracer has reaped the
traced threads, holding the lock that an attach to any other thread of that process waits for (ptrace(2), BUGS)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.needs("gcc")

SOURCE = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static pthread_barrier_t all;
static char path[64] = "/bin/true";
static int race;
static void *fails(void *unused) {
    char *words[] = {"x", NULL};
    execve("./nowhere", words, environ);
    for (;;) pause();
    return unused;
}
static void *works(void *unused) {
    char *words[] = {race ? "cat" : "true", "mark", NULL};
    pthread_barrier_wait(&all);
    execve(path, words, environ);
    for (;;) pause();
    return unused;
}
static void *flips(void *unused) {
    for (int i = 0; i < 300000; i++) {
        strcpy(path, "/bin/true");
        strcpy(path, "/usr/bin/touch");
    }
    return unused;
}
int main(int argc, char **argv) {
    race = argc > 2;
    for (int i = 0; i < atoi(argv[1]); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            close(2);
            for (int k = 0; k < 2; k++) while (pthread_create(&thread, NULL, fails, NULL)) usleep(1000);
            usleep(2000);
            pthread_barrier_init(&all, NULL, 6);
            /* EAGAIN while a sibling is in its execve (copy_fs, in_exec). */
            for (int k = 0; k < 6; k++) while (pthread_create(&thread, NULL, works, NULL)) usleep(1000);
            if (race) flips(NULL);
            else usleep(500000);
            _exit(1);  // nobody was let through
        }
        waitpid(pid, NULL, 0);
    }
    puts("through");
    return 0;
}
"""


def _program(cage: Cage) -> None:
    (cage.tree / "threads.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-w", "-o", "threads", "threads.c", "-lpthread"], cwd=cage.tree, check=True)
    (cage.tree / "nowhere").write_text("#!/nonexistent/interpreter\n")
    (cage.tree / "nowhere").chmod(0o755)


def test_all_at_once(cage: Cage) -> None:
    _program(cage)
    outcome = cage.run('./threads 100; echo x >> "$OUT/victim"', timeout=30)
    assert outcome.stdout == b"through\n"
    cage.refused(outcome, cage.WRITE)


def test_while_the_path_changes(cage: Cage) -> None:
    """Held: whichever thread wins, what runs is what was judged."""
    _program(cage)
    cage.profile('[scope]\ncommands = ["bash", "true", "./threads", "./nowhere"]\n')
    outcome = cage.run("./threads 60 race", timeout=40)
    assert outcome.stdout == b"through\n"
    assert not (cage.tree / "mark").exists()
