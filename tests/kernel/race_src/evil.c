/* The forbidden program: leaves a mark in the working directory. Built twice: as good it leaves none. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char mark[64];
    int forbidden = EVIL || (argc > 1 && !strcmp(argv[1], "evil"));
    if (!forbidden) return 0;
    snprintf(mark, sizeof mark, "mark-%d", (int)getpid());
    int fd = open(mark, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0) close(fd);
    return 66;
}
