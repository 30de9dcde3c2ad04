"""Escape 13: a descriptor that allows reading is opened again through /proc for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize("flags", ["os.O_RDONLY", "os.O_PATH"])
def test_reopened_descriptor(cage: Cage, flags: str) -> None:
    code = f"fd = os.open(VICTIM, {flags}); print(attempt(lambda: open(f'/proc/self/fd/{{fd}}', 'w').write('x')))"
    cage.escape(cage.script(code), cage.WRITE)


def test_folder_descriptor(cage: Cage) -> None:
    code = "fd = os.open(OUT, os.O_PATH); print(attempt(os.unlink, 'victim', dir_fd=fd))"
    cage.escape(cage.script(code), cage.WRITE)


def test_reopened_standard_input(cage: Cage) -> None:
    cage.escape('exec < "$OUT/victim"; echo x > /dev/stdin; echo x > /proc/self/fd/0', cage.WRITE)
