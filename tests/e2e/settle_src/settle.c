/* Writers that change judged files by every route, and programs that look whether what was complete before they were
 * executed is still there: a barrier that was passed unjudged.
 *
 *   settle BARRIERS WRITERS ROUTE...    in a tree with a folder src; prints one line per route and a total
 *
 * Each version carries its writer and generation, so a version that is found is known for certain. A writer publishes
 * a version once it is complete (written, stored, closed, unmapped: whatever the route calls complete). The process
 * that executes the checker copies what is published first; the checker counts a miss where one of exactly these
 * versions lies in the tree.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_WRITERS 16
#define MOST_LOOKERS 4
#define LENGTH 64

static const char *NAMES[] = {
    "write", "append", "pwrite-open", "writev", "splice", "sendfile", "copy_file_range", "fallocate", "mapped",
    "mapped-again", "tmpfile", "hardlink", "rename-over", "exchange", "dup-child", "scm-rights", "proc-fd", "ftruncate",
    "folder-rename", "symlink", "held", "two-names", "rename-in",
};
#define ROUTES (int)(sizeof NAMES / sizeof *NAMES)

struct published { uint32_t gen, route, bad; char path[160]; };
struct shared {
    volatile int stop, errors;
    struct published now[MOST_WRITERS];
    volatile uint32_t lock[MOST_WRITERS];
    struct published seen[MOST_LOOKERS][MOST_WRITERS];
    volatile uint32_t barriers, looked[64], missed[64], made[64], failed[64];
    char first[256];
};
static struct shared *S;
static int me, writers;
static unsigned seed;
static uint32_t gen;

static struct shared *map_shared(void) {
    int fd = open("shared.bin", O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *S)) exit(3);
    void *at = mmap(0, sizeof *S, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? (exit(3), NULL) : at;
}
static void rest(int most) {
    struct timespec t = {0, (rand_r(&seed) % (most + 1)) * 1000L};
    nanosleep(&t, NULL);
}
static void text(char *to, int w, uint32_t g, int bad) {
    char line[128];
    int n = snprintf(line, sizeof line, "import %s # w%02d g%08u ", bad ? "requests" : "json    ", w, g);
    memset(to, '#', LENGTH);
    memcpy(to, line, n);
    to[LENGTH - 1] = '\n';
}
static void publish(int route, int bad, const char *path) {
    __sync_add_and_fetch(&S->lock[me], 1);
    struct published *p = &S->now[me];
    p->gen = gen; p->route = route; p->bad = bad;
    snprintf(p->path, sizeof p->path, "%s", path);
    __sync_add_and_fetch(&S->lock[me], 1);
    if (bad) __sync_add_and_fetch(&S->made[route], 1);
}
static int daemon_end;
static void *mapping;  /* left mapped from one round to the next */
static int kept = -1;

static void send_fd(int to, int fd) {
    char byte = 'x', control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    sendmsg(to, &m, 0);
}
static void serve(int end) {  /* the daemon: receives a descriptor and what to write into it */
    for (;;) {
        char data[LENGTH], control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec io = {data, LENGTH};
        struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        if (recvmsg(end, &m, 0) <= 0) _exit(0);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (!c) continue;
        int fd;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        char line[LENGTH];
        if (read(end, line, LENGTH) != LENGTH) _exit(0);
        if (pwrite(fd, line, LENGTH, 0) != LENGTH) S->errors++;
        close(fd);
        if (write(end, "k", 1) != 1) _exit(0);
    }
}
#define CHECK(call) do { if ((long)(call) < 0) goto failed; } while (0)

