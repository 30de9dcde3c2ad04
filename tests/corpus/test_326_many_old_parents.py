"""Escape 326: so many commits that were there already, each a parent of a new one, that the new ones beneath are not
looked at any more."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

OLD = """
import subprocess
who = "committer x <x@x.example> 1700000000 +0000\\ndata 1\\nx\\n"
stream = "".join(f"commit refs/heads/old\\nmark :{n}\\n{who}" for n in range(1, 1201))
subprocess.run(["git", "fast-import", "--quiet", "--export-marks=.git/marks"], input=stream.encode(), check=True)
"""
NEW = """
import subprocess
old = sorted((int(line[1:].split()[0]), line.split()[1]) for line in open(".git/marks"))
head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
who = "committer x <x@x.example> 1700000001 +0000\\n"
out, last = [], head
for n in range(1300):
    mark = 2001 + n
    out.append(f"commit refs/heads/new\\nmark :{mark}\\n{who}data 3\\nnew\\nfrom {last}\\n")
    if n >= 5:
        out.append(f"merge {old[n % 1200][1]}\\n")
    if n == 1:
        out.append("M 100644 inline src/forged.py\\ndata 16\\nimport requests\\n\\n")
    if n == 2:
        out.append("D src/forged.py\\n")
    last = f":{mark}"
subprocess.run(["git", "fast-import", "--quiet"], input="".join(out).encode(), check=True)
"""


def forbidden(cage: Cage, tree: Path) -> str:
    """Commits that brought a forbidden import."""
    words = ["git", "log", "--format=%H", "-Simport requests", "--all", "--", "src/forged.py"]
    return subprocess.run(words, cwd=tree, env=cage.govrun.env, capture_output=True, text=True).stdout


def test_many_old_parents(cage: Cage) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("git add -A && git commit -qm rule")
    for tree in (cage.tree, cage.twin_tree):
        subprocess.run(["python3", "-c", OLD], cwd=tree, env=cage.govrun.env, check=True)
    script = cage.script(NEW)
    outcome = cage.held(script, lambda tree: forbidden(cage, tree), timeout=120)
    assert "one-http-client" in outcome.stderr
