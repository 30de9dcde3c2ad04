"""Escape 305: so many judged files are held open that one more cannot be kept in sight; its rename fails and has happened."""

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
    "flood": r"""
import os,resource,subprocess
resource.setrlimit(resource.RLIMIT_NOFILE,(resource.getrlimit(resource.RLIMIT_NOFILE)[1],)*2)
os.mkdir('src/fl'); fds=[]
try:
    for i in range(6000): fds.append(os.open('src/fl/%d.py'%i,os.O_WRONLY|os.O_CREAT))
except OSError as e: print(len(fds),e)
g=os.open('src/t.txt',os.O_RDWR|os.O_CREAT)
try: os.rename('src/t.txt','src/n.py')
except OSError as e: print('rename',e, os.path.exists('src/n.py'))
os.write(g,b'import requests\n'); os.close(g)
subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_ledger_full(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=100)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=100)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
