"""Escape 308: a branch, or HEAD, that is a symbolic ref into a namespace where commits are not judged."""

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
    "branch first": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git symbolic-ref refs/heads/evil refs/bisect/evil; git update-ref refs/bisect/evil $c
""".strip(),
    "branch last": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git update-ref refs/notes/evil $c; git symbolic-ref refs/heads/evil refs/notes/evil
""".strip(),
    "HEAD": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git update-ref refs/notes/evil $c; git symbolic-ref HEAD refs/notes/evil
""".strip(),
    "HEAD first": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git symbolic-ref HEAD refs/rewritten/evil; git update-ref HEAD $c
""".strip(),
    "stash": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git update-ref refs/stash $c; git symbolic-ref refs/heads/evil refs/stash
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Branches with the commits that brought a forbidden import."""
    look = "for ref in $(git for-each-ref --format='%(refname)' refs/heads refs/tags) HEAD; do git log --format=\"$ref %s\" -S'import requests' $ref --; done"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_symbolic_refs(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