static void act(int route) {
    char path[160], other[96], third[96], line[LENGTH], clean[LENGTH];
    int bad = rand_r(&seed) % 3 != 0, fd = -1, fd2 = -1, ends[2] = {-1, -1};
    gen++;
    text(line, me, gen, bad);
    text(clean, me, gen, 0);
    int age = gen / 64; /* a name that was let pass once must not stand for all later ones */
    snprintf(path, sizeof path, "src/w%02d_%d_%d.py", me, route, age);
    snprintf(other, sizeof other, "src/w%02d_%d_%d.txt", me, route, age);
    snprintf(third, sizeof third, "src/w%02d_%d_%d_b.py", me, route, age);
    switch (route) {
    case 0:
        CHECK(fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
        CHECK(write(fd, line, LENGTH));
        break;
    case 1:
        CHECK(fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644));
        if (lseek(fd, 0, SEEK_END) > 4096) CHECK(ftruncate(fd, 0));
        CHECK(write(fd, line, LENGTH));
        break;
    case 2:
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(pwrite(fd, line, LENGTH, 0));
        publish(route, bad, path);
        rest(1500);
        close(fd);
        return;
    case 3: {
        struct iovec io[2] = {{line, 10}, {line + 10, LENGTH - 10}};
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(writev(fd, io, 2));
        break;
    }
    case 4:
        CHECK(pipe(ends));
        CHECK(write(ends[1], line, LENGTH));
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(splice(ends[0], NULL, fd, NULL, LENGTH, 0));
        break;
    case 5:
    case 6: {
        loff_t from = 0, to = 0;
        CHECK(fd2 = open(other, O_RDWR | O_CREAT, 0644));
        CHECK(pwrite(fd2, line, LENGTH, 0));
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        if (route == 5) CHECK(sendfile(fd, fd2, &from, LENGTH));
        else CHECK(copy_file_range(fd2, &from, fd, &to, LENGTH, 0));
        break;
    }
    case 7: {  /* collapsing the first block opens a string's content */
        char block[8192];
        memset(block, ' ', sizeof block);
        memcpy(block, "x = '''", 7);
        block[4095] = '\n';
        memcpy(block + 4096, line, LENGTH);
        memcpy(block + 8192 - 5, "#'''\n", 5);
        CHECK(fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
        CHECK(write(fd, block, sizeof block));
        rest(300);
        if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)) {
            S->failed[route]++;
            close(fd);
            return;
        }
        break;
    }
    case 8:
    case 9:
        if (mapping) { munmap(mapping, 4096); mapping = NULL; }
        CHECK(fd = open(path, O_RDWR | O_CREAT, 0644));
        CHECK(ftruncate(fd, LENGTH));
        mapping = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapping == MAP_FAILED) { mapping = NULL; goto failed; }
        close(fd);
        if (route == 9) {  /* the page is dirty already: no time stamp moves */
            memcpy(mapping, clean, LENGTH);
            rest(3000);
        }
        memcpy(mapping, line, LENGTH);
        if (rand_r(&seed) % 2) msync(mapping, LENGTH, MS_SYNC);
        publish(route, bad, path);
        rest(2000);
        if (rand_r(&seed) % 2) { munmap(mapping, 4096); mapping = NULL; }
        return;
    case 10: {
        char proc[64];
        CHECK(fd = open("src", O_TMPFILE | O_RDWR, 0644));
        CHECK(pwrite(fd, clean, LENGTH, 0));
        unlink(path);
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
        CHECK(linkat(AT_FDCWD, proc, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
        rest(300);
        CHECK(pwrite(fd, line, LENGTH, 0));
        break;
    }
    case 11:
    case 21:
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(pwrite(fd, clean, LENGTH, 0));
        close(fd);
        unlink(route == 11 ? other : third);
        CHECK(link(path, route == 11 ? other : third));
        CHECK(fd = open(route == 11 ? other : path, O_WRONLY));
        CHECK(pwrite(fd, line, LENGTH, 0));
        if (route == 21) { snprintf(path, sizeof path, "%s", third); }
        break;
    case 12:
    case 13:
    case 22:
        if (route == 13) { CHECK(fd2 = open(path, O_WRONLY | O_CREAT, 0644)); }
        CHECK(fd = open(other, O_RDWR | O_CREAT, 0644));
        CHECK(pwrite(fd, route == 22 ? line : clean, LENGTH, 0));
        if (route == 13) CHECK(syscall(SYS_renameat2, AT_FDCWD, other, AT_FDCWD, path, 2));
        else if (rename(other, path)) {
            close(fd);
            if (route == 22 && bad && errno == EACCES) return;
            goto failed;
        }
        if (route != 22) { rest(200); CHECK(pwrite(fd, line, LENGTH, 0)); }
        break;
    case 14: {
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        int twin = dup(fd);
        pid_t pid = fork();
        if (!pid) { int bad_write = pwrite(twin, line, LENGTH, 0) != LENGTH; _exit(bad_write); }
        close(twin);
        waitpid(pid, NULL, 0);
        break;
    }
    case 15: {
        char answer;
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        send_fd(daemon_end, fd);
        close(fd);
        fd = -1;
        CHECK(write(daemon_end, line, LENGTH));
        CHECK(read(daemon_end, &answer, 1));
        break;
    }
    case 16: {
        char proc[64];
        CHECK(fd2 = open(path, O_RDONLY | O_CREAT, 0644));
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd2);
        CHECK(fd = open(proc, O_WRONLY));
        CHECK(pwrite(fd, line, LENGTH, 0));
        break;
    }
    case 17:
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(ftruncate(fd, 0));
        CHECK(pwrite(fd, line, LENGTH, 0));
        break;
    case 18: {
        char one[64], two[64];
        snprintf(one, sizeof one, "src/d%02da", me);
        snprintf(two, sizeof two, "src/d%02db", me);
        if (mkdir(one, 0755) && errno != EEXIST) goto failed;
        snprintf(path, sizeof path, "%s/x.py", one);
        unlink(path);
        CHECK(fd = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(pwrite(fd, clean, LENGTH, 0));
        snprintf(path, sizeof path, "%s/x.py", two);
        unlink(path);
        rmdir(two);
        CHECK(rename(one, two));
        CHECK(pwrite(fd, line, LENGTH, 0));
        break;
    }
    case 19:
        CHECK(fd2 = open(path, O_WRONLY | O_CREAT, 0644));
        CHECK(fd = open(third, O_WRONLY | O_CREAT, 0644));
        close(fd);
        unlink(other);
        CHECK(symlink(strrchr(rand_r(&seed) % 2 ? path : third, '/') + 1, other));
        unlink("src/swap.txt");
        CHECK(fd = open(other, O_WRONLY));
        {
            char target[96];
            ssize_t n = readlink(other, target, sizeof target - 1);
            CHECK(n);
            target[n] = 0;
            snprintf(path, sizeof path, "src/%s", target);
        }
        CHECK(pwrite(fd, line, LENGTH, 0));
        break;
    case 20:  /* one descriptor for many versions; opened again after a revert */
        if (kept >= 0) {
            struct stat st;
            if (fstat(kept, &st) || st.st_nlink == 0 || rand_r(&seed) % 8 == 0) { close(kept); kept = -1; }
        }
        if (kept < 0) CHECK(kept = open(path, O_RDWR | O_CREAT, 0644));
        CHECK(pwrite(kept, line, LENGTH, 0));
        publish(route, bad, path);
        return;
    }
    if (fd >= 0) close(fd);
    if (fd2 >= 0) close(fd2);
    if (ends[0] >= 0) { close(ends[0]); close(ends[1]); }
    publish(route, bad, path);
    return;
failed:
    S->failed[route]++;
    if (fd >= 0) close(fd);
    if (fd2 >= 0) close(fd2);
    if (ends[0] >= 0) { close(ends[0]); close(ends[1]); }
}

