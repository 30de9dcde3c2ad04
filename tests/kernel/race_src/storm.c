/* A timer fires every PERIOD us into a handler with SA_RESTART while each call is made once per name.
 * An act that is cancelled after it was done and then restarted answers EEXIST or ENOENT: counted.
 * usage: storm DIR COUNT PERIOD_US RESTART ; prints "mkdir=W excl=W rename=W link=W unlink=W eintr=N fired=0|1" */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t fired;
static int eintr;
static void on_alarm(int s) { (void)s; fired++; }

/* EINTR is legal without SA_RESTART as long as nothing was done: then the repetition must be right. */
#define ONCE(wrong, call) \
    do { \
        int r; \
        while ((r = (call)) < 0 && errno == EINTR) eintr++; \
        if (r < 0) { wrong++; if (wrong < 3) fprintf(stderr, #call ": %s\n", strerror(errno)); } \
    } while (0)

static int make(const char *p) {
    int fd = open(p, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) close(fd);
    return fd < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    if (argc != 5 || chdir(argv[1])) return 2;
    int count = atoi(argv[2]), period = atoi(argv[3]), bad[5] = {0};
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_alarm;
    sa.sa_flags = atoi(argv[4]) ? SA_RESTART : 0;
    sigaction(SIGALRM, &sa, 0);
    struct itimerval t = {{0, period}, {0, period}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &t, 0);
    char a[64], b[64], c[64], d[64];
    for (int i = 0; i < count; i++) {
        snprintf(a, sizeof a, "d%d", i);
        snprintf(b, sizeof b, "f%d", i);
        snprintf(c, sizeof c, "g%d", i);
        snprintf(d, sizeof d, "h%d", i);
        ONCE(bad[0], mkdir(a, 0700));
        ONCE(bad[1], make(b));
        ONCE(bad[2], rename(b, c));
        ONCE(bad[3], link(c, d));
        ONCE(bad[4], unlink(d));
    }
    setitimer(ITIMER_REAL, &off, 0);
    printf("mkdir=%d excl=%d rename=%d link=%d unlink=%d eintr=%d fired=%d\n",
           bad[0], bad[1], bad[2], bad[3], bad[4], eintr, fired > 0);
    return 0;
}
