"""Escape 328: a variable that leads to what the run wrote by way of /proc/self or /dev/fd, which are the supervisor's
own where that looks, or by a name that node alone makes a file of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

RULE = """
[scope]
tools = { executables = ["/build/**"] }
why = "nobody has read it"
"""
SHELL = "mkdir -p sub/docs; echo ': > ../mark' > sub/docs/x; echo ': > mark' > x; "
NODE = "mkdir -p sub/docs m node_modules/m; echo \"require('fs').writeFileSync(process.env.MARK, '')\" > x.js; "
NODE += (
    "cp x.js 'a b.js'; cp x.js m/index.js; cp x.js node_modules/m/index.js; cp x.js sub/docs/x; export MARK=$PWD/mark; "
)
SCRIPTS = {
    "working directory": SHELL + "cd sub; BASH_ENV=/proc/self/cwd/docs/x bash -c :",
    "working directory of a thread": SHELL + "cd sub; BASH_ENV=/proc/thread-self/cwd/docs/x bash -c :",
    "link": SHELL + "ln -s /proc/self/cwd/docs to; cd sub; BASH_ENV=../to/x bash -c :",
    "descriptor": SHELL + "exec 9<x; BASH_ENV=/dev/fd/9 bash -c :",
    "file on the standard input": SHELL + "BASH_ENV=/dev/stdin bash -c : < x",
    "pipe": "echo ': > mark' | BASH_ENV=/dev/stdin bash -c :",
}
BY_NODE = {
    "working directory": NODE + "cd sub; NODE_OPTIONS='-r /proc/self/cwd/docs/x' node -e 0",
    "folder": NODE + "NODE_OPTIONS=--require=./m node -e 0",
    "package": NODE + "cd sub; NODE_OPTIONS=--require=m node -e 0",
    "backslash": NODE + "NODE_OPTIONS='--require \"./a\\ b.js\"' node -e 0",
    "address": NODE + "NODE_OPTIONS='--import=./x%2ejs' node -e 0",
}


def held(cage: Cage, script: str) -> None:
    cage.profile(RULE)
    cage.both("git add -A && git commit -qm rule")
    outcome = cage.held(script, lambda tree: (tree / "mark").exists())
    assert "which this run made" in outcome.stderr or "cannot be told" in outcome.stderr


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_variables_through_proc(cage: Cage, script: str) -> None:
    held(cage, script)


@pytest.mark.needs(node=18)  # --import: 18.18
@pytest.mark.parametrize("script", BY_NODE.values(), ids=BY_NODE)
def test_modules_of_node(cage: Cage, script: str) -> None:
    held(cage, script)


@pytest.mark.parametrize("script", ["BASH_ENV=/dev/null bash -c ': > mark'", "GIT_PAGER=cat bash -c ': > mark'"])
def test_what_holds_nothing_is_free(cage: Cage, script: str) -> None:
    cage.profile(RULE)
    outcome = cage.run(f": > cat; {script}", timeout=60)
    assert (cage.tree / "mark").exists(), outcome.stderr[-2000:]
