"""Escape 15: open_by_handle_at(2) needs no path at all (the container escape known as shocker)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
mount = ctypes.c_int()
named = sc(303, AT, c(VICTIM), handle, ctypes.byref(mount), 0)
root = os.open(OUT, os.O_RDONLY)
print(json.dumps([named, sc(304, root, handle, os.O_WRONLY | os.O_TRUNC)]))
"""


@pytest.mark.needs("root")
def test_open_by_handle(cage: Cage) -> None:
    cage.escape(cage.script(CODE), None)


def test_open_by_handle_answers(cage: Cage) -> None:
    assert cage.probe(CODE)[1] == "EPERM"
