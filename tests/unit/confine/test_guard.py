"""The guard as the second line: it looks after what the supervisor left, whatever that reported."""

from __future__ import annotations

import os

import pytest

from supervisor.confine.guard import Guard


@pytest.mark.parametrize(
    ("words", "code", "stops"), [(b"exit 124\n", 124, 1), (b"", None, 2), (b"stopped\nexit 3\n", 3, 1)]
)
def test_it_always_looks(words: bytes, code: int | None, stops: int) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, words)
        os._exit(0)
    os.close(write)
    seen: list[frozenset[int]] = []
    ended = Guard(child, read, -1).wait(seen.append)
    os.close(read)
    assert ended.code == code
    assert seen == [frozenset()] * stops
