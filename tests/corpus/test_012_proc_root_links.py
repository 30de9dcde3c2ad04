"""Escape 12: magic links of /proc reach the same files by other names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize(
    "name",
    [
        "/proc/self/root$OUT/victim",
        "/proc/$PPID/root$OUT/victim",
        "/proc/self/cwd/../home/outside/victim",
        "/proc/thread-self/root$OUT/victim",
        "/dev/fd/../root$OUT/victim",
    ],
)
def test_proc_root(cage: Cage, name: str) -> None:
    bare = not name.startswith(
        "/dev/fd"
    )  # there a shell's own /dev/fd link decides; the governed run must refuse anyway
    cage.escape(f'echo x >> "{name}"', None, bare=bare)
    refused = cage.run(f'echo x >> "{name}"').denied()
    assert refused, name
