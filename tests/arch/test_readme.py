"""Transcripts of the README and of the docs are run, profiles loaded; commands, links and claims are true."""

import fnmatch
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ERRORS = (ROOT / "docs/errors.md").read_text()
PROFILE = (ROOT / "docs/profile.md").read_text()
TRANSCRIPTS = [
    (f"{name}-{number}", text)
    for name, page in (("README", README), ("errors", ERRORS), ("profile", PROFILE))
    for number, text in enumerate(re.findall(r"<!-- run -->\n```console\n(.*?)```", page, re.DOTALL), 1)
]
PROFILES = re.findall(r"<!-- profile -->\n```toml\n(.*?)```", README, re.DOTALL)


def steps(transcript: str) -> list[tuple[str, list[str]]]:
    """(command, expected lines) pairs; `…` stands for anything within a line, a lone `…` for any lines, none too."""
    found: list[tuple[str, list[str]]] = []
    for line in transcript.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def matches(line: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(line, re.sub(r"([\[*?])", r"[\1]", pattern).replace("…", "*"))


def agrees(got: list[str], expected: list[str]) -> bool:
    if not expected:
        return not got
    if expected[0] == "…":
        return any(agrees(got[at:], expected[1:]) for at in range(len(got) + 1))
    return bool(got) and matches(got[0], expected[0]) and agrees(got[1:], expected[1:])


@pytest.mark.needs("notify", "git", landlock=2)
@pytest.mark.parametrize("transcript", [text for _, text in TRANSCRIPTS], ids=[name for name, _ in TRANSCRIPTS])
def test_transcript(transcript: str, govrun: "Govrun", tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "govrun"
    shim.parent.mkdir()
    words = " ".join(f"'{word}'" for word in map(str, govrun.argv()))
    shim.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    shim.chmod(0o755)
    env = govrun.env | {"PATH": f"{shim.parent}:{govrun.env['PATH']}"}
    for command, expected in steps(transcript):
        done = subprocess.run(
            ["sh", "-c", command], cwd=govrun.cwd, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert agrees(done.stdout.splitlines(), expected), f"$ {command}\n{done.stdout}\nexpected:\n" + "\n".join(
            expected
        )


def test_profile_loads(tmp_path: Path) -> None:
    from supervisor.profile.load import load

    assert PROFILES
    for text in PROFILES:
        (tmp_path / "govrun.toml").write_text(text)
        assert load(tmp_path).scope.write


def test_own_profile_loads() -> None:
    from supervisor.profile.load import load

    profile = load(ROOT)
    assert {rule.id for rule in profile.rules} == {"layers", "parsers-come-as-wheels", "ask-push", "ask-deploy"}


def rows(page: str, head: str) -> dict[str, str]:
    """First and last cell of each row of the table whose first line begins with `head`."""
    lines = page.partition(f"\n| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {each[0]: each[-1].rstrip("| ") for each in cells}


EVERYTHING = """version = 1
[scope]
write = ["src/**"]
hosts = ["127.0.0.1:1", "example.com:443"]
commands = ["true"]
processes = 100
memory = "1G"
cpu = "1h"
disk = "1G"
tools = { executables = ["build/**"] }
state = ["AGENTS.md"]
timeout = "1h"
files = 100
[[dependency]]
id = "judged"
why = "x"
deny = ["pypi:requests", "npm:moment"]
[[deploy]]
id = "deploy"
why = "x"
deny = ["deploy"]
[[boundary]]
id = "boundary"
why = "x"
isolate = ["a/**"]
[[infra]]
id = "infra"
why = "x"
files = ["*.tf"]
at = "a.b"
never = "x"
[[secrets]]
id = "secrets"
why = "x"
[[data]]
id = "files"
why = "x"
paths = ["a/**"]
access = "read"
[[data]]
id = "database"
why = "x"
service = "postgres://127.0.0.1:5432"
allow = ["read"]
[[remediation]]
id = "remediation"
why = "x"
attempts = 3
[[guardrail]]
id = "guardrail"
why = "x"
per = "run"
max = { deletes = 3 }
[[contract]]
id = "contract"
proves = ["deploy"]
when = "stop"
run = ["true"]
[[contract]]
id = "gate"
proves = ["deploy"]
when = "commit"
run = ["true"]
[[rule]]
id = "rule"
why = "x"
match = "true"
"""


def test_the_table_of_coverage_is_true(govrun: "Govrun") -> None:
    """Row by row, against what `explain` says of a profile with all of it."""
    (govrun.cwd / "govrun.toml").write_text(EVERYTHING)
    found = {
        each["invariant"]: each["coverage"]
        for each in json.loads(govrun.cli("explain", "--json").ok().stdout)["invariants"]
    }
    claims = rows(README, "invariant")
    expected = {
        "no write outside": ["scope.write", "scope.protect"],
        "`hide`": ["scope.hide"],
        "`hosts`: names": ["scope.hosts"],
        "`commands`": ["scope.commands"],
        "`tools`": ["scope.tools"],
        "`state`": ["scope.state"],
        "credentials": ["scope.env"],
        "`timeout`; `files`": ["scope.timeout", "scope.files"],
        "git hooks": ["git.internals", "govrun.policy"],
        "govrun's records": ["govrun.state"],
        "`[[dependency]]`": ["judged"],
        "`[[deploy]]`, `[[command]]`": ["deploy", "ask-push", "ask-deploy"],
        "`[[boundary]]`": ["boundary"],
        "`[[infra]]`": ["infra"],
        "`[[secrets]]`": ["secrets"],
        "`[[data]]`: files": ["files"],
        "`[[data]]`: databases": ["database"],
        "`[[remediation]]`": ["remediation"],
        "`[[guardrail]]`": ["guardrail"],
        "`[[contract]]`": ["gate", "contract"],
        "`[[rule]]`": ["rule"],
        "`api` of": ["scope.hosts.names"],
    }
    for beginning, ids in expected.items():
        claim = next(text for row, text in claims.items() if row.startswith(beginning))
        words = claim.split("; ") if "; " in claim else [claim] * len(ids)
        assert [found[each] for each in ids] == words, beginning
    limits = next(text for row, text in claims.items() if row.startswith("`processes`, `memory`; `cpu`, `disk`"))
    held, looked = limits.split("; ")
    assert {found["scope.processes"], found["scope.memory"]} <= set(held.split(" or "))
    assert found["scope.cpu"] == found["scope.disk"] == looked
    processes = next(text for row, text in claims.items() if row.startswith("processes of others"))
    assert processes == "enforced, else supervised" and found["govrun.processes"] in processes
    (govrun.cwd / "govrun.toml").write_text('version = 1\n[scope]\nhosts = ["127.0.0.1:1"]\n')
    addresses = json.loads(govrun.cli("explain", "--json").ok().stdout)["invariants"]
    claim = next(text for row, text in claims.items() if row.startswith("`hosts`: addresses"))
    assert [each["coverage"] for each in addresses if each["invariant"] == "scope.hosts"] == [claim]


def test_what_is_not_judged_is_named() -> None:
    """Every kind of rule has a row; one reads that nothing judges it."""
    from supervisor.profile.kinds import KINDS

    claims = rows(README, "invariant")
    row = next(row for row, text in claims.items() if text == "unenforceable")
    assert row.startswith("`api` of `[[infra]]`")
    assert set(re.findall(r"`\[\[(\w+)\]\]`", " ".join(claims))) == {kind.name for kind in KINDS}


def test_exit_codes_agree() -> None:
    """The README and the catalogue tell the same numbers."""
    for code in ("121", "122", "123", "124", "125", "126", "127"):
        assert re.search(rf"\b{code}\b", README) and re.search(rf"^\| .*\b{code}\b.* \|", ERRORS, re.MULTILINE)


def test_named_commands_exist(govrun: "Govrun") -> None:
    named = set(re.findall(r"`govrun ([a-z]+)[ `]", README + ERRORS))
    assert named
    for name in named:
        assert govrun.cli(name, "--help").ok().stdout


def test_every_command_is_in_the_table() -> None:
    from supervisor.cli.commands import _COMMANDS

    first = " ".join(rows(README, "command"))
    named = set(re.findall(r"`(?:govrun )?([a-z]+)[ `]", first))
    assert named >= set(_COMMANDS)


def test_the_link_of_the_quick_start_can_be_made_in_an_empty_home(tmp_path: Path) -> None:
    block = README.partition("\n## Quick start\n")[2].partition("```console\n")[2].partition("```")[0]
    (line,) = (command for command, _ in steps(block) if "ln -s" in command)
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".local/bin/govrun").resolve() == ROOT / "scripts/govrun"


def test_changelog(govrun: "Govrun") -> None:
    """The newest version is the one that is here; below each the groups of Keep a Changelog, none of them empty."""
    from supervisor import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert versions[0][0] == __version__ and len(versions) == text.count("\n## ")
    assert versions == sorted(versions, key=lambda each: [int(part) for part in each[0].split(".")], reverse=True)
    assert all(date != "unreleased" for _, date in versions[1:])
    groups = re.findall(r"^### (.*)\n\n(.*)", text, re.MULTILINE)
    assert {name for name, _ in groups} <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(first.startswith("- ") for _, first in groups)
    assert govrun.cli("--version").ok().stdout.decode().split() == ["govrun", __version__]


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda path: path.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_length() -> None:
    assert len(README.splitlines()) <= 185


def test_the_comparison_can_fail() -> None:
    assert agrees(["abc add x"], ["… add x"]) and agrees(["a", "b"], ["a", "…"]) and agrees(["a"], ["a", "…"])
    assert agrees(["a", "b", "c"], ["…", "b", "…"]) and not agrees(["a", "c"], ["…", "b", "…"])
    assert agrees(["a", "b"], ["…", "b"]) and not agrees(["a", "b", "c"], ["…", "b"])
    assert not agrees(["a", "b"], ["a"]) and not agrees(["x"], ["y"]) and not agrees(["ab"], ["a?"])
