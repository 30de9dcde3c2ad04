"""Commands by which tool servers are added."""

from __future__ import annotations

import shlex

import pytest

from supervisor.commands.servers import UNTOLD, added


def names(line: str, program: str = "", alias: str = "", written: tuple[bytes, ...] = ()) -> tuple[str, ...]:
    argv = [word.encode() for word in shlex.split(line)]
    return added(
        argv, (program or f"/usr/bin/{argv[0].decode()}").encode(), alias.encode(), lambda name: name in written
    )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("claude mcp add docs -- npx -y docs-mcp", "docs"),
        ("claude mcp add --scope project --transport http docs https://a.example/mcp", "docs"),
        ("claude mcp add -e A=1 B=2 docs -- x", "docs"),
        ("claude mcp add --env=A=1 docs -- x", "docs"),
        ("claude --debug mcp add docs x", "docs"),
        ("claude mcp add-json docs '{}'", "docs"),
        ("codex mcp add docs --env A=1 -- x", "docs"),
        ("codex mcp add docs --url https://a.example/mcp", "docs"),
        ("gemini mcp add -s user --trust docs x", "docs"),
        ("kiro-cli mcp add --name docs --scope global --command uvx", "docs"),
        ("qwen mcp add docs x", "docs"),
        ('code --add-mcp \'{"name": "docs", "command": "x"}\'', "docs"),
        ("add-mcp -n docs https://a.example/mcp", "docs"),
        ("add-mcp https://a.example/mcp", UNTOLD),
        ("claude mcp add-from-claude-desktop", UNTOLD),
        ("claude mcp add", UNTOLD),
        ("claude mcp add --unheard-of docs x", UNTOLD),
        ("code --add-mcp nonsense", UNTOLD),
        ('claude -p hi --mcp-config \'{"mcpServers": {"docs": {}}}\'', "docs"),
        ("claude --mcp-config=new.json -p hi", UNTOLD),
        ("codex -c mcp_servers.docs.command=x exec hi", "docs"),
        ("codex --config 'mcp_servers.\"docs\".command=x' exec hi", "docs"),
        ("codex -c 'mcp_servers={docs={command=\"x\"}}' exec hi", UNTOLD),
    ],
)
def test_what_is_added(line: str, name: str) -> None:
    assert names(line, written=(b"new.json",)) == (name,)


@pytest.mark.parametrize(
    "line",
    [
        "claude mcp list",
        "claude mcp get docs",
        "claude mcp remove docs",
        "claude -p 'please mcp add docs'",
        "claude --mcp-config old.json -p hi",
        "git commit -m 'mcp add docs'",
        "grep -r mcp add claude",
        "codex exec mcp",
        "ls mcp",
        "npx add-mcp x",  # the runner starts the program, which is judged then
    ],
)
def test_what_adds_nothing(line: str) -> None:
    assert names(line) == ()


def test_the_program_by_script_package_and_link() -> None:
    cli = "/opt/lib/node_modules/@anthropic-ai/claude-code/cli.js"
    assert names("claude mcp add docs x", program=cli) == ("docs",)
    assert names(f"node {cli} mcp add docs x") == ("docs",)
    assert names("node --no-warnings /usr/local/bin/gemini mcp add docs x") == ("docs",)
    assert names("x mcp add docs x", program="/opt/y", alias="/usr/bin/codex") == ("docs",)
    assert names("x mcp add docs x", program="/opt/y") == ()
