/* Starts BASE/tree0/bin/good ROUNDS times while the path, or argv[1], is flipped to .../evil.
 *
 * usage: execracer WHAT HOW ROUNDS BASE
 * WHAT  path | argv    which string flips ("good" and "evil" are the last component, and argv[1])
 * HOW   threads        the child has a second thread that flips, and execs itself
 *       vfork          a vfork child execs, a thread of the parent flips
 *       spawn          the same by posix_spawn
 *       shared         a forked child execs strings in a MAP_SHARED page that a third process flips
 * Prints "good=N evil=N refused=N killed=N other=N".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    char path[4096];
    char arg[16];
    atomic_int round, stop;
} *s;

static char *path, *flipped;
static uint32_t good, evil; /* the four bytes of either word */

static void wait_us(double us) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    do clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3 < us);
}

static void put4(uint32_t v) { *(volatile uint32_t *)flipped = v; }

/* Every fourth round flips blindly; the others store once, T us after the start, T sweeping 0..400. */
static void *flip(void *once) {
    int last = 0;
    while (!atomic_load(&s->stop)) {
        int r = atomic_load(&s->round);
        if (r == last) { wait_us(1); continue; }
        if (r % 4 == 0) {
            put4(evil);
            wait_us(3 + r % 11);
            put4(good);
            wait_us(3 + r % 13);
        } else {
            last = r;
            wait_us((r * 7) % 400);
            put4(evil);
            if (once) return 0;
        }
    }
    return 0;
}

static int finish(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int once(const char *how, char **av, char **ev) {
    pid_t child;
    if (!strcmp(how, "spawn")) {
        int error = posix_spawn(&child, path, 0, 0, av, ev);
        return error == EACCES || error == EPERM ? 77 : error ? 78 : finish(child);
    }
    if (!strcmp(how, "vfork")) {
        child = vfork();
        if (!child) {
            execve(path, av, ev);
            _exit(errno == EACCES || errno == EPERM ? 77 : 78);
        }
        return finish(child);
    }
    child = fork();
    if (!child) {
        pthread_t sibling;
        if (!strcmp(how, "threads") && pthread_create(&sibling, 0, flip, "once")) _exit(79);
        execve(path, av, ev);
        _exit(errno == EACCES || errno == EPERM ? 77 : 78);
    }
    return finish(child);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const char *what = argv[1], *how = argv[2];
    int rounds = atoi(argv[3]), n_good = 0, n_evil = 0, refused = 0, killed = 0, other = 0;
    int shared = !strcmp(how, "shared");
    pid_t helper = 0;
    pthread_t sibling;
    s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return 3;
    size_t n = strlen(argv[4]) + strlen("/tree0/bin/");
    path = s->path + (4 - n % 4) % 4; /* the word at a multiple of 4: one store flips it */
    snprintf(path, 4000, "%s/tree0/bin/good", argv[4]);
    strcpy(s->arg, "good");
    flipped = strcmp(what, "path") ? s->arg : path + n;
    memcpy(&good, "good", 4);
    memcpy(&evil, "evil", 4);
    if (shared) {
        if (!(helper = fork())) { prctl(PR_SET_PDEATHSIG, SIGKILL); flip(0); _exit(0); }
    } else if (strcmp(how, "threads")) {
        if (pthread_create(&sibling, 0, flip, 0)) return 3;
    }
    char *av[] = {"prog", s->arg, 0}, *ev[] = {0};
    for (int i = 1; i <= rounds; i++) {
        put4(good);
        atomic_store(&s->round, i);
        switch (once(how, av, ev)) {
            case 0: n_good++; break;
            case 66: n_evil++; break;
            case 77: refused++; break;
            case 1000 + SIGKILL: killed++; break;
            default: other++;
        }
    }
    atomic_store(&s->stop, 1);
    if (helper) waitpid(helper, 0, 0);
    else if (strcmp(how, "threads")) pthread_join(sibling, 0);
    printf("good=%d evil=%d refused=%d killed=%d other=%d\n", n_good, n_evil, refused, killed, other);
    return 0;
}
