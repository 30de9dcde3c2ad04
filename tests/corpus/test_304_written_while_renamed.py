"""Escape 304: a descriptor from before a rename writes between the judgement of the rename and the watch."""

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
    "race": r"""
import os,threading,subprocess,time
n=0
def one(i):
    p='src/t%d.txt'%i; fd=os.open(p,os.O_RDWR|os.O_CREAT); os.write(fd,b'import json    \n')
    stop=[]
    import random
    delay=random.random()*0.0004
    def w():
        t=time.perf_counter()+delay
        while time.perf_counter()<t: pass
        os.pwrite(fd,b'import requests\n',0); os.close(fd)
    th=threading.Thread(target=w); th.start()
    try: os.rename(p,'src/n%d.py'%i)
    except OSError: pass
    th.join()
for i in range(3000): one(i)
subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_written_while_renamed(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=200)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=200)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
