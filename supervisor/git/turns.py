"""Waiting for one's turn at what several processes of govrun work on."""

from __future__ import annotations

import fcntl
import os
import time


def locked(descriptor: int, patience: float) -> bool:
    """Hold the exclusive flock(2) of ``descriptor``; False when others still do after ``patience`` seconds. It goes
    with the process, however that ends."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.002 + os.urandom(1)[0] / 15_000)  # up to 19 ms: whoever came together does not stay so
