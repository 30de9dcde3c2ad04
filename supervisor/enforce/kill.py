"""Ending a run for certain: freeze what is there, look again, kill, reap.

A process tree that forks faster than it is read escapes a single pass; a stopped process does not fork, so passes are
repeated until one finds nothing new.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

_PASSES = 50


def descendants(of: int, keep: frozenset[int]) -> list[int]:
    """Process ids below ``of`` without ``keep``; zombies included. One walk of /proc by psutil."""
    import psutil

    children: dict[int, list[int]] = {}
    for pid, parent in _parents(psutil.pids()):
        children.setdefault(parent, []).append(pid)
    found, pending = [], [of]
    while pending:
        for pid in children.get(pending.pop(), ()):
            if pid not in keep:
                found.append(pid)
                pending.append(pid)
    return found


def _parents(pids: Iterable[int]) -> Iterable[tuple[int, int]]:
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue
        words = text[text.rindex(b")") + 2 :].split()
        yield pid, int(words[1])


def stop_tree(root: int, keep: frozenset[int] = frozenset(), patience: float = 10.0) -> int:
    """Kill everything below ``root`` except ``keep`` and wait until it is gone; returns how many were killed.

    ``root`` is a subreaper, so nothing leaves the tree while it is worked on. Processes in uninterruptible sleep are
    waited for ``patience`` seconds.
    """
    _reap()
    if not _has_children(keep):
        return 0  # a subreaper without children has no descendants
    frozen: set[int] = set()
    for _ in range(_PASSES):
        fresh = [pid for pid in descendants(root, keep) if pid not in frozen]
        if not fresh:
            break
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        frozen.update(fresh)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        left = descendants(root, keep)
        if not left:
            break
        for pid in left:
            _signal(pid, signal.SIGKILL)
        frozen.update(left)
        _reap()
        time.sleep(0.002)
    return len(frozen)


def _has_children(keep: frozenset[int]) -> bool:
    """Whether this process has children besides ``keep`` (proc(5), task/TID/children; unsure means yes)."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return not {int(word) for word in file.read().split()} <= keep
    except (OSError, ValueError):
        return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _reap() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG | 0x40000000)  # __WALL: traced threads too
        except ChildProcessError:
            return
        if pid == 0:
            return
