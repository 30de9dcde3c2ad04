"""Escape 310: a fetch that gives a commit of the run a remote name makes it other people's work."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """git add -A && git commit -qm rule; git remote add origin https://example.com/x.git; git clone -q --bare . ../bare$(basename $PWD).git; git remote add local ../bare$(basename $PWD).git"""
SCRIPTS = {
    "refmap": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
git update-ref refs/bisect/evil $c; git fetch -q --refmap='+refs/bisect/*:refs/remotes/origin/*' . refs/bisect/evil; git merge -q --ff-only origin/evil
""".strip(),
    "refspecs on stdin": r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
c=$(git commit-tree -p HEAD -m forged $(git write-tree)); unset GIT_INDEX_FILE
echo "+$c:refs/remotes/origin/evil" > spec.txt; git fetch -q --stdin . < spec.txt; git merge -q --ff-only origin/evil
""".strip(),
    "insteadOf from the environment": r"""
git init -q own; cd own; git config user.name x; git config user.email x@x
b=$(echo 'import requests' | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$b,src/forged.py; git commit -qm evil; cd ..
export FROM=https://example.com/x.git; git --config-env=url.$PWD/own.insteadOf=FROM fetch -q origin
git merge -q --no-edit --allow-unrelated-histories origin/main || git merge -q --no-edit --allow-unrelated-histories origin/master
""".strip(),
    "upload-pack": r"""
git init -q own; cd own; git config user.name x; git config user.email x@x
b=$(echo 'import requests' | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$b,src/forged.py; git commit -qm evil; cd ..
printf '#!/bin/sh\nexec git-upload-pack %s/own\n' $PWD > src/up; chmod +x src/up; git fetch -q --upload-pack=$PWD/src/up local
git merge -q --no-edit --allow-unrelated-histories local/main || git merge -q --no-edit --allow-unrelated-histories local/master
""".strip(),
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Branches with the commits that brought a forbidden import."""
    look = "for ref in $(git for-each-ref --format='%(refname)' refs/heads refs/tags) HEAD; do git log --format=\"$ref %s\" -S'import requests' $ref --; done"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_forged_fetches(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    words = cage.script(script) if script.startswith("import ") else script
    bare = cage.bare(words, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(words, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
