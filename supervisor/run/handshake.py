"""What the child says before it executes: the number of its listener, or why it could not be confined."""

from __future__ import annotations

import os
import select
import time

from supervisor.kernel import process
from supervisor.kernel.notify import Listener
from supervisor.vocabulary.errors import HostError

_PATIENCE = 10.0  # seconds until the child has confined itself


def line(fd: int) -> bytes:
    """One line from the child; empty when it died first. Bounded in time: a child that hangs is no start."""
    data = b""
    end = time.monotonic() + _PATIENCE
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        if not ready or not (chunk := os.read(fd, 4096)):
            break
        data += chunk
    return data.strip()


def listener(root: int, said: bytes) -> Listener:
    """The listener of the child ``root``, of which it ``said`` the number. Errors: ``HostError``."""
    if not said.startswith(b"L"):
        raise failed(said)
    try:
        return Listener(process.borrow(root, int(said[1:])))
    except OSError as error:
        why = f"{error}\na container may refuse it: Docker does without --cap-add SYS_PTRACE"
        raise HostError("the supervisor could not take the agent's listener", why, "govrun doctor") from error


def failed(said: bytes) -> HostError:
    number, _, text = said[1:].decode("utf-8", "replace").partition(" ")
    why = text or "the child ended before it was confined"
    if number == "16":  # EBUSY
        why += "\nthis process is already under a seccomp listener (a container, another sandbox)"
    return HostError("the agent could not be confined", why, "govrun doctor")
