"""Escape 301: a store to a page that is dirty already moves no time stamp, and it may be the last one."""

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
    "mapped": r"""
import mmap,os,subprocess
f=os.open('src/m.py',os.O_RDWR|os.O_CREAT); os.ftruncate(f,16)
m=mmap.mmap(f,16); os.close(f)
m[:]=b'import json    \n'; subprocess.run(['/bin/true'])
m[:]=b'import requests\n'; subprocess.run(['/bin/true']); subprocess.run(['/bin/cat','src/m.py'])
m.close(); subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Sources that begin with a forbidden import."""
    look = "grep -rlE '^(import requests|require..lodash)' --include=*.py --include=*.js . | sort"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_mapped_twice(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
