"""Escape 329: what git makes of an entry of a tree, and what was looked at, were not the same: a blob that is written
later, one that is a file in one commit and a link in the next, and folders whose mode is written otherwise."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

WITH = "export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo "
SCRIPTS = {
    "a script that is written later": r"""
        text() { printf '#!/usr/bin/env python3\nimport requests\n'; }; b=$(text | git hash-object --stdin)
        """
    + WITH
    + r"""100755,$b,src/forged
        c=$(git commit-tree -p HEAD -m forged $(git write-tree --missing-ok)); unset GIT_INDEX_FILE
        git update-ref refs/heads/main $c; text | git hash-object -w --stdin""",
    "a link above, with the same text": r"""
        b=$(printf 'import requests #/x.py' | git hash-object -w --stdin)
        """
    + WITH
    + r"""100644,$b,src/forged.py
        c=$(git commit-tree -p HEAD -m forged $(git write-tree))
        git update-index --add --cacheinfo 120000,$b,src/forged.py
        c=$(git commit-tree -p $c -m forged $(git write-tree)); unset GIT_INDEX_FILE
        git update-ref refs/heads/main $c""",
    "a link that was a file": r"""
        printf notes.txt > src/forged.py; git add src; git commit -qm file; echo 'import requests' > src/notes.txt
        git update-index --cacheinfo 120000,$(git rev-parse :src/forged.py),src/forged.py; git commit -qm forged""",
    **{
        f"a folder of mode {mode}": rf"""
        b=$(printf 'import requests' | git hash-object -w --stdin)
        bytes() {{ printf "$(echo $1 | sed 's/../\\x&/g')"; }}
        in=$({{ printf '100644 forged.py\0'; bytes $b; }} | git hash-object -t tree -w --stdin --literally)
        t=$({{ printf '{mode} aforged\0'; bytes $in; git cat-file tree HEAD^{{tree}}; }} | git hash-object -t tree -w --stdin --literally)
        git update-ref refs/heads/main $(git commit-tree -p HEAD -m forged $t)"""
        for mode in ("40755", "40001", "040000", "240000")
    },
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_entries_of_trees(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("mkdir -p src; git add -A && git commit -qm rule")
    cage.held(script, lambda tree: [line for line in cage.subjects(tree) if line.startswith("forged ")])


def test_a_submodule_is_no_content(cage: Cage) -> None:
    script = """git init -q other; git -C other commit -q --allow-empty -m x; git add other; git commit -qm module
        git log -1 --format=%s"""
    cage.profile(ONE_CLIENT)
    cage.both("git add -A && git commit -qm rule")
    assert cage.run(script, timeout=60).stdout.endswith(b"module\n")
