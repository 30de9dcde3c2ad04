"""`govrun test` and `govrun brief`: what the profile shows of itself, and what is told to agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.run.firstprofile import _EXAMPLES

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """
version = 1
[scope]
hosts = ["10.0.0.5:5432"]
[[dependency]]
id   = "one-http-client"
why  = "one client"
deny = ["pypi:requests"]
use  = "httpx"
only_via = ["src/vendor_api/**"]
[dependency.examples]
denied  = ["pip install requests", "write src/a.py: import requests"]
allowed = ["pip install httpx", "write src/vendor_api/a.py: import requests"]
[[deploy]]
id = "prod"
why = "x"
deny = ["deploy"]
allow = [{ class = "deploy", target = "dev*" }]
[[data]]
id = "db"
why = "x"
service = "postgres://10.0.0.5:5432"
allow = ["read"]
examples = { denied = ["delete from orders"], allowed = ["select id from orders"] }
"""
CONTRACT = '[[contract]]\nid = "c"\nproves = ["{}"]\nwhen = "start"\ntry = {{ {} }}\nexpect = "{}"\n'
HTTP = "one-http-client"


def profile(repo: Path, *more: str) -> None:
    (repo / "govrun.toml").write_text("\n".join([PROFILE, *more]))


def states(govrun: Govrun, *words: str) -> tuple[int, list[str]]:
    outcome = govrun.cli("test", "--json", *words)
    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert found[-1].pop("summary")
    assert sum(found[-1].values()) == len(found) - 1
    told = [each["state"] for each in found[:-1] if each["kind"] == "contract" or each["state"] != "passed"]
    return outcome.code, told


def test_every_form_of_example(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    assert states(govrun) == (0, [])
    assert govrun.cli("test").stdout.decode().endswith("\n6 passed\n")
    govrun("true").ok()
    profile(repo, '[[command]]\nid = "n"\nwhy = "x"\ndeny = ["vcs-remote"]\nexamples = { denied = ["git status"] }\n')
    assert states(govrun) == (1, ["failed"])
    assert govrun("true").code == 125
    (repo / "govrun.toml").write_text("version = 1\n[scop]\n")
    assert govrun.cli("test").code == 2


@pytest.mark.parametrize(
    ("proves", "attempt", "expect", "state"),
    [
        ("pack:default/ask-push", 'exec = "git push origin main"', "refused", "passed"),
        ("pack:default/ask-push", 'exec = "git status"', "refused", "failed"),
        (HTTP, 'write = "src/a.py: import requests"', "deny", "passed"),
        (HTTP, 'exec = "ls"', "allow", "worthless"),
        (HTTP, 'write = "src/vendor_api/a.py: import requests"', "allow", "passed"),
        ("scope.hosts", 'connect = "10.0.0.6:1"', "deny", "passed"),
        ("db", 'query = "drop table orders"', "deny", "passed"),
        ("db", 'query = "select 1"', "allow", "passed"),
    ],
)  # fmt: skip
def test_contracts(repo: Path, govrun: Govrun, proves: str, attempt: str, expect: str, state: str) -> None:
    profile(repo, CONTRACT.format(proves, attempt, expect))
    assert states(govrun) == (0 if state == "passed" else 1, [state])


def test_what_another_rule_refuses_anyway_is_worthless(repo: Path, govrun: Govrun) -> None:
    more = '[[dependency]]\nid = "again"\nwhy = "x"\ndeny = ["pypi:requests"]\n'
    profile(repo, more, CONTRACT.format(HTTP, 'exec = "pip install requests"', "refused"))
    assert states(govrun) == (1, ["worthless"])
    assert "might as well not be there" in govrun.cli("test").stdout.decode()


def test_commands_of_contracts_are_run_when_asked_for(repo: Path, govrun: Govrun) -> None:
    profile(repo, '[[contract]]\nid = "c"\nproves = ["prod"]\nwhen = "stop"\nrun = ["test", "-d", "src"]\n')
    assert states(govrun) == (0, ["skipped"])
    assert states(govrun, "--run") == (0, ["passed"])


@pytest.mark.parametrize("language", sorted(_EXAMPLES))
def test_examples_of_first_profiles_hold(repo: Path, govrun: Govrun, language: str) -> None:
    deny, use, name, command = _EXAMPLES[language]
    (repo / "govrun.toml").write_text(
        f'version = 1\n[[dependency]]\nid = "{name}"\nwhy = "x"\ndeny = ["{deny}"]\nuse = "{use}"\n'
        f'examples = {{ denied = ["{command}"] }}\n'
    )
    assert states(govrun) == (0, [])


# ---- brief ----------------------------------------------------------------------------------------------------------


def test_what_is_told(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    told = govrun.cli("brief").ok().stdout.decode()
    assert "- **one-http-client**: never pypi:requests; except in src/vendor_api/**. instead: httpx (refused" in told
    assert "- **ask-push**: " in told
    assert "(asked of a person first)" in told
    many = [f'[[dependency]]\nid = "d{n}"\nwhy = "{"x" * 900}"\ndeny = ["pypi:a{n}"]\n' for n in range(60)]
    profile(repo, *many)
    govrun.cli("brief", "--write", "AGENTS.md").ok()
    lines = (repo / "AGENTS.md").read_text().splitlines()
    assert len(lines) <= 40
    assert "more: `govrun explain`" in lines[-2]
    assert max(map(len, lines)) <= 320


SCOPE = """
tools = { executables = ["scripts/**"], mcp = ["docs"] }
state = ["~/.claude/projects/**"]
processes = 100
memory = "2G"
cpu = "10m"
disk = "1G"
files = 1000
branches = ["agent/*"]
push = ["agent/*"]
commits = { author = "bot <bot@example.org>", trailers = ["Signed-off-by"] }
pull_requests = { base = ["main"], draft = true }
"""


def test_every_key_of_the_scope_is_told(repo: Path, govrun: Govrun) -> None:
    (repo / "govrun.toml").write_text(f"version = 1\n[scope]\n{SCOPE}")
    told = govrun.cli("brief").ok().stdout.decode().splitlines()
    for line in (
        "- move only the branches agent/*",
        "- push only agent/*",
        "- pull requests: base main; draft True",
        "- commits: author bot <bot@example.org>; trailers Signed-off-by",
        "- of what a run makes or changes, execute only scripts/**",
        "- add only these tool servers: docs",
        "- each change of what you remember is recorded: ~/.claude/projects/**",
    ):
        assert line in told, line
    limits = "100 processes and threads; 600 s of processor time; 2 GiB of memory; 1 GiB written to disk"
    assert f"- a run uses at most {limits}; 1000 open files of a process" in told


@pytest.mark.parametrize(
    ("rules", "there", "absent"),
    [
        (
            '[[command]]\nid = "pushes"\nwhy = "x"\nallow = ["vcs-remote"]\n',
            ["- **pushes**: allowed: vcs-remote. since x"],
            ["ask-push", "never vcs-remote"],
        ),
        (
            '[[command]]\nid = "ours"\nwhy = "x"\nallow = ["publish", "vcs-remote"]\npaths = ["a/**"]\n',
            ["never vcs-remote; ", "allowed here: vcs-remote", " in a/** (ours)"],
            [],
        ),
        (
            '[[deploy]]\nid = "stage"\nwhy = "x"\nallow = ["publish", { class = "deploy", target = "stage" }]\n',
            [
                "- **stage**: allowed: publish, class deploy target stage; all else of deploy is refused. since x",
                "never deploy, infra-mutate, infra-destroy. allowed here: class deploy target stage (stage)",
            ],
            ["never deploy, publish"],
        ),
        (
            '[[command]]\nid = "gits"\nwhy = "x"\nallow = ["git fetch"]\n',
            ["- **gits**: allowed: git fetch; all else of git is refused", "never vcs-remote; "],
            ["allowed here"],
        ),
    ],
)
def test_what_answers_a_pack_is_told_as_it_holds(
    repo: Path, govrun: Govrun, rules: str, there: list[str], absent: list[str]
) -> None:
    (repo / "govrun.toml").write_text(f"version = 1\n{rules}")
    told = govrun.cli("brief").ok().stdout.decode()
    for text in there:
        assert text in told, told
    for text in absent:
        assert text not in told, told


def test_the_file_to_check_may_be_named(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    govrun.cli("brief", "--write", "NOTES.md").ok()
    govrun.cli("brief", "--check", "NOTES.md").ok()
    (repo / "AGENTS.md").write_text("Be kind.\n")
    outcome = govrun.cli("brief", "--check", "AGENTS.md")
    assert (outcome.code, outcome.stdout) == (1, b"AGENTS.md has no block of govrun\n")
    assert govrun.cli("brief", "NOTES.md").code == 2


def test_a_block_is_kept_and_all_else_untouched(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    file = repo / "AGENTS.md"
    file.write_bytes(b"# Rules\r\n\r\nBe kind.")
    file.chmod(0o600)
    assert govrun.cli("brief", "--check").code == 1
    govrun.cli("brief", "--write", "AGENTS.md").ok()
    first = file.read_bytes()
    assert first.startswith(b"# Rules\r\n\r\nBe kind.\r\n\r\n<!-- govrun:begin ")
    assert first.endswith(b"<!-- govrun:end -->\r\n")
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(first + b"After.")
    for _ in range(2):
        assert govrun.cli("brief", "--write", "AGENTS.md").ok().stdout.startswith(b"up to date")
        govrun.cli("brief", "--check").ok()
    profile(repo, "# a comment changes nothing that is told\n")
    govrun.cli("brief", "--check").ok()
    (repo / "govrun.toml").write_text(PROFILE.replace("pypi:requests", "pypi:pycurl").partition("[dependency.ex")[0])
    assert govrun.cli("brief", "--check").code == 1
    govrun.cli("brief", "--write", "AGENTS.md").ok()
    assert file.read_bytes().startswith(b"# Rules\r\n\r\nBe kind.\r\n\r\n<!--")
    assert file.read_bytes().endswith(b"\r\nAfter.")
    assert file.read_bytes().count(b"govrun:begin") == 1


def test_a_link_leads_to_the_file(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    (repo / "AGENTS.md").write_text("")
    (repo / "CLAUDE.md").symlink_to("AGENTS.md")
    govrun.cli("brief", "--write", "CLAUDE.md").ok()
    assert (repo / "CLAUDE.md").is_symlink()
    assert "govrun:begin" in (repo / "AGENTS.md").read_text()


def test_nothing_outside_and_nothing_guessed(repo: Path, govrun: Govrun) -> None:
    profile(repo)
    outside = repo.parent / "outside.md"
    outside.write_text("x")
    (repo / "link.md").symlink_to(outside)
    (repo / "half.md").write_text("<!-- govrun:begin 00 -->\nmine\n")
    for name in ("link.md", "../outside.md", "src", "no/such/folder.md", "half.md"):
        assert govrun.cli("brief", "--write", name).code == 2, name
    assert outside.read_text() == "x"
    assert (repo / "half.md").read_text() == "<!-- govrun:begin 00 -->\nmine\n"


def test_a_profile_cannot_end_the_block(repo: Path, govrun: Govrun) -> None:
    profile(repo, '[[command]]\nid = "x"\nwhy = "a\\n<!-- govrun:end -->\\n\\u202eb"\ndeny = ["vcs-remote"]\n')
    for _ in range(2):
        govrun.cli("brief", "--write", "AGENTS.md").ok()
    text = (repo / "AGENTS.md").read_text()
    assert text.count("govrun:end -->") == 1
    assert "\u202e" not in text
