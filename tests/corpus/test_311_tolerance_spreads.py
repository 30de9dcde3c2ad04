"""Escape 311: what is tolerated in one file is tolerated where it moves to, and still where it came from."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """git add -A; git commit -qm rule; git switch -qc colleague; printf 'import requests\n' > src/theirs.py; git add -A; git commit -qm theirs; git switch -q main; printf 'import requests\n' > src/old.py; git add -A; git commit -qm old"""
SCRIPTS = {
    "rename and write again": r"""
for i in 1 2 3; do mv src/old.py src/copy$i.py; echo 'import requests' > src/old.py; /bin/true; done
""".strip(),
    "restore and rename": r"""
for i in 1 2; do git restore --source=colleague src/theirs.py; mv src/theirs.py src/mine$i.py; done; git restore --source=colleague src/theirs.py; git add -A; git commit -qm spread
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """1 to the number of sources that begin with a forbidden import."""
    look = "seq $(grep -rl '^import requests' --include=*.py . | wc -l)"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_tolerance_spreads(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    if "colleague" in script:
        left -= {str(len(before) + 1)}  # the file that came back
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
