"""Escape 316: the run's standard output is a source file in the tree: nobody opened it through the supervisor."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests"]
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_inherited_output(cage: Cage, stream: str) -> None:
    cage.profile(RULE)
    script = f"echo 'import requests' {'>&2' if stream == 'stderr' else ''}; /bin/true; grep -c requests src/out.py > seen.txt"
    with open(cage.tree / "src" / "out.py", "wb") as out:
        streams: dict[str, Any] = {stream: out}
        cage.govrun("bash", "-c", script, **streams)
    assert (cage.tree / "seen.txt").read_text().strip() in ("", "0")
    assert b"\nimport requests" not in b"\n" + (cage.tree / "src" / "out.py").read_bytes()
