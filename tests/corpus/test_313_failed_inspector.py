"""Escape 313: while the inspector is down, the base of a file cannot be read either, and then nothing is new."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """printf 'x = 1 # requests\n' > src/named.py; git add -A && git commit -qm rule"""
SCRIPTS = {
    "overdue": r"""
import subprocess,time,os
big=b'import requests_x\n' + b'x=(' + b'[' * 1000000
for i in range(8):
    t=time.time()
    with open('src/b%d.js'%i,'wb') as f: f.write(b'/* lodash */' + b'{'*1900000)
    subprocess.run(['/bin/true']); print(i,round(time.time()-t,2),flush=True)
open('src/named.py','a').write('import requests\n')
subprocess.run(['/bin/true'])
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """The file whose base names it."""
    look = "grep -l '^import requests' src/named.py"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_failed_inspector(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=110)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=110)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
