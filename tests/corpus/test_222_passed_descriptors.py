"""Escape 222: have the supervisor hold thousands of passed descriptors in sends that wait, so that nothing is left."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

# Forks SENDERS; each sends MESSAGES of 253 descriptors in one sendmmsg into a queue that is full.
SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    int senders = atoi(words[1]), messages = atoi(words[2]), pair[2], told[2];
    char byte = 'x';
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    while (send(pair[0], &byte, 1, MSG_DONTWAIT) == 1);
    struct mmsghdr *all = calloc(messages, sizeof *all);
    struct iovec one = {&byte, 1};
    char *control = calloc(1, CMSG_SPACE(4 * 253));
    struct cmsghdr *head = (void *)control;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(4 * 253);
    for (int at = 0; at < messages; at++) {
        all[at].msg_hdr.msg_iov = &one;
        all[at].msg_hdr.msg_iovlen = 1;
        all[at].msg_hdr.msg_control = control;
        all[at].msg_hdr.msg_controllen = CMSG_SPACE(4 * 253);
    }
    for (int at = 0; at < senders; at++)
        if (fork() == 0) {
            long done = sendmmsg(pair[0], all, messages, 0);
            fprintf(stderr, "sent %ld: %s\n", done, strerror(errno));
            _exit(0);
        }
    sleep(2);
    return 0;
}
"""
# The limit leaves as many descriptors as the supervisor needs for itself, with 4048 passed ones.
COMMIT = "echo new > src/b; git add -A; git commit -qm one && echo committed"


@pytest.mark.needs("gcc")
@pytest.mark.parametrize(("senders", "messages"), [(1, 16), (40, 1)])
def test_others_go_on(cage: Cage, senders: int, messages: int) -> None:
    folder = cage.tree.parent
    (folder / "pass.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-w", "-o", "pass", "pass.c"], cwd=folder, check=True)
    script = f"{folder}/pass {senders} {messages} & sleep 1; {COMMIT}; wait $!"
    words = [str(word) for word in cage.govrun.argv("--", "bash", "-c", script)]
    done = cage.govrun.bare("bash", "-c", 'ulimit -n 4072; exec "$@"', "bash", *words)
    assert done.returncode == 0, done.stderr
    assert b"committed" in done.stdout, done.stderr
    noted = cage.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD")
    told = [each.read_text() for each in (cage.govrun.state / "runs").glob("*/notes.jsonl")]
    assert noted.stdout.count(b"PASSED") == 1, (noted.stdout, noted.stderr, done.stderr, told)
    if senders > 1:
        assert b"Too many references" in done.stderr
        log = cage.govrun.cli("log", "latest", "--json")
        assert b"no descriptor for it" in log.stdout, log.stdout[-2000:]
