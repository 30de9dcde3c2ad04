"""What can only be found out by doing it: each trial runs in a child that ends at once. For ``doctor`` and plans."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from supervisor.kernel import caps, landlock, memory, process, ptrace


def in_child(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run ``trial`` in a child and return what it found; a child that dies or says nothing counts as EIO."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(trial()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        return {"errno": errno.EIO}
    return answer


def calls_refused() -> tuple[str, ...]:
    """Which of the calls that a supervisor makes towards its children fail here, as ``ptrace: EPERM``. Containers
    refuse some of them by a filter of their own."""
    found = in_child(_try_calls)
    if "errno" in found:
        return ("a child process: EIO",)
    return tuple(f"{name}: {errno.errorcode.get(number, number)}" for name, number in found.items() if number)


def _try_calls() -> dict[str, Any]:
    reader, writer = os.pipe()
    shared = ctypes.create_string_buffer(1)  # at the same place in the child
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent is done, or gone
        os._exit(0)
    try:
        tries: dict[str, Callable[[], object]] = {
            "pidfd_open": lambda: process.pidfd_open(child),
            "pidfd_getfd": lambda: process.borrow(child, reader),
            "process_vm_readv": lambda: memory.read(child, ctypes.addressof(shared), 1),
            "ptrace": lambda: ptrace.seize(child),
        }
        found = {name: _errno(attempt) for name, attempt in tries.items()}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if landlock.abi():
        found["landlock_restrict_self"] = _errno(_enter_domain)
    return found


def _enter_domain() -> None:
    caps.no_new_privs()
    with landlock.Ruleset(landlock.WRITE_FILE) as domain:
        domain.restrict_self()


def _errno(attempt: Callable[[], object]) -> int:
    try:
        attempt()
    except OSError as error:
        return error.errno or errno.EIO
    return 0
