"""Escape 315: a change between judgement and revert, and the last close, make the file look like somebody else's."""

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
    "late write": r"""
import os,subprocess,threading,random,time
stop=False
def ex():
    while not stop: subprocess.run(['/bin/true'])
pid=os.fork()
if not pid: ex()
body=b'import requests\n'+b''.join(b'def f%d(a, b):\n    return a + b * %d\n'%(i,i) for i in range(5000))
for i in range(60):
    f=os.open('src/x%d.py'%i,os.O_WRONLY|os.O_CREAT)
    os.write(f,body)
    time.sleep(random.random()*0.03)
    os.write(f,b'x = 1\n')
    os.close(f)
os.kill(pid,9); os.waitpid(pid,0); subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_changed_by_its_own_writer(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=100)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=100)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
