/* One path call, ROUNDS times, while somebody changes what the path means.
 *
 * usage: racer OP FLIPPER ROUNDS BASE
 *   BASE/tree0 is the working tree (and the working directory), BASE/outsd is out of bounds.
 * FLIPPER
 *   thread    a sibling thread stores between "BASE/tree0/X" and "BASE/outsd/X"
 *   shared    the same by a second process, in a MAP_SHARED page
 *   exchange  a second process exchanges the names "slot" and "other" (RENAME_EXCHANGE); the path is "slot/X"
 *   file      as exchange, and the path is "slot" itself
 *   move      a second process moves the working directory a/b/c to ./c and back; the path is "../../X"
 *   movefd    as move, through a directory descriptor
 *   movelink  as movefd, through the descriptor's link in /proc, which the path begins with
 *   dup       a sibling thread makes descriptor N "slot" and BASE/outsd in turn; the path is "/proc/self/fd/N/X"
 *   outside   nobody here: the caller exchanges "slot" and "other" from outside the run; the path is "slot/X"
 *   outfile   as outside, and the path is "slot" itself
 * Prints "ok=N refused=N other=N": refused counts EACCES and EPERM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

struct shared {
    char path[4096];
    uint64_t allowed, forbidden; /* the 8 bytes that differ */
    size_t at;                   /* their offset, a multiple of 8 from the start of the page */
    atomic_int round, seen, stop; /* round: the call of that number has begun; negative: blind flipping */
} *s;

static char *path;
static char fixed[4096]; /* the allowed spelling, never flipped */
static int dir = AT_FDCWD;

static void wait_us(double us) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    do clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3 < us);
}

static void put8(uint64_t v) { *(volatile uint64_t *)(s->path + s->at) = v; }

/* Even rounds: flip all the time. Odd rounds: the call starts with the allowed path; one store T us later, T sweeps. */
static void *flip(void *unused) {
    (void)unused;
    int last = 0;
    while (!atomic_load(&s->stop)) {
        int r = atomic_load(&s->round);
        if (r == last) continue;
        if (r % 2 == 0) {
            put8(s->forbidden);
            wait_us(1 + r % 7);
            put8(s->allowed);
            wait_us(1 + r % 5);
        } else {
            last = r;
            wait_us((r / 2) % 60);
            put8(s->forbidden);
        }
        atomic_store(&s->seen, r);
    }
    return 0;
}

static void leave_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1) _exit(0);
}

static void exchange(void) {
    leave_with_parent();
    while (!atomic_load(&s->stop)) syscall(SYS_renameat2, AT_FDCWD, "slot", AT_FDCWD, "other", 2);
    _exit(0);
}

static void move(void) {
    leave_with_parent();
    while (!atomic_load(&s->stop)) {
        rename("a/b/c", "c");
        rename("c", "a/b/c");
    }
    _exit(0);
}

static int swapped, inner, outer;

static void *dup_in_turn(void *unused) {
    (void)unused;
    for (unsigned i = 0; !atomic_load(&s->stop); i++) {
        dup2(outer, swapped);
        wait_us(i % 7);
        dup2(inner, swapped);
        wait_us(i % 5);
    }
    return 0;
}

static int make(const char *p, int flags) {
    int fd = openat(dir, p, flags, 0666);
    if (fd < 0) return -1;
    int n = write(fd, "!", 1);
    close(fd);
    return n == 1 ? 0 : -1;
}

static void source(void) {
    int fd = open("src", O_WRONLY | O_CREAT, 0600);
    if (fd >= 0) close(fd);
}

