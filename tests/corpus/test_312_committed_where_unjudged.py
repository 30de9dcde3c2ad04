"""Escape 312: ignored and vendored paths are not read, but are committed all the same."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """echo /build/ > .gitignore; git add -A && git commit -qm rule"""
SCRIPTS = {
    "ignored": r"""
mkdir -p build; echo 'import requests' > build/x.py; git add -f build/x.py; git commit -qm x
""".strip(),
    "site-packages": r"""
mkdir -p src/site-packages; echo 'import requests' > src/site-packages/a.py; git add -f src; git commit -qm x
""".strip(),
    "node_modules": r"""
mkdir -p src/node_modules/mine; echo 'import requests' > src/node_modules/mine/a.py; git add -f src; git commit -qm x
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Branches with the commits that brought a forbidden import."""
    look = "for ref in $(git for-each-ref --format='%(refname)' refs/heads refs/tags) HEAD; do git log --format=\"$ref %s\" -S'import requests' $ref --; done"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_committed_where_unjudged(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
