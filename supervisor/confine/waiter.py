"""A process of the run that starts fixers on order. It executes before the agent does, as a program of its own: what is
forked from the supervisor holds its memory, and the agent may look into processes of its own domain.

Run as ``waiter.py SOCKET OUTPUT FOLDER N WORD…xN …``: over the socket come the number of a command and a descriptor
that it reads as standard input; back go ``R PID`` (ready), ``P PID`` (started) and ``E STATUS`` (ended: its exit code,
negative for a signal). Both outputs of a command go to OUTPUT. Imports nothing of the package: it runs without it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

_MOST_FDS = 256


def serve(orders: socket.socket, output: int, folder: str, commands: list[list[str]]) -> None:
    """Until the other side is gone. The last one that has ended is reaped late: its id, and that of its group, stay its
    own until then."""
    ended = 0
    orders.send(b"R %d" % os.getpid())
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 64, 1)
        if ended:
            os.waitpid(ended, 0)
        if not message or not fds:
            return
        child = os.fork()
        if child == 0:
            _execute(commands[int(message)], fds[0], output, folder)
        os.close(fds[0])
        _lead(child)
        orders.send(b"P %d" % child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        ended, status = child, _status(child)
        orders.send(b"E %d" % status)


def _lead(child: int) -> None:
    try:
        os.setpgid(child, child)
    except OSError:
        return  # it has executed, or ended


def _status(child: int) -> int:
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    if found is None or found.si_code == os.CLD_EXITED:
        return found.si_status if found is not None else 255
    return -found.si_status


def _execute(words: list[str], given: int, output: int, folder: str) -> None:
    """Never returns."""
    try:
        os.setpgid(0, 0)
        os.dup2(given, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, _MOST_FDS)
        os.chdir(folder)
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(words[0], words)
    except OSError as error:
        os.write(2, f"{words[0]}: {error.strerror}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(127)


def main(words: list[str]) -> None:
    """``words`` as the command line has them."""
    number, output, folder, *rest = words
    commands = []
    while rest:
        count = int(rest[0])
        commands.append(rest[1 : count + 1])
        rest = rest[count + 1 :]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(number)) as orders:
        serve(orders, int(output), folder, commands)


if __name__ == "__main__":
    main(sys.argv[1:])
