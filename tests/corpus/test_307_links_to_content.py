"""Escape 307: a judged name that is a symbolic link to content that is judged nowhere."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """git add -A && git commit -qm rule"""
SCRIPTS = {
    "source": r"""
echo 'import requests' > src/t.txt; ln -s t.txt src/n.py; git add -A; git commit -qm x
""".strip(),
    "committed link": r"""
echo 'import requests' > src/t.txt; b=$(printf t.txt | git hash-object -w --stdin); git add src/t.txt; git update-index --add --cacheinfo 120000,$b,src/n.py; git commit -qm x; git checkout -q -- src
""".strip(),
    "site-packages": r"""
mkdir -p store/requests v; touch store/requests/__init__.py; ln -s ../store v/site-packages
""".strip(),
    "node_modules": r"""
mkdir -p nm/lodash; touch nm/lodash/index.js; ln -s nm node_modules
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """What a program reads under a judged name."""
    look = "python3 -c 'print(open(\"src/n.py\").read())' 2>/dev/null | grep '^import requests'; ls -d node_modules/lodash v/site-packages/requests 2>/dev/null; git grep -l 'import requests' HEAD -- 'src/*.py'"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_links_to_content(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
