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


SERVES = r"printf '#!/bin/sh\n%s\nexec git-upload-pack %s/bad\n' "
SSHY = "sleep 0.3; git fetch sshy; git merge -q --ff-only sshy/main"
OURS = (
    BAD
    + "mkdir -p .venv/bin scripts; "
    + SERVES
    + ": $PWD > .venv/bin/ours; chmod +x .venv/bin/ours; cp .venv/bin/ours scripts; "
    + SSHY
)
GIVEN = {
    "a folder of the tree on the given PATH": ("", f"{BAD}mkdir -p .venv/bin; {SERVES} : $PWD > .venv/bin/ssh; chmod +x .venv/bin/ssh; {SSHY}"),
    "and taken away before it ends": (
        "", f'{BAD}mkdir -p .venv/bin; {SERVES} "rm $PWD/.venv/bin/ssh" $PWD > .venv/bin/ssh; chmod +x .venv/bin/ssh; {SSHY}'
    ),
    "and the folder above renamed": (
        "", f'{BAD}mkdir -p v/bin .venv/bin; {SERVES} "cd $PWD; mv .venv old; mv v .venv" $PWD > .venv/bin/ssh; chmod +x .venv/bin/ssh; {SSHY}'
    ),
    "and a link in it to elsewhere": (
        "mkdir .venv; ln -s /usr/share .venv/bin",
        f'{BAD}mkdir -p v/bin; {SERVES} "cd $PWD; mv .venv v; mv old .venv" $PWD > v/bin/ssh; chmod +x v/bin/ssh; mv .venv old; mv v .venv; {SSHY}',
    ),
    "a folder in front of it": ("", f"{BAD}mkdir -p a; {SERVES} : $PWD > a/ssh; chmod +x a/ssh; export PATH=$PWD/a:$PATH; {SSHY}"),
    "another program in place of ssh": ("git config --global core.sshCommand 'ours -q'", OURS),
    "another program after a word": ("git config --global core.sshCommand 'env A=1 ours -q'", OURS),
    "another program after a path": ("git config core.sshCommand '/usr/bin/stdbuf -o L ours'", OURS),
    "another program after a variable": ("git config core.sshCommand 'A=1 ours -q'", OURS),
    "a program of the tree in place of ssh": ("git config core.sshCommand scripts/ours", OURS),
    "a helper of another scheme": (
        "git remote add hx zz::x",
        BAD + r"""mkdir -p .venv/bin; printf '#!/bin/sh\ncd %s/bad; exec git remote-ext origin "git-upload-pack %s/bad"\n' $PWD $PWD > .venv/bin/git-remote-zz; """
        "chmod +x .venv/bin/git-remote-zz; sleep 0.3; git fetch hx; git merge -q --ff-only hx/main",
    ),
    "settings that the repository takes in": ("git config include.path ../.gitconfig", f"{BAD}{INSTEAD} > .gitconfig; sleep 0.3; git fetch origin; {MERGE}"),
    "settings that the user takes in": ("git config --global include.path $PWD/.usual", f"{BAD}{INSTEAD} > .usual; sleep 0.3; git fetch origin; {MERGE}"),
    "settings by a link of the tree": (
        "ln -s /usr/share lnk; git config --global include.path $PWD/lnk/extra",
        BAD + "mkdir ev; " + SERVES + '"cd $PWD; rm lnk; ln -s /usr/share lnk" $PWD > s.sh; chmod +x s.sh; '
        + r"printf '[core]\n sshCommand = %s/s.sh\n' $PWD > ev/extra; rm lnk; ln -s ev lnk; " + SSHY,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "script"), GIVEN.values(), ids=GIVEN)
def test_places_that_were_given_and_are_the_runs(cage: Cage, before: str, script: str) -> None:
    cage.profile(RULE)
    cage.both(PREPARE)
    cage.both(f"export GIT_CONFIG_GLOBAL=$HOME/.gitconfig; {before}")
    folders = f"{cage.tree}/.venv/bin:{cage.twin_tree}/.venv/bin"
    cage.env["PATH"] = f"{folders}:{cage.govrun.env['PATH']}"
    cage.held(script, lambda tree: [line for line in cage.subjects(tree) if line.startswith("forged")])


@pytest.mark.parametrize(
    "script",
    [
        "git fetch",
        "git fetch origin",
        "git pull -q --ff-only",
        "git fetch -q --all",
        ". .venv/bin/activate; git fetch",
        "git worktree add -q -b topic wt; git branch -q --track other main; sleep 0.1; cd wt; git fetch",
    ],
)
def test_sources_that_were_configured(cage: Cage, script: str) -> None:
    """What comes from where it did at the start is other people's, whoever wrote it; with an environment in the tree,
    and settings that the user keeps elsewhere."""
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule; mkdir -p .venv/bin; echo .venv >> .git/info/exclude")
    cage.both("echo 'PATH=$PWD/other/bin:$PATH' > .venv/bin/activate; mkdir -p other/bin")
    with (cage.home / ".gitconfig").open("a") as file:
        file.write("[core]\n sshCommand = ssh -i ~/.ssh/key -F /etc/ssh/ssh_config -o StrictHostKeyChecking=yes\n")
        for number in range(20):
            file.write(f'[includeIf "gitdir:~/work{number}/"]\n path = ~/.more{number}\n')
    cage.env["PATH"] = f"{cage.tree}/.venv/bin:{cage.govrun.env['PATH']}"
    theirs = "git clone -q . ../theirs; cd ../theirs; git commit -q --author='o <f@x.example>' --allow-empty -m t; git tag v1"
    subprocess.run(["bash", "-ec", theirs], cwd=cage.tree, env=cage.govrun.env, check=True)
    added = "git remote add origin $(realpath ../theirs); git config branch.main.remote origin; git config branch.main.merge refs/heads/main"
    added += "; git remote add second $(realpath ../theirs)" if "--all" in script else ""
    subprocess.run(["bash", "-ec", added], cwd=cage.tree, env=cage.govrun.env, check=True)
    outcome = cage.run(f"{script}; git rev-parse --verify -q v1 && git merge -q --ff-only origin/main", timeout=60)
    assert not outcome.denied(), outcome.stderr[-2000:]
    assert outcome.code == 0, outcome.stderr[-2000:]
