"""``tools.mcp``: a tool server that the profile does not name comes into no file and through no command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, taken_back, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1
extends = []
[scope]
adr = "0003"
tools = { mcp = ["docs"] }
use = "ask for it in the project's channel"
"""
OLD = json.dumps({"mcpServers": {"old": {"command": "old"}}}, indent=1) + "\n"
EVIL = json.dumps({"mcpServers": {"old": {"command": "old"}, "evil": {"command": "evil"}}}, indent=1) + "\n"
FINE = json.dumps({"mcpServers": {"docs": {"command": "docs"}, "old": {"command": "old"}}}, indent=1) + "\n"
AGENT = "#!/bin/sh\n: > $MARK\n"


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    (repo / "bin").mkdir()
    for name in ("claude", "codex", "gemini"):
        (repo / "bin" / name).write_text(AGENT)
        (repo / "bin" / name).chmod(0o755)
    files = {".mcp.json": OLD, "evil": EVIL, "fine": FINE, ".gitignore": ".claude/\n", "src/app.py": "x = 1\n"}
    return tree_of(govrun, repo, PROFILE, files)


IN_PLACE = {
    "written over": ("cat evil > .mcp.json", ".mcp.json"),
    "a new file": ("mkdir .cursor; cat evil > .cursor/mcp.json", ".cursor/mcp.json"),
    "renamed onto": ("cp evil x; mv x .mcp.json", ".mcp.json"),
    "copied": ("mkdir .gemini; cp evil .gemini/settings.json", ".gemini/settings.json"),
    "a moved folder": ("mkdir x; cp evil x/mcp.json; mv x .roo", "mcp.json"),
    "ignored": ("mkdir .claude; cp evil .claude/settings.local.json", ".claude/settings.local.json"),
    "switched on": (
        "mkdir .claude; echo '{\"enableAllProjectMcpServers\": true}' > .claude/settings.local.json",
        ".claude/settings.local.json",
    ),
    "toml": (
        "mkdir .codex; printf '[mcp_servers.evil]\\ncommand = \"x\"\\n' > .codex/config.toml",
        ".codex/config.toml",
    ),
    "changed": ("sed -i s/old/evil/2 .mcp.json; sed -i 's/: .old./: \"evil\"/' .mcp.json", ".mcp.json"),
}


@pytest.mark.parametrize(("script", "path"), IN_PLACE.values(), ids=IN_PLACE)
def test_a_server_comes_into_no_file(govrun: Govrun, tree: Path, script: str, path: str) -> None:
    outcome = govrun("bash", "-c", f"{script}; ls > /dev/null; echo x > y; git add y; git commit -qm y; true")
    taken_back(outcome, "scope.tools", path)
    assert (tree / ".mcp.json").read_text() == OLD
    left = [each for each in tree.rglob("*.json") if ".git/" not in str(each) and "evil" in each.read_text()]
    assert [each.parent.name for each in left] in ([], ["x"]), left  # a moved folder stays where it was
    assert not (tree / ".codex" / "config.toml").exists()
    assert "ask for it in the project's channel" in outcome.stderr
    assert "scope.tools<-0003=" in note(govrun, tree)


def test_a_link_leads_to_no_other_file(govrun: Govrun, tree: Path) -> None:
    outcome = govrun("bash", "-c", "mkdir .vscode; ln -s ../evil .vscode/mcp.json; ln -sf evil .mcp.json; true")
    assert not (tree / ".vscode" / "mcp.json").is_symlink() and (tree / ".mcp.json").read_text() == OLD
    assert len(outcome.denied("govrun.path")) >= 2, outcome.stderr


def test_what_is_too_large_to_be_read_is_taken_back(govrun: Govrun, tree: Path) -> None:
    outcome = govrun("bash", "-c", "{ head -c 9000000 /dev/zero | tr '\\0' ' '; cat evil; } > .mcp.json; ls")
    taken_back(outcome, "scope.tools", ".mcp.json")
    assert (tree / ".mcp.json").read_text() == OLD


def test_no_commit_brings_one(govrun: Govrun, tree: Path) -> None:
    script = (
        "b=$(git hash-object -w evil); git update-index --cacheinfo 100644,$b,.mcp.json; git commit -qm evil; "
        "git show HEAD:.mcp.json"
    )
    outcome = govrun("bash", "-c", script)
    assert outcome.denied("scope.tools") and b"evil" not in outcome.stdout, outcome.stderr
    assert git(govrun, tree, "show", "HEAD:.mcp.json") == OLD


@pytest.mark.parametrize(
    "script",
    [
        "cat fine > .mcp.json; grep -q docs .mcp.json",
        "cp fine x; mv x .mcp.json; git add .mcp.json; git commit -qm fine",
        'mkdir .claude; echo \'{"model": "x"}\' > .claude/settings.local.json',
        "cp evil servers.json; mkdir docs/x; cp evil docs/x/y.json",
        "bin/claude mcp add docs -- x; bin/claude mcp list; bin/claude -p 'mcp add evil'",
        "touch .mcp.json; chmod 600 .mcp.json",
    ],
)
def test_what_is_named_or_no_server_stays(govrun: Govrun, tree: Path, script: str) -> None:
    clean(govrun("bash", "-ec", script, env={"MARK": str(tree / "mark")}))


@pytest.mark.parametrize(
    "line",
    [
        "bin/claude mcp add evil -- x",
        "PATH=$PWD/bin:$PATH; claude mcp add --scope user evil -- x",
        "bin/claude mcp add-json evil '{}'",
        "bin/codex mcp add evil --env A=1 -- x",
        "bin/gemini mcp add -s project evil x",
        "ln -s bin/claude c; ./c mcp add evil x",
        'bin/claude -p hi --mcp-config \'{"mcpServers": {"evil": {"command": "x"}}}\'',
        "cp evil e.json; bin/claude --mcp-config e.json -p hi",
    ],
)
def test_no_command_adds_one(govrun: Govrun, tree: Path, line: str) -> None:
    outcome = govrun("bash", "-c", f"{line}; true", env={"MARK": str(tree / "mark")})
    assert not (tree / "mark").exists(), outcome.stderr
    found = outcome.denied("scope.tools")
    assert found and found[0]["kind"] == "exec" and found[0]["adr"] == "0003"
    assert "tool server" in outcome.stderr and "ask for it in the project's channel" in outcome.stderr


def test_check_finds_them(govrun: Govrun, tree: Path) -> None:
    (tree / ".mcp.json").write_text(EVIL)
    found = govrun.cli("check", "--base", "HEAD")
    assert (
        found.code == 1
        and b".mcp.json:6: adds or changes the tool server evil" in found.stdout
        and b"(scope.tools)" in found.stdout
    )


def test_examples_are_asked_before_a_start(govrun: Govrun, tree: Path) -> None:
    said = json.dumps({"mcpServers": {"evil": {"command": "x"}}})
    denied = ["claude mcp add evil -- x", f"write .mcp.json: {said}"]
    allowed = ["claude mcp add docs -- x", f"write .mcp.json: {said.replace('evil', 'docs')}"]
    profile = tree / "govrun.toml"
    profile.write_text(PROFILE + f"examples = {{ denied = {json.dumps(denied)}, allowed = {json.dumps(allowed)} }}\n")
    clean(govrun("true"))
    profile.write_text(PROFILE + f"examples = {{ denied = {json.dumps(allowed)} }}\n")
    assert govrun("true").code == 125
