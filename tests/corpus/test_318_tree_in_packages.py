"""Escape 318: the tree lies below a folder called ``site-packages`` or ``node_modules``; it is judged all the same."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests"]
"""


@pytest.mark.parametrize("name", ["site-packages", "node_modules", "dist-packages"])
def test_tree_in_packages(cage: Cage, name: str) -> None:
    cage.profile(RULE)
    tree = cage.tree.parent / name / "shop"
    tree.parent.mkdir()
    shutil.copytree(cage.tree, tree, symlinks=True)
    cage.govrun("bash", "-c", "echo 'import requests' > src/n.py; /bin/true", cwd=tree)
    assert not (tree / "src" / "n.py").exists()
