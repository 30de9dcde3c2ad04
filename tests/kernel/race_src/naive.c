/* The supervisor that must not be built: reads the path, refuses BASE/outsd, else lets the kernel read it again.
 * usage: naive COMMAND ... ; shows that the racers win against it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTIFY(nr) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

static int filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        NOTIFY(SYS_openat), NOTIFY(SYS_unlinkat), NOTIFY(SYS_renameat), NOTIFY(SYS_mkdirat), NOTIFY(SYS_execve),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void send_fd(int to, int fd) {
    char room[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    sendmsg(to, &m, 0);
}

static int receive_fd(int from) {
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte;
    int fd = -1;
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (recvmsg(from, &m, 0) == 1 && CMSG_FIRSTHDR(&m)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

int main(int argc, char **argv) {
    int pair[2];
    if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 2;
    pid_t child = fork();
    if (!child) {
        /* The listener must leave before exec is notified: the parent answers that too. */
        int listener = filter();
        send_fd(pair[1], listener);
        close(listener);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    int listener = receive_fd(pair[0]), status;
    for (;;) {
        struct seccomp_notif n;
        struct seccomp_notif_resp a;
        memset(&n, 0, sizeof n);
        memset(&a, 0, sizeof a);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n)) {
            if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            if (errno == ENOENT || errno == EINTR) continue;
            return 1;
        }
        char text[4096] = {0};
        int first = n.data.nr == SYS_execve ? 0 : 1;
        struct iovec here = {text, sizeof text - 1}, there = {(void *)n.data.args[first], sizeof text - 1};
        for (size_t room = sizeof text - 1; room > 8; room /= 2) { /* the string may end near the end of its page */
            here.iov_len = there.iov_len = room;
            if (process_vm_readv(n.pid, &here, 1, &there, 1, 0) > 0) break;
        }
        char arg[16] = {0};
        if (n.data.nr == SYS_execve) { /* argv[1] as well */
            void *at = 0;
            struct iovec one = {&at, sizeof at}, slot = {(void *)(n.data.args[1] + sizeof at), sizeof at};
            process_vm_readv(n.pid, &one, 1, &slot, 1, 0);
            struct iovec word = {arg, 8}, from = {at, 8};
            process_vm_readv(n.pid, &word, 1, &from, 1, 0);
        }
        a.id = n.id;
        if (strstr(text, "/outsd/") || strstr(text, "/evil") || !strncmp(arg, "evil", 5)) a.error = -EACCES;
        else a.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &a);
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
}