static int check(int looker) {
    S = map_shared();
    __sync_add_and_fetch(&S->barriers, 1);
    for (int w = 0; w < MOST_WRITERS; w++) {
        struct published *p = &S->seen[looker][w];
        if (!p->bad) continue;
        __sync_add_and_fetch(&S->looked[p->route], 1);
        char content[16384], mark[64];
        int fd = open(p->path, O_RDONLY);
        if (fd < 0) continue;
        ssize_t n = read(fd, content, sizeof content - 1);
        close(fd);
        if (n <= 0) continue;
        content[n] = 0;
        snprintf(mark, sizeof mark, "import requests # w%02d g%08u ", w, p->gen);
        char *found = memmem(content, n, mark, strlen(mark));
        if (found && (p->route != 7 || found == content)) {  /* else it is inside a string */
            if (__sync_add_and_fetch(&S->missed[p->route], 1) == 1)
                snprintf(S->first, sizeof S->first, "%s %s %.40s", NAMES[p->route], p->path, found);
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "check")) return check(atoi(argv[2]));
    if (argc < 4) return 2;
    int barriers = atoi(argv[1]), lookers = 2, routes[64], count = 0;
    writers = atoi(argv[2]);
    for (int i = 3; i < argc; i++)
        for (int r = 0; r < ROUTES; r++)
            if (!strcmp(argv[i], NAMES[r]) || !strcmp(argv[i], "all")) routes[count++] = r;
    if (!count) return 2;
    unlink("shared.bin");
    S = map_shared();
    pid_t pids[64];
    int n = 0;
    for (int w = 0; w < writers; w++) {
        pid_t pid = fork();
        if (!pid) {
            me = w;
            seed = w * 7919 + time(NULL);
            int pair[2];
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) _exit(3);
            pid_t keeper = fork();
            if (!keeper) { close(pair[1]); serve(pair[0]); }
            close(pair[0]);
            daemon_end = pair[1];
            while (!S->stop) {
                act(routes[rand_r(&seed) % count]);
                rest(800);
            }
            kill(keeper, SIGKILL);
            _exit(0);
        }
        pids[n++] = pid;
    }
    pid_t loops[MOST_LOOKERS];
    for (int l = 0; l < lookers; l++) {
        pid_t pid = fork();
        if (!pid) {
            char slot[8];
            snprintf(slot, sizeof slot, "%d", l);
            seed = 104729 + l;
            while (S->barriers < (uint32_t)barriers) {
                pid_t c = fork();
                if (!c) {
                    for (int w = 0; w < writers; w++) {
                        uint32_t before, after;
                        do {
                            before = S->lock[w];
                            __sync_synchronize();
                            S->seen[l][w] = S->now[w];
                            __sync_synchronize();
                            after = S->lock[w];
                        } while (before != after || before & 1);
                    }
                    execl(argv[0], argv[0], "check", slot, NULL);
                    _exit(3);
                }
                int status;
                waitpid(c, &status, 0);
                if (status) S->errors++;
            }
            _exit(0);
        }
        loops[l] = pid;
    }
    for (int l = 0; l < lookers; l++) waitpid(loops[l], NULL, 0);
    S->stop = 1;
    for (int i = 0; i < n; i++) waitpid(pids[i], NULL, 0);
    uint32_t missed = 0, looked = 0;
    for (int r = 0; r < ROUTES; r++) {
        if (S->made[r] || S->failed[r])
            printf("%s made=%u looked=%u missed=%u failed=%u\n", NAMES[r], S->made[r], S->looked[r], S->missed[r], S->failed[r]);
        missed += S->missed[r];
        looked += S->looked[r];
    }
    printf("total barriers=%u looked=%u missed=%u errors=%d first=%s\n", S->barriers, looked, missed, S->errors, S->first);
    return 0;
}
