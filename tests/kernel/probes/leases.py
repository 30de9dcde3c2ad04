"""Files another process holds leases on: ``leased-*`` beside the cases are held by lease_holder.py, outside the run."""

from __future__ import annotations

import os

import kit
from kit import case, t, text


def _log(line: str) -> None:
    fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)


@case
def polite_holder_lets_go() -> object:
    """A break is signalled, the holder gives up, and the blocking open succeeds."""
    fd = t(os.open, "../leased-polite", os.O_WRONLY | os.O_APPEND)
    return [isinstance(fd, int) or fd, t(os.write, fd, b" after"), text("../leased-polite")]


@case
def nonblocking_open_says_again() -> object:
    first = t(os.open, "../leased-again", os.O_WRONLY | os.O_NONBLOCK)
    return first if isinstance(first, str) else "opened"


def _meanwhile(act: object) -> object:
    """One process waits for a stubborn holder; the others must get on. They end first, and then the holder lets go."""
    waiting = os.fork()
    if waiting == 0:
        assert callable(act)
        act()
        _log("the waiting one is through")
        os._exit(0)
    for number in range(200):
        os.mkdir(f"d{number}")
        os.rmdir(f"d{number}")
    _log("the others are done")
    os.close(os.open("../release", os.O_WRONLY | os.O_CREAT, 0o644))
    status = os.waitpid(waiting, 0)[1]
    os.unlink("../release")
    return [status, text("log")]


@case
def others_go_on_while_an_open_waits() -> object:
    return _meanwhile(lambda: os.open("../leased-open", os.O_WRONLY))


@case
def others_go_on_while_a_truncate_waits() -> object:
    return _meanwhile(lambda: os.truncate("../leased-truncate", 0))


kit.main()
