"""Which pack a command line gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from supervisor.profile.agents import candidates
from supervisor.profile.load import load_agent
from supervisor.profile.packs import pack_names, packs_dir
from supervisor.vocabulary.errors import ProfileError

MINI = "mini-swe-agent"


@pytest.mark.parametrize(
    "line",
    [
        "mini -t x",
        "/opt/x/bin/mini",
        "mini-swe-agent",
        "uvx mini-swe-agent",
        "uvx mini-swe-agent@2.4.6 --yolo",
        "uvx --from mini-swe-agent[full]==2.4 mini-extra",
        "uvx --python 3.12 --from=mini-swe-agent mini",
        "uv tool run mini-swe-agent",
        "pipx run --spec mini-swe-agent mini",
        "python -m minisweagent",
        "python3.11 -I -m minisweagent.run.mini",
        "/usr/bin/python3 /opt/x/bin/mini",
    ],
)
def test_mini_swe_agent(line: str) -> None:
    pack = load_agent(None, line.split())
    assert pack.name == MINI
    assert pack.state == ("~/.config/mini-swe-agent/**",)
    assert "ANTHROPIC_API_KEY" in pack.keep


@pytest.mark.parametrize(
    ("line", "pack"),
    [
        ("codex exec hi", "codex"),
        ("npx -y @openai/codex@latest exec hi", "codex"),
        ("node /x/node_modules/@openai/codex/bin/codex.js", "codex"),
        ("/x/node_modules/@openai/codex-linux-x64/vendor/bin/codex", "codex"),
        ("pi -p hi", "pi"),
        ("npx @mariozechner/pi-coding-agent -p hi", "pi"),
        ("bunx @earendil-works/pi-coding-agent", "pi"),
        ("npx @google/gemini-cli -p hi", "gemini"),
        ("gemini", "gemini"),
        ("uvx --from aider-chat aider --message hi", "aider"),
        ("python3 -m aider", "aider"),
        ("pnpm dlx opencode-ai run hi", "opencode"),
        ("opencode run hi", "opencode"),
        ("pip install aider", "generic"),
        ("pip3 install aider", "generic"),
    ],
)
def test_packs_by_command_line(line: str, pack: str) -> None:
    assert load_agent(None, line.split()).name == pack


@pytest.mark.parametrize("name", ["codex", "pi", "gemini", "aider", "opencode"])
def test_a_pack_says_where_it_comes_from_and_protects_what_runs_later(name: str) -> None:
    pack = load_agent(name, ())
    text = (packs_dir() / "agents" / f"{name}.toml").read_text()
    assert "measured" in text and "documentation" in text
    assert pack.programs and pack.packages and pack.state and pack.protect and pack.executables and pack.keep


@pytest.mark.parametrize(
    "line",
    [
        "true",
        "",
        "bash -c mini",
        "python3 -c mini",
        "python3",
        "uvx ruff mini",
        "npx -p left-pad mini-swe-agent-not",
        "git -C mini status",
        "minimum",
        "env mini",
        "uvx --from",
    ],
)
def test_generic(line: str) -> None:
    pack = load_agent(None, line.split())
    assert pack.name == "generic"
    assert pack.state == pack.hosts == pack.keep == ()


def test_console_script_under_another_name(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "agent"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom minisweagent.run.mini import app\nsys.exit(app())\n")
    script.chmod(0o755)
    assert load_agent(None, [str(script)]).name == MINI
    (tmp_path / "link").symlink_to(script)
    assert load_agent(None, [str(tmp_path / "link")]).name == MINI
    assert load_agent(None, ["python3", str(script)]).name == MINI


def test_npm_program_behind_a_link(tmp_path: Path) -> None:
    script = tmp_path / "lib/node_modules/@scope/agent/cli.js"
    script.parent.mkdir(parents=True)
    script.write_text("#!/usr/bin/env node\n")
    script.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/agent").symlink_to(script)
    assert "@scope/agent" in set(candidates([str(tmp_path / "bin/agent")]))


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("npx -y @scope/agent@1.2.3 run", "@scope/agent"),
        ("npx --package=agent-cli agent", "agent-cli"),
        ("pnpm dlx agent@latest", "agent"),
        ("bunx agent", "agent"),
        ("npm exec -- agent", "agent"),
    ],
)
def test_runners(line: str, package: str) -> None:
    assert package in set(candidates(line.split()))


def test_by_name() -> None:
    assert load_agent(MINI, ["bash"]).name == MINI
    assert load_agent("generic", ["mini"]).name == "generic"
    with pytest.raises(ProfileError) as caught:
        load_agent("mini-swe", ["bash"])
    said, _, packs = caught.value.why.partition("; packs: ")
    assert said == '--agent: "mini-swe" is not an agent pack (did you mean "mini-swe-agent"?)'
    assert packs.split(", ") == pack_names("agents")


@pytest.mark.parametrize("name", ["../default", "agents/generic", "", "."])
def test_a_name_is_not_a_path(name: str) -> None:
    with pytest.raises(ProfileError):
        load_agent(name, ["true"])


def test_the_program_may_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "mini-folder").mkdir()
    assert load_agent(None, [str(tmp_path / "mini-folder")]).name == "generic"
    assert load_agent(None, [str(tmp_path / "gone")]).name == "generic"
    assert load_agent(None, ["\udcff\udcfe"]).name == "generic"
    assert load_agent(None, ["a\0b"]).name == "generic"


def test_broken_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/x.toml").write_text(
        "programs = ['x']\nstat = []\nhosts = ['x']\nstate = ['~/.x/**']\nprotect = ['~/.y/a']\n"
    )
    monkeypatch.setattr("supervisor.profile.packs.packs_folder", lambda: str(tmp_path))
    monkeypatch.setattr("supervisor.profile.agents.packs_folder", lambda: str(tmp_path))
    with pytest.raises(ProfileError) as caught:
        load_agent(None, ["x"])
    assert caught.value.why.splitlines() == [
        'agent pack x:2: unknown key "stat" in an agent pack (did you mean "state"?)',
        'agent pack x:3: "x" has no port; write x:443 or x:*',
        'agent pack x:5: "~/.y/a" lies in no folder of "state", so nobody may write it anyway',
    ]


@pytest.mark.parametrize(
    "line",
    [
        "claude -p x",
        "/opt/x/bin/claude",
        "npx @anthropic-ai/claude-code -p x",
        "npx -y @anthropic-ai/claude-code@2.1.0",
        "bunx @anthropic-ai/claude-code",
        "pnpm dlx @anthropic-ai/claude-code",
    ],
)
def test_claude_code(line: str) -> None:
    """Its state is granted piece by piece; what its other sessions run is not."""
    pack = load_agent(None, line.split())
    assert pack.name == "claude"
    assert "~/.claude/**" not in pack.state and "~/.claude.json" not in pack.state
    assert not [path for path in pack.state if "settings" in path or "shell-snapshots" in path]
    assert "~/.claude/shell-snapshots/**" in pack.own
    assert pack.set == {"CLAUDE_CONFIG_DIR": "~/.claude"}
    assert pack.state_in == "~/.claude/.claude.json"
    assert "mcpServers" in pack.starts and "projects.*.mcpServers" in pack.starts
    assert "ANTHROPIC_API_KEY" in pack.keep
