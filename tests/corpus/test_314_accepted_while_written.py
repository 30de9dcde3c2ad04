"""Escape 314: the version to go back to is read after the judgement, when a writer may have written on."""

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
    "second read": r"""
import os,subprocess,threading,time
body=b'# requests\n'+b''.join(b'def f%d(a, b):\n    return a + b * %d\n'%(i,i) for i in range(45000))
import sys
for k in range(8):
    p='src/x%d.py'%k
    f=os.open(p,os.O_RDWR|os.O_CREAT); os.write(f,body)
    t0=time.time(); pid=os.fork()
    if not pid: os.execv('/bin/true',['true'])
    time.sleep(0.05+0.08*k)
    os.pwrite(f,b'import requests\n#',0)
    os.waitpid(pid,0); dt=time.time()-t0
    os.close(f)
    subprocess.run(['/bin/true']); subprocess.run(['/bin/true'])
    print(k,round(dt,2),open(p,'rb').read(16) if os.path.exists(p) else None,flush=True)
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_accepted_while_written(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=100)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=100)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
