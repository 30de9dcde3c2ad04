"""Escape 382: a process that another one traces cannot be stopped at its exec by govrun. The tracer swaps the program
that was judged, or keeps the executing group's lock so that whoever attaches waits for ever."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.needs("gcc", "yama")

# The child is traced and executes `path`, which a second process (sharing the page) keeps changing.
SWAP = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
    char *path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *same = "/bin/true", *other = argv[2];
    strcpy(path, same);
    pid_t flipper = fork();
    if (flipper == 0) for (;;) {
        memcpy(path, other, 10); asm volatile("" ::: "memory");
        memcpy(path, same, 10); asm volatile("" ::: "memory");
    }
    for (int i = 0; i < atoi(argv[1]); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char *words[] = {"true", "mark", NULL};
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            for (int k = 0; k < 50; k++) execve(path, words, environ);
            _exit(9);
        }
        int status;
        while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
            ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    }
    kill(flipper, SIGKILL);
    puts("through");
    return 0;
}
"""


def test_swapped_program(cage: Cage) -> None:
    """What runs is judged as soon as it is seen, and before any act of it."""
    for tree in (cage.tree, cage.twin_tree):
        (tree / "swap.c").write_text(SWAP)
        # Ten bytes like /bin/true: the same page, the same length.
        subprocess.run(["cp", "/usr/bin/touch", "./tuch_"], cwd=tree, check=True)
        subprocess.run(["gcc", "-O1", "-w", "-o", "swap", "swap.c"], cwd=tree, check=True)
    cage.profile('[scope]\ndebug = true\ncommands = ["bash", "true", "./swap"]\n')
    assert cage.bare("./swap 300 ././tuch_").stdout == b"through\n"
    assert (cage.twin_tree / "mark").exists(), "the swap does nothing even bare"
    outcome = cage.run("./swap 300 ././tuch_", timeout=60)
    assert outcome.stdout == b"through\n", outcome.stderr
    assert not (cage.tree / "mark").exists()
    refused = cage.refused(outcome, cage.COMMANDS)
    assert any(each["op"].get("stage") == "stop" for each in refused), refused[:2]


LOCK = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static pthread_barrier_t all;
static int out[2], go[2];
static char *many[20002];
static void *works(void *wait) {
    pid_t me = syscall(SYS_gettid);
    char byte;
    write(out[1], &me, sizeof me);
    if (!wait) for (;;) pause();
    pthread_barrier_wait(&all);
    read(go[0], &byte, 1);
    execve("/bin/true", many, environ);
    _exit(9);
}
int main(int argc, char **argv) {
    for (int i = 0; i < 20000; i++) many[i] = "argument that takes its time to be copied";
    many[20000] = NULL;
    for (int i = 0; i < atoi(argv[1]); i++) {
        pipe(out); pipe(go);
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            pthread_barrier_init(&all, NULL, 4);
            pthread_create(&thread, NULL, works, NULL);        /* traced, idle: dies, and stays unreaped */
            usleep(1000);
            pthread_create(&thread, NULL, works, (void *)1);   /* traced, executes */
            usleep(1000);
            for (int k = 0; k < 2; k++) pthread_create(&thread, NULL, works, (void *)1);
            pthread_barrier_wait(&all);
            for (;;) pause();
        }
        pid_t tids[4];
        for (int k = 0; k < 4; k++) read(out[0], &tids[k], sizeof(pid_t));
        for (int k = 0; k < 2; k++) ptrace(PTRACE_SEIZE, tids[k], 0, 0);
        write(go[1], "xxx", 3);
        usleep(30000);                                          /* nobody waits for the traced ones */
        kill(pid, SIGKILL);
        for (int k = 0; k < 2; k++) waitpid(tids[k], NULL, __WALL);
        waitpid(pid, NULL, __WALL);
        close(out[0]); close(out[1]); close(go[0]); close(go[1]);
    }
    puts("through");
    return 0;
}
"""


def test_lock_held_by_a_tracer(cage: Cage) -> None:
    """The supervisor never waits for a lock that a tracer in the run keeps."""
    (cage.tree / "lock.c").write_text(LOCK)
    subprocess.run(["gcc", "-O1", "-w", "-o", "lock", "lock.c", "-lpthread"], cwd=cage.tree, check=True)
    cage.profile("[scope]\ndebug = true\n")
    outcome = cage.run('./lock 60; echo x >> "$OUT/victim"', timeout=60)
    assert outcome.stdout == b"through\n", outcome.stderr
    cage.refused(outcome, cage.WRITE)


HOLD = r"""
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
int main(void) {
    signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); for (;;) pause(); }
        waitpid(pid, NULL, 0);
    }
    puts("held");
    fflush(stdout);
    for (;;) pause();
}
"""


def test_held_processes_end_with_the_run(cage: Cage) -> None:
    (cage.tree / "hold.c").write_text(HOLD)
    subprocess.run(["gcc", "-O1", "-w", "-o", "held-by-381", "hold.c"], cwd=cage.tree, check=True)
    cage.profile('[scope]\ndebug = true\ntimeout = "2s"\n')
    outcome = cage.run("./held-by-381", timeout=40)
    assert outcome.code == 124, outcome.stderr
    assert outcome.stdout == b"held\n"
    assert subprocess.run(["pgrep", "-f", str(cage.tree) + "/held-by-381|^./held-by-381"]).returncode == 1
