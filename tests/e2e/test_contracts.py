"""``[[contract]]`` in real runs: what has to be shown before anything starts, and at the end."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record

RULES = """version = 1
[[dependency]]
id = "one-http-client"
adr = "0003"
deny = ["pypi:requests"]

[[command]]
id = "no-publish"
adr = "0003"
deny = ["publish"]
"""
PROVED = """
[[contract]]
id = "proved"
proves = ["{proves}"]
when = "{when}"
{rest}
"""


def tree(govrun: Govrun, repo: Path, *contracts: str, **files: str) -> Path:
    return tree_of(govrun, repo, RULES + "".join(contracts), {"src/app.py": "A = 1\n", **files})


def contract(rest: str, when: str = "stop", proves: str = "one-http-client", name: str = "proved") -> str:
    return PROVED.format(proves=proves, when=when, rest=rest).replace('"proved"', f'"{name}"')


def shown(outcome: Outcome) -> list[Record]:
    found = outcome.records(kind="contract")
    assert all(each["op"].keys() == {"id", "proves", "call", "detail"} for each in found)
    return found


TRIES = {
    "exec": ('try = { exec = "pip install requests" }', "one-http-client"),
    "write": ('try = { write = "src/x.py: import requests" }', "one-http-client"),
    "publish": ('try = { exec = "twine upload dist/x.whl" }', "no-publish"),
}


@pytest.mark.parametrize("name", TRIES)
def test_an_attempt_that_is_refused(repo: Path, govrun: Govrun, name: str) -> None:
    text, proves = TRIES[name]
    tree(govrun, repo, contract(f'{text}\nexpect = "refused"', "start", proves))
    outcome = clean(govrun("bash", "-c", "echo >> src/app.py; git commit -qam x"))
    assert [each["op"]["call"] for each in shown(outcome)] == ["passed"]
    assert " 5 contract 1/1 passed coverage=" in note(govrun, repo)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ('try = { exec = "pip install httpx" }\nexpect = "refused"', "is answered with allow, not refused"),
        ('try = { write = "src/x.py: import httpx" }\nexpect = "deny"', "is answered with allow, not deny"),
        ('try = { exec = "pip install requests" }\nexpect = "allow"', "is answered with deny, not allow"),
        # Refused, but by another rule than the one that it is to prove.
        ('try = { exec = "twine upload dist/x.whl" }\nexpect = "refused"', "says nothing of one-http-client"),
        ('try = { write = "../x.py: import requests" }\nexpect = "refused"', "names no file"),
        ('run = ["false"]', "exit 1"),
    ],
)
def test_what_is_not_met_at_the_start_starts_nothing(repo: Path, govrun: Govrun, rest: str, told: str) -> None:
    tree(govrun, repo, contract(rest, "start"))
    outcome = govrun("touch", "src/started")
    assert outcome.code == 125
    assert "1 contract not met at the start" in outcome.stderr and told in outcome.stderr and "proved" in outcome.stderr
    assert not (repo / "src/started").exists()
    assert note(govrun, repo) == ""


@pytest.mark.parametrize(
    ("command", "code", "word"), [('"test", "-d", "src"', 0, "PASSED"), ('"test", "-d", "no"', 123, "FAILED")]
)
def test_a_command_at_the_end(repo: Path, govrun: Govrun, command: str, code: int, word: str) -> None:
    tree(govrun, repo, contract(f"run = [{command}]"))
    outcome = govrun("bash", "-c", "echo >> src/app.py; git commit -qam x")
    assert outcome.code == code, outcome.stderr
    (said,) = shown(outcome)
    assert said["op"]["call"] == ("passed" if code == 0 else "failed") and said["op"]["proves"] == ["one-http-client"]
    assert ("contract proved (govrun.toml:" in outcome.stderr) == (code != 0)
    told = note(govrun, repo)
    assert f" 0 govrun/1 {word} " in told and f" 5 contract {int(code == 0)}/1 passed coverage=" in told


def test_some_of_several(repo: Path, govrun: Govrun) -> None:
    tree(
        govrun, repo,
        contract('run = ["test", "-d", "src"]', "start", name="one"),
        contract('run = ["test", "-e", "src/new.py"]', name="two"),
        contract('run = ["test", "!", "-e", "src/new.py"]', name="three"),
        contract('try = { exec = "pip install requests" }\nexpect = "refused"', "start", name="four"),
    )  # fmt: skip
    outcome = govrun("bash", "-c", "echo > src/new.py; git add -A; git commit -qm x")
    assert outcome.code == 123, outcome.stderr
    assert {each["op"]["id"]: each["op"]["call"] for each in shown(outcome)} == {
        "two": "passed", "three": "failed", "four": "passed",
    }  # fmt: skip
    assert " 5 contract 3/4 passed coverage=" in note(govrun, repo)


def test_without_contracts_there_is_nothing_to_count(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo)
    clean(govrun("true"))
    assert " 5 contract - coverage=" in note(govrun, repo)


OUTSIDE = {
    "beside the copy": 'echo x > "$OUT/mark" && exit 0; exit 7',
    "in the tree": 'echo x > "$TREE/src/mark" && exit 0; exit 7',
    "in the home": 'echo x > "$HOME/mark" && exit 0; exit 7',
    "this host": "exec 3<> /dev/tcp/127.0.0.1/$PORT && exit 0; exit 7",
    "a far host": "exec 3<> /dev/tcp/192.0.2.1/80 && exit 0; exit 7",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_command_writes_in_its_copy_and_reaches_nothing(repo: Path, govrun: Govrun, name: str) -> None:
    out = repo.parent / "out"
    out.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = OUTSIDE[name].replace("$OUT", str(out)).replace("$TREE", str(repo))
        script = script.replace("$PORT", str(server.getsockname()[1]))
        tree(govrun, repo, contract('run = ["bash", "prove.sh"]'), **{"prove.sh": script})
        outcome = govrun("true")
    assert outcome.code == 123, outcome.stderr
    assert "exit 7" in shown(outcome)[0]["op"]["detail"]
    assert "denied" in shown(outcome)[0]["op"]["detail"]
    for place in (out, repo / "src", Path(govrun.env["HOME"])):
        assert not (place / "mark").exists()


def test_what_it_writes_stays_in_the_copy(repo: Path, govrun: Govrun) -> None:
    script = "echo mine >> src/app.py && grep -q mine src/app.py && echo > new.txt && test ! -e .git"
    tree(govrun, repo, contract('run = ["bash", "prove.sh"]'), **{"prove.sh": script})
    clean(govrun("true"))
    assert (repo / "src/app.py").read_text() == "A = 1\n" and not (repo / "new.txt").exists()
    assert git(govrun, repo, "status", "--porcelain") == ""
    assert not list((govrun.state).glob("**/govrun-contract-*"))


def test_a_proof_where_no_rule_speaks_of_content(repo: Path, govrun: Govrun) -> None:
    rest = 'run = ["bash", "checks/prove.sh"]\npaths = ["checks/**"]'
    rules = RULES[RULES.index("[[command]]") :] + contract(rest, proves="no-publish")
    files = {"checks/prove.sh": "grep -q A src/app.py\n", "src/app.py": "A = 1\n"}
    tree_of(govrun, repo, "version = 1\n" + rules, files)
    clean(govrun("true"))
    outcome = govrun("bash", "-c", "echo >> checks/prove.sh")
    assert outcome.code == 123 and "proof changed: the run has changed checks/prove.sh" in outcome.stderr


BASELESS = {
    "no repository": ("rm -rf .git", "there is no commit that they could be compared with"),
    "no commit": ("rm -rf .git; git init -q", "there is no commit that they could be compared with"),
    "none of them committed": (
        "git rm -rq --cached checks; git commit -qm x",
        "no file of the commit that the run",
    ),
    "one of them not committed": ("echo > checks/y", "not as the commit has them: checks/y"),
    "changed": ("echo >> checks/x", "not as the commit has them: checks/x"),
    "gone": ("rm checks/x", "not as the commit has them: checks/x"),
}


@pytest.mark.parametrize("name", BASELESS)
@pytest.mark.parametrize("when", ["checkpoint", "commit", "stop"])
def test_a_proof_without_a_base(repo: Path, govrun: Govrun, name: str, when: str) -> None:
    """What it was cannot be told afterwards: that is no proof."""
    change, told = BASELESS[name]
    rest = 'run = ["sh", "checks/x"]\npaths = ["checks/**"]'
    tree(govrun, repo, contract(rest, when), **{"checks/x": "true\n", "checks/z": ""})
    govrun.bare("sh", "-c", change, cwd=repo)
    outcome = govrun("touch", "src/started")
    assert outcome.code == 125 and not (repo / "src/started").exists()
    assert "1 contract cannot be shown: nobody could tell whether the run has changed the proof" in outcome.stderr
    assert ": proved: " in outcome.stderr and told in outcome.stderr
    assert "fix: commit the files that the proof stands on, or take them out of `paths`" in outcome.stderr


def test_a_proof_of_the_start_needs_no_base(repo: Path, govrun: Govrun) -> None:
    tree(govrun, repo, contract('run = ["sh", "checks/x"]\npaths = ["checks/**"]', "start"), **{"checks/x": "true\n"})
    shutil.rmtree(repo / ".git")
    clean(govrun("true"))


@pytest.mark.parametrize(
    "change",
    [
        "echo exit 0 > checks/prove.sh",
        "rm checks/prove.sh",
        "mkdir checks/more; echo > checks/more/x.sh",
        "mv checks/prove.sh checks/other.sh",
        "rm checks/prove.sh; ln -s /bin/true checks/prove.sh",
        "git rm -q checks/list.txt; git commit -qm shorter",
        "echo exit 0 > checks/prove.sh; git commit -qam weaker",
    ],
)
def test_a_proof_that_the_run_has_changed(repo: Path, govrun: Govrun, change: str) -> None:
    rest = 'run = ["bash", "checks/prove.sh"]\npaths = ["checks/**"]'
    tree(govrun, repo, contract(rest), **{"checks/prove.sh": "grep -q A src/app.py\n", "checks/list.txt": "x\n"})
    (repo / "checks/link").symlink_to("prove.sh")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "link")
    clean(govrun("bash", "-c", "echo A = 2 > src/app.py; git commit -qam x"))
    outcome = govrun("bash", "-c", f"{change}; echo B = 1 > src/app.py; ls > /dev/null")
    assert outcome.code == 123, outcome.stderr
    assert shown(outcome)[0]["op"]["detail"].startswith("proof changed: the run has changed checks/")
    assert "proof changed" in outcome.stderr
    assert " 5 contract 0/1 passed " in note(govrun, repo)
