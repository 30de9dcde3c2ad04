"""Escape 306: only so many names of linked files are remembered."""

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
    "many names": r"""
import os,subprocess
f=os.open('src/n.py',os.O_RDWR|os.O_CREAT)
for i in range(70): os.link('src/n.py','src/l%d.txt'%i)
os.link('src/n.py','src/n2.py'); os.unlink('src/n.py')
os.write(f,b'import requests\n'); os.close(f)
subprocess.run(['/bin/true'])
""".strip(),
    "many files": r"""
import os,subprocess
f=os.open('src/n.py',os.O_RDWR|os.O_CREAT)
os.link('src/n.py','src/n2.py')
os.mkdir('src/fl')
for i in range(1100):
    open('src/fl/%d'%i,'w').close(); os.link('src/fl/%d'%i,'src/fl/%d.l'%i)
os.unlink('src/n.py')
os.write(f,b'import requests\n'); os.close(f)
subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_forgotten_names(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=100)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=100)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
