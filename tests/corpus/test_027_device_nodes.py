"""Escape 27: as root, a device node is a door to the disk (missed by several peers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.needs("root")
def test_device_outside(cage: Cage) -> None:
    cage.escape('mknod "$OUT/null" c 1 3', None)


@pytest.mark.needs("root")
def test_device_in_the_tree(cage: Cage) -> None:
    """The node would lie where writing is allowed; without capabilities nobody can make one."""
    cage.escape("mknod disk b 7 0; mknod null c 1 3", None, guarded=["disk", "null"])
