"""Escape 302: what a name held when it was removed or replaced counts as its base, even if the run put it there unjudged."""

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
    "unlink": r"""
import os,sys
f=open('src/n.py','w'); f.write('import requests\n'); f.flush(); os.unlink('src/n.py')
open('src/n.py','w').write('import requests\n'); f.close()
""".strip(),
    "replaced": r"""
import os
f = open('src/n.py', 'w'); f.write('import requests\n'); f.flush()
open('src/t.txt', 'w').close(); os.rename('src/t.txt', 'src/n.py')
open('src/n.py', 'w').write('import requests\n')
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_removed_before_judged(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
