"""Which processes are govrun's own, also when no descriptor is left to find that out."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from supervisor.run.helpers import Helpers


@pytest.fixture
def child() -> Iterator[int]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    yield pid
    os.close(write)
    os.waitpid(pid, 0)


@pytest.fixture
def full() -> Iterator[list[int]]:
    """Takes every descriptor when it is asked for."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    yield taken
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def take_all(taken: list[int]) -> None:
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return


def test_children_are_told_from_others(child: int) -> None:
    helpers = Helpers()
    assert helpers.of((child, 0, None, 1)) == {child}


def test_a_helper_is_known_when_no_descriptor_is_left(child: int, full: list[int]) -> None:
    helpers = Helpers()
    take_all(full)
    for _ in range(3):
        assert helpers.of((child,)) == {child}
