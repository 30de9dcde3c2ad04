"""Escape 327: a fetch whose source the run has chosen, though no option and no remote says so."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import subprocess
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
PREPARE = """
git add -A && git commit -qm rule; git remote add origin https://example.com/x.git; git remote add sshy ssh://example.com/x.git; git remote add far ../bad
git config extensions.worktreeConfig true
"""
OWN = r"""
T=${TMPDIR:-$OUT}
git init -q bad; cd bad; git config user.name m; git config user.email m@agents.example
git fetch -q .. HEAD; git reset -q --hard FETCH_HEAD
b=$(printf 'import requests\n' | git hash-object -w --stdin); mkdir -p src
git update-index --add --cacheinfo 100644,$b,src/forged.py; git commit -qm forged; EDIT
git tag v9; cd ..
"""
BAD = OWN.replace("; EDIT", "")
CUT = OWN.replace("EDIT", "git rm -q --cached src/forged.py; git commit -qm later")
MERGE = "git merge -q --ff-only origin/main"
INSTEAD = r"""printf '[url "%s/bad"]\n insteadOf = https://example.com/x.git\n' $PWD"""
SCRIPTS = {
    "HOME": f"{BAD}mkdir -p $T/h; {INSTEAD} > $T/h/.gitconfig; HOME=$T/h git fetch origin; {MERGE}",
    "XDG_CONFIG_HOME": f"{BAD}mkdir -p $T/h/git; {INSTEAD} > $T/h/git/config; XDG_CONFIG_HOME=$T/h git fetch origin; {MERGE}",
    "a file in remotes": BAD
    + r"mkdir -p .git/remotes; printf 'URL: %s/bad\nPull: refs/heads/main:refs/remotes/origin/main\n' $PWD > .git/remotes/zz; git fetch zz; "
    + MERGE,
    "a file in branches": f"{CUT}mkdir -p .git/branches; echo $PWD/bad > .git/branches/zz; git fetch --depth=1 -t zz; git fetch --unshallow -t zz",
    "ssh on PATH": BAD
    + r"mkdir -p $T/b; printf '#!/bin/sh\nexec git-upload-pack %s/bad\n' $PWD > $T/b/ssh; chmod +x $T/b/ssh; "
    + "PATH=/usr/..$T/b:$PATH git fetch sshy; git merge -q --ff-only sshy/main",
    "a folder": f"{CUT}git fetch --depth=1 -t bad; git fetch --unshallow bad",
    "the remote of a branch": f"{CUT}git config branch.main.remote $PWD/bad; git fetch --depth=1 -t; git fetch --unshallow",
    "a folder beside another work tree": f"{BAD}git worktree add -q wt; cd wt; git fetch far; cd ..; git merge -q --ff-only far/main",
    "a repository that shares refs": BAD
    + r"mkdir -p sub/.git; cp .git/HEAD sub/.git; echo $PWD/.git > sub/.git/commondir; "
    + INSTEAD
    + f" > sub/.git/config.worktree; git -C sub fetch origin; {MERGE}",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_sources_that_the_run_chose(cage: Cage, script: str) -> None:
    cage.profile(RULE)
    cage.both(PREPARE)
    cage.held(script, lambda tree: [line for line in cage.subjects(tree) if line.startswith("forged")])


GIVEN = {
    "a folder of the tree on the given PATH": BAD
    + r"mkdir -p .venv/bin; printf '#!/bin/sh\nexec git-upload-pack %s/bad\n' $PWD > .venv/bin/ssh; chmod +x .venv/bin/ssh; sleep 0.2; "
    + "git fetch sshy; git merge -q --ff-only sshy/main",
    "and taken away before it ends": BAD
    + r"mkdir -p .venv/bin; printf '#!/bin/sh\nrm %s/.venv/bin/ssh\nexec git-upload-pack %s/bad\n' $PWD $PWD > .venv/bin/ssh; "
    + "chmod +x .venv/bin/ssh; sleep 0.2; git fetch sshy; git merge -q --ff-only sshy/main",
    "and the folder above renamed": BAD
    + r"mkdir -p v/bin .venv/bin; printf '#!/bin/sh\ncd %s; mv .venv old; mv v .venv; exec git-upload-pack %s/bad\n' $PWD $PWD > .venv/bin/ssh; "
    + "chmod +x .venv/bin/ssh; sleep 0.2; git fetch sshy; git merge -q --ff-only sshy/main",
    "another program in place of ssh": BAD
    + r"mkdir -p .venv/bin; printf '#!/bin/sh\nexec git-upload-pack %s/bad\n' $PWD > .venv/bin/ours; chmod +x .venv/bin/ours; sleep 0.2; "
    + "git fetch sshy; git merge -q --ff-only sshy/main",
    "settings that the repository takes in": f"{BAD}{INSTEAD} > .gitconfig; git fetch origin; {MERGE}",
    "settings that the user takes in": f"{BAD}{INSTEAD} > .usual; git fetch origin; {MERGE}",
}


@pytest.mark.parametrize("script", GIVEN.values(), ids=GIVEN)
def test_places_that_were_given_and_are_the_runs(cage: Cage, script: str) -> None:
    cage.profile(RULE)
    cage.both(PREPARE)
    if ".gitconfig" in script:
        cage.both("git config include.path ../.gitconfig")
    for tree, home in ((cage.tree, cage.home), (cage.twin_tree, cage.twin_home)):
        with (home / ".gitconfig").open("a") as file:
            file.write(f"[include]\n path = {tree}/.usual\n" if ".usual" in script else "")
            file.write("[core]\n sshCommand = ours -q\n" if "/ours" in script else "")
    folders = f"{cage.tree}/.venv/bin:{cage.twin_tree}/.venv/bin"
    cage.env["PATH"] = f"{folders}:{cage.govrun.env['PATH']}"
    cage.held(script, lambda tree: [line for line in cage.subjects(tree) if line.startswith("forged")])


@pytest.mark.parametrize(
    "script",
    [
        "git fetch",
        "git fetch origin",
        "git pull -q --ff-only",
        "git worktree add -q -b topic wt; git branch -q --track other main; sleep 0.1; cd wt; git fetch",
    ],
)
def test_sources_that_were_configured(cage: Cage, script: str) -> None:
    """What comes from where it did at the start is other people's, whoever wrote it; with an environment in the tree,
    and settings that the user keeps elsewhere."""
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule; mkdir -p .venv/bin; echo .venv >> .git/info/exclude")
    with (cage.home / ".gitconfig").open("a") as file:
        file.write("[include]\n path = ~/.more\n")
    cage.env["PATH"] = f"{cage.tree}/.venv/bin:{cage.govrun.env['PATH']}"
    theirs = "git clone -q . ../theirs; cd ../theirs; git commit -q --author='o <f@x.example>' --allow-empty -m t; git tag v1"
    subprocess.run(["bash", "-ec", theirs], cwd=cage.tree, env=cage.govrun.env, check=True)
    added = "git remote add origin $(realpath ../theirs); git config branch.main.remote origin; git config branch.main.merge refs/heads/main"
    subprocess.run(["bash", "-ec", added], cwd=cage.tree, env=cage.govrun.env, check=True)
    outcome = cage.run(f"{script}; git rev-parse --verify -q v1 && git merge -q --ff-only origin/main", timeout=60)
    assert not outcome.denied(), outcome.stderr[-2000:]
    assert outcome.code == 0, outcome.stderr[-2000:]
