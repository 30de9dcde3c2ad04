"""The command of a contract may be the agent's own code: it is bound by what binds the run, and hands nothing out."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

RULES = """version = 1
[scope]
hide = [".env*", "~/.netrc", "~/vault/**"]
{scope}
[[data]]
id = "customers"
access = "hide"
paths = ["customers/**", "~/customers.csv"]
why = "they are nobody's"

[[contract]]
id = "checked"
proves = ["pack:default/ask-push"]
when = "{when}"
run = ["bash", "check.sh"]
"""
MARK = "FAKE-CREDENTIAL"
AT_HOME = (".ssh/id_rsa", ".netrc", "vault/inner/key", "customers.csv")
IN_TREE = (".env", ".env.local", "customers/list")
MOMENTS = ["checkpoint", "commit", "stop"]


def tree(govrun: Govrun, repo: Path, when: str, scope: str = "", **files: str) -> None:
    tree_of(govrun, repo, RULES.format(when=when, scope=scope), {"check.sh": "true\n", **files})
    for place, names in ((repo, IN_TREE), (Path(govrun.env["HOME"]), AT_HOME)):
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(f"{MARK} {name}\n")


def agent(repo: Path, script: str, when: str = "commit") -> tuple[str, ...]:
    """Writes the check and commits; what git says is kept in the tree."""
    (repo / "next.sh").write_text(f"{script}\n")
    waits = "; sleep 3" if when == "checkpoint" else ""
    return "bash", "-c", f"cat next.sh > check.sh; git commit -qam x 2> told{waits}"


def detail(outcome: Outcome) -> str:
    found = outcome.records(kind="contract")
    assert found, outcome.stderr
    return str(found[-1]["op"]["detail"])


@pytest.mark.parametrize("when", MOMENTS)
def test_it_reads_nothing_that_is_hidden(repo: Path, govrun: Govrun, when: str) -> None:
    tree(govrun, repo, when)
    names = [*IN_TREE, *(str(repo / name) for name in IN_TREE), *(f"~/{name}" for name in AT_HOME)]
    names += [f"/proc/self/root{repo}/.env", f"{govrun.state}/runs/*/journal.jsonl"]
    script = "n=0\n" + "".join(f"cat {name} && n=$((n+1))\n" for name in names)
    script += f"ln -s {repo}/.env mine; cat mine && n=$((n+1)); ln {repo}/.env hard; cat hard && n=$((n+1))\n"
    script += f"ls {govrun.state}/runs && n=$((n+1)); cat check.sh {repo}/check.sh > copied && exit $((n+100))"
    outcome = govrun(*agent(repo, script, when))
    assert "bash check.sh: exit 100; " in detail(outcome), outcome.stderr
    told = outcome.stderr + json.dumps(outcome.journal) + (repo / "told").read_text()
    assert not [line for line in told.splitlines() if MARK in line]
    assert not list(govrun.state.glob("**/govrun-contract-*"))


def test_a_harmless_one_passes(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit", "processes = 500\nmemory = '4G'\ncpu = '60s'", **{"src.py": "A = 1\n"})
    script = "grep -q A src.py && x=$(mktemp) && echo x > $x && test -s $x && cat <<<here >&2"
    outcome = clean(govrun(*agent(repo, script)))
    assert "passed" in [each["op"]["call"] for each in outcome.records(kind="contract")]
    assert git(govrun, repo, "log", "--format=%s", "-1").strip() == "x"


def test_what_it_says_is_not_for_the_run(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    outcome = govrun(*agent(repo, "echo TOLD; exit 3"))
    told = outcome.stderr + (repo / "told").read_text()
    assert "denied by checked" in told and "bash check.sh: exit 3" in told and "TOLD" not in told
    assert "its output ends: TOLD" in detail(outcome)


def test_it_leaves_nothing_behind(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit")
    places = ("/tmp", "/var/tmp", "/dev/shm")
    name = Path(tempfile.mktemp(prefix="left-", dir="/x")).name
    script = "".join(f"echo x > {place}/{name} && echo OPEN\n" for place in places)
    outcome = govrun(*agent(repo, f"{script}exit 3"))
    assert "exit 3" in detail(outcome) and "OPEN" not in detail(outcome)
    assert not any((Path(place) / name).exists() for place in places)


IPC = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
key = 0x67760000 + int(sys.argv[1])
got = [libc.shmget(key, 64, 0o1600), libc.semget(key, 1, 0o1600), libc.msgget(key, 0o1600)]
libc.shmctl(got[0], 0, None), libc.semctl(got[1], 0, 0), libc.msgctl(got[2], 0, None)
sys.exit(40 + sum(each >= 0 for each in got))
"""


def test_it_shares_no_memory(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, "commit", **{"ipc.py": IPC})
    one, other = 2 * os.getpid(), 2 * os.getpid() + 1  # the whole machine shares these names
    outcome = govrun(*agent(repo, f"python3 ipc.py {one}"))
    assert "exit 40" in detail(outcome)
    assert govrun("python3", "ipc.py", str(other)).code == 43


BOUND = {
    "commands": ("commands = ['bash', 'git', 'cat', 'sleep', 'true']", "uname && exit 0; exit 7", "exit 7"),
    "cpu": ("cpu = '1s'", "while :; do :; done", "exit "),
    "executables": ("tools = { executables = [] }", "cp /bin/true m; chmod +x m; ./m && exit 0; exit 7", "exit 7"),
}


@pytest.mark.parametrize("name", BOUND)
def test_it_is_bound_as_the_run_is(repo: Path, govrun: Govrun, name: str) -> None:
    scope, script, told = BOUND[name]
    tree(govrun, repo, "stop", scope, **{"check.sh": script})
    outcome = govrun("true")
    assert outcome.code == 123, outcome.stderr
    assert told in detail(outcome)
