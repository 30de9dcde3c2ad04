/* Exchanges two names for ever, from outside the run. usage: swapper A B ; ends when stdin closes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct pollfd in = {0, POLLIN, 0};
    if (argc != 3) return 2;
    while (poll(&in, 1, 0) == 0)
        for (int i = 0; i < 50; i++) {
            if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2)) { perror("exchange"); return 1; }
            usleep(i % 9 * 7); /* stay a while, of varying length */
        }
    return 0;
}
