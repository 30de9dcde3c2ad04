"""Escape 30: file capabilities are an extended attribute: whoever runs the file later has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = (
    "print(attempt(os.setxattr, 'evil', 'security.capability', "
    "bytes.fromhex('0100000200200000000000000000000000000000')))"
)


@pytest.mark.needs("root")
def test_capability_attribute(cage: Cage) -> None:
    cage.escape(cage.script(CODE), None, guarded=["evil"])
