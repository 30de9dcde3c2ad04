"""Holds read leases, outside the run. argv: directory. Prints ``ready``; ends when stdin closes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

_POLITE = "leased-polite"
_STUBBORN = ("leased-open", "leased-truncate", "leased-again")


def main() -> None:
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    os.chdir(sys.argv[1])
    held = {name: _take(name) for name in (_POLITE, *_STUBBORN)}
    print("ready", flush=True)
    while not select.select([0], [], [], 0.02)[0]:
        for name, fd in list(held.items()):
            # While a lease is being broken F_GETLEASE names what it has to become.
            broken = fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK
            if broken and (name == _POLITE or os.path.exists("release")):
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                del held[name]


def _take(name: str) -> int:
    with open(name, "w", encoding="ascii") as made:
        made.write("before")
    fd = os.open(name, os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return fd


main()