static int call(const char *op) {
    const char *keep = *fixed ? fixed : path; /* the spelling for preparing and cleaning up */
    if (!strcmp(op, "open")) return make(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (!strcmp(op, "append")) { make(keep, O_WRONLY | O_CREAT); return make(path, O_WRONLY | O_APPEND); }
    if (!strcmp(op, "truncate")) { make(keep, O_WRONLY | O_CREAT); return truncate(path, 3); }
    if (!strcmp(op, "chmod")) { make(keep, O_WRONLY | O_CREAT); return fchmodat(dir, path, 0777, 0); }
    if (!strcmp(op, "utime")) { make(keep, O_WRONLY | O_CREAT); return utimensat(dir, path, 0, 0); }
    if (!strcmp(op, "setxattr")) { make(keep, O_WRONLY | O_CREAT); return setxattr(path, "user.race", "1", 1, 0); }
    if (!strcmp(op, "unlink")) { make(keep, O_WRONLY | O_CREAT); return unlinkat(dir, path, 0); }
    if (!strcmp(op, "rename-from")) { make(keep, O_WRONLY | O_CREAT); return renameat(dir, path, AT_FDCWD, "dest"); }
    if (!strcmp(op, "rename-to")) { source(); return renameat(AT_FDCWD, "src", dir, path); }
    int r = -2;
    if (!strcmp(op, "mkdir")) { r = mkdirat(dir, path, 0700); if (!r) unlinkat(dir, keep, AT_REMOVEDIR); }
    if (!strcmp(op, "link")) { source(); r = linkat(AT_FDCWD, "src", dir, path, 0); if (!r) unlinkat(dir, keep, 0); }
    if (!strcmp(op, "symlink")) { r = symlinkat("x", dir, path); if (!r) unlinkat(dir, keep, 0); }
    if (!strcmp(op, "mknod")) { r = mknodat(dir, path, S_IFIFO | 0600, 0); if (!r) unlinkat(dir, keep, 0); }
    if (r == -2) exit(2);
    return r;
}

static void both_spellings(const char *base, const char *name) {
    /* The eight differing bytes ("tree0/X\0", "outsd/X\0") at a multiple of 8: one store flips the path. */
    size_t n = strlen(base) + 1, pad = (8 - n % 8) % 8;
    path = s->path + pad;
    s->at = pad + n;
    snprintf(fixed, sizeof fixed, "%s/tree0/%s", base, name);
    snprintf(path, 4000, "%s/outsd/%s", base, name);
    memcpy(&s->forbidden, s->path + s->at, 8);
    strcpy(path, fixed);
    memcpy(&s->allowed, s->path + s->at, 8);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const char *op = argv[1], *flipper = argv[2];
    int rounds = atoi(argv[3]), ok = 0, refused = 0, other = 0, spelled = 0, spinning = 0;
    int creates = !strcmp(op, "mkdir") || !strcmp(op, "link") || !strcmp(op, "symlink") || !strcmp(op, "mknod");
    const char *name = creates ? "n" : "t";
    int flags = !strcmp(flipper, "shared") ? MAP_SHARED : MAP_PRIVATE;
    pid_t helper = 0;
    pthread_t sibling;
    s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, (strcmp(flipper, "thread") ? MAP_SHARED : flags) | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return 3;
    path = s->path;
    if (!strcmp(flipper, "thread")) {
        both_spellings(argv[4], name);
        spelled = 1;
        if (pthread_create(&sibling, 0, flip, 0)) return 3;
    } else if (!strcmp(flipper, "shared")) {
        both_spellings(argv[4], name);
        spelled = 1;
        if (!(helper = fork())) { leave_with_parent(); flip(0); _exit(0); }
    } else if (!strcmp(flipper, "dup")) {
        char out[4200];
        snprintf(out, sizeof out, "%s/outsd", argv[4]);
        snprintf(fixed, sizeof fixed, "slot/%s", name);
        inner = open("slot", O_PATH | O_DIRECTORY);
        outer = open(out, O_PATH | O_DIRECTORY);
        if (inner < 0 || outer < 0) return 3;
        swapped = dup(inner);
        snprintf(path, 4000, "/proc/self/fd/%d/%s", swapped, name);
        spinning = 1;
        if (pthread_create(&sibling, 0, dup_in_turn, 0)) return 3;
    } else if (!strncmp(flipper, "move", 4)) {
        snprintf(path, 4000, "../../%s", name);
        if (!(helper = fork())) move();
        int fd = -1;
        while (fd < 0) fd = open("a/b/c", O_PATH | O_DIRECTORY); /* it may be away just now */
        if (!strcmp(flipper, "movefd")) dir = fd;
        else if (!strcmp(flipper, "movelink")) snprintf(path, 4000, "/proc/self/fd/%d/../../%s", fd, name);
        else if (fchdir(fd)) return 3;
    } else {
        snprintf(path, 4000, strstr(flipper, "file") ? "slot" : "slot/%s", name);
        if (!strcmp(flipper, "exchange") || !strcmp(flipper, "file")) if (!(helper = fork())) exchange();
    }
    for (int i = 2; i < rounds + 2; i++) {
        if (spelled) {
            put8(s->allowed);
            if (i % 2 == 0) { /* let the blind flipper come to speed */
                atomic_store(&s->round, i);
                for (int tries = 0; atomic_load(&s->seen) != i && tries < 20000; tries++) wait_us(0.2);
            } else {
                atomic_store(&s->round, i);
            }
        }
        errno = 0;
        if (!call(op)) ok++;
        else if (errno == EACCES || errno == EPERM) refused++;
        else other++;
    }
    atomic_store(&s->stop, 1);
    if (helper) waitpid(helper, 0, 0);
    else if (spelled || spinning) pthread_join(sibling, 0);
    printf("ok=%d refused=%d other=%d\n", ok, refused, other);
    return 0;
}
