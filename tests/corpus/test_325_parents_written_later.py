"""Escape 325: a commit whose parent is not there yet. git sets a ref to it all the same, and what is written later
under the id of the parent belongs to the history, though no ref moves any more."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = (
    ONE_CLIENT
    + """[scope]
commits = { author = "*@agents.example" }
why = "who wrote what"
"""
)
GOOD = "export GIT_AUTHOR_EMAIL=m@agents.example"
FORGED = r"""
b=$(echo 'import requests' | git hash-object -w --stdin)
export GIT_INDEX_FILE=.git/other; git read-tree HEAD; git update-index --add --cacheinfo 100644,$b,src/forged.py
t=$(git write-tree); unset GIT_INDEX_FILE
"""
# $p is the raw parent; it is written once the ref has moved.
LATER = r"""
p=$(printf 'tree %s\nparent %s\n%s\n\nforged\n' $t $(git rev-parse HEAD) "$(git cat-file commit HEAD | grep -E '^(author|committer)')" | sed "$edit" | base64 -w0)
id=$(echo $p | base64 -d | git hash-object -t commit --stdin)
c=$(git cat-file commit HEAD | sed "s/^author .*/author m <m@agents.example> 1700000000 +0000/; s/^parent .*//; /^$/d; s/^tree .*/tree $(git rev-parse HEAD^{tree})\nparent $id/; s/^committer .*/&\n/" | git hash-object -t commit -w --stdin --literally)
REF
echo $p | base64 -d | git hash-object -t commit -w --stdin --literally
"""
AS_AGENT = "edit='s/^author .*/author m <m@agents.example> 1700000000 +0000/'"
SCRIPTS = {
    "content": FORGED + AS_AGENT + LATER.replace("REF", "git update-ref refs/heads/main $c"),
    "content, by a tag": FORGED
    + AS_AGENT
    + LATER.replace("REF", "git -c user.name=m -c user.email=m@agents.example tag -a -m x evil $c"),
    "author": "t=$(git rev-parse HEAD^{tree}); edit='s/^author .*/author Forged <f@x.example> 1700000000 +0000/'"
    + LATER.replace("REF", "git update-ref refs/heads/main $c"),
}


def forged(cage: Cage, tree: Path) -> list[str]:
    return [line for line in cage.subjects(tree) if line.startswith("forged")]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_parents_written_later(cage: Cage, script: str) -> None:
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule")
    outcome = cage.held(script, lambda tree: forged(cage, tree))
    assert "is not here" in outcome.stderr


def test_what_is_cut_off_at_the_start_or_by_a_fetch(cage: Cage) -> None:
    """A shallow clone has no parents where it ends, and what it fetches has none either."""
    cage.both("git add -A && git commit -qm rule; git commit -q --allow-empty -m two")

    def done(tree: Path, script: str) -> str:
        words = ["bash", "-ec", script]
        return subprocess.run(words, cwd=tree, env=cage.govrun.env, stdout=-1, check=True, text=True).stdout.strip()

    done(cage.tree, f"git remote add origin file://{cage.twin_tree}; git fetch -q --depth=1 origin HEAD")
    cut = done(cage.tree, "git rev-parse FETCH_HEAD; git update-ref -d refs/remotes/origin/main")
    assert cut in (cage.tree / ".git/shallow").read_text()
    tag = done(
        cage.twin_tree,
        "git commit -q --allow-empty -m 3; git commit -q --allow-empty -m 4; git tag v4; git rev-parse v4",
    )
    outcome = cage.run(f"git branch cut {cut}; git fetch -q --depth=1 origin tag v4; git rev-parse cut v4")
    assert outcome.stdout.decode().split()[-2:] == [cut, tag], outcome.stderr
    assert tag in (cage.tree / ".git/shallow").read_text()
