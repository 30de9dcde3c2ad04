"""Escape 18: a mount inside a user namespace puts the outside folder under a name in the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.needs("userns")
def test_bind_mount(cage: Cage) -> None:
    script = "mkdir m; unshare -rm sh -c 'mount --bind \"$OUT\" m && echo x >> m/victim'"
    cage.escape(script, None)


@pytest.mark.needs("root")
def test_mount_as_root(cage: Cage) -> None:
    """No bare twin: it would mount on the host itself."""
    cage.escape('mkdir m; mount --bind "$OUT" m && echo x >> m/victim', None, bare=False)
