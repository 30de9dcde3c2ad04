"""Further agents from the registries at work under govrun, and how their packs are chosen at a late exec."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.e2e.agent_kit import Call, Say, ScriptedModel, Step, npm_program

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """\
version = 1
[scope]
hosts = ["127.0.0.1:{port}"]
[[dependency]]
id = "one-client"
why = "one HTTP client"
deny = ["pypi:requests"]
use = "httpx"
"""


class Kind(NamedTuple):
    """An agent: its package, its command line, the settings it needs (path in the home folder, content), environment,
    and the tools of its own: a shell command, a file to write."""

    program: str
    package: str
    words: tuple[str, ...]
    settings: Callable[[int], tuple[str, dict[str, Any]]]
    environment: Callable[[int], dict[str, str]]
    shell: Callable[[str], Call]
    write: Callable[[str, str], Call]
    planted: str  # a file that a later session would run or obey


GEMINI = Kind(
    "gemini",
    "@google/gemini-cli@0.61.0",
    ("--yolo", "--skip-trust", "-m", "gemini-2.5-pro", "-p", "fix the answer"),
    lambda port: (".gemini/settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}}),
    lambda port: {"GEMINI_API_KEY": "not-a-real-key", "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}"},
    lambda command: Call("run_shell_command", {"command": command, "description": "d"}),
    lambda path, content: Call("write_file", {"file_path": path, "content": content}),
    ".gemini/extensions/x/gemini-extension.json",
)


def opencode_settings(port: int) -> tuple[str, dict[str, Any]]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": "not-a-real-key"},
        "models": {"m": {"name": "m"}},
    }
    settings = {"model": "scripted/m", "snapshot": False, "autoupdate": False, "provider": {"scripted": provider}}
    settings["permission"] = {"external_directory": "allow"}
    return ".config/opencode/opencode.json", settings


OPENCODE = Kind(
    "opencode",
    "opencode-ai@1.18.33",
    ("run", "fix the answer"),
    opencode_settings,
    lambda port: {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"},
    lambda command: Call("bash", {"command": command, "description": "d"}),
    lambda path, content: Call("write", {"filePath": path, "content": content}),
    ".config/opencode/plugin/x.js",
)


@pytest.fixture
def scripted() -> Iterator[Callable[[list[Step]], ScriptedModel]]:
    started: list[ScriptedModel] = []

    def start(steps: list[Step]) -> ScriptedModel:
        started.append(ScriptedModel(steps))
        return started[-1]

    yield start
    for model in started:
        model.close()


@pytest.mark.needs("registry")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [GEMINI, OPENCODE], ids=lambda kind: kind.program)
def test_an_agent_works_and_is_governed(
    kind: Kind, govrun: Govrun, repo: Path, cache: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    program = npm_program(cache, kind.program, kind.package)
    plant = f"mkdir -p ~/{os.path.dirname(kind.planted)}; touch ~/{kind.planted}; true"
    model = scripted(
        [
            kind.shell("sed -i s/42/43/ src/app.py && /usr/bin/python3 -B src/app.py"),
            kind.write(f"{repo}/src/client.py", "import requests\n"),
            kind.write(f"{repo}/.github/workflows/ci.yml", "on: push\n"),
            kind.shell("ls src; git add -A && git commit -qm 'fix the answer' && git log --oneline"),
            kind.shell("echo stolen > $HOME/outside; true"),
            kind.shell(plant),
            Say("all done"),
        ]
    )
    path, settings = kind.settings(model.port)
    (govrun.home / path).parent.mkdir(parents=True)
    (govrun.home / path).write_text(json.dumps(settings))
    (repo / "govrun.toml").write_text(PROFILE.format(port=model.port))
    for name, value in (("user.name", "Ada Example"), ("user.email", "ada@example.com")):
        govrun.bare("git", "config", name, value)  # Gemini CLI keeps the user's own git settings from its commands
    govrun.bare("git", "add", "-A")
    govrun.bare("git", "commit", "-qm", "policy")
    outcome = govrun(program, *kind.words, env=kind.environment(model.port), timeout=300)
    assert outcome.code == 0, f"{outcome.stdout.decode(errors='replace')}\n{outcome.stderr}"
    assert len(model.requests) == len(model.steps), outcome.stderr
    assert b"all done" in outcome.stdout

    assert (repo / "src/app.py").read_text().endswith("43\n")
    assert govrun.bare("git", "show", "-s", "--format=%s").stdout == b"fix the answer\n", model.seen(3)
    assert not (repo / "src/client.py").exists()
    assert not (repo / ".github/workflows/ci.yml").exists()
    assert "reverted by one-client" in model.seen(3) and "httpx" in model.seen(3), model.seen(3)
    assert "earlier: denied by scope.protect" in model.seen(3), model.seen(3)
    assert f"denied by scope.write: {govrun.home}/outside" in model.seen(4), model.seen(4)
    assert not (govrun.home / "outside").exists()
    assert "denied by govrun.agent" in model.seen(5), model.seen(5)
    assert not (govrun.home / kind.planted).exists()
    final = govrun.bare("git", "log", "-1", "--notes=govrun").stdout.decode()
    assert f"{outcome.run} 0 govrun/1 PASSED agent={kind.program} exit=0" in final, final


# -------------------------------------------------------------------------------------------- chosen at a late exec

# An agent that a pack names, as far as a run can tell: it keeps state, is refused in its own process, runs a command.
STATE = ".config/mini-swe-agent"
AGENT = f"""#!/bin/sh
echo ran > "$HOME/{STATE}/last"
echo stolen > "$HOME/outside"
/bin/sh -c 'echo command' 2>&1 | cat
"""


@pytest.fixture
def agent(govrun: Govrun) -> Path:
    program = govrun.home / "bin" / "mini"
    program.parent.mkdir()
    program.write_text(AGENT)
    program.chmod(0o755)
    (govrun.home / STATE).mkdir(parents=True)
    return program


def start(govrun: Govrun, script: str, agent: Path, *options: str) -> Outcome:
    return govrun("sh", "-c", script, "sh", agent, options=options, env={"OPENAI_API_KEY": "not-a-real-key"})


@pytest.mark.parametrize("script", ['exec "$1"', '"$1"; true', 'git status; cd /; "$1"; true'])
def test_a_pack_is_chosen_when_a_script_starts_the_agent(govrun: Govrun, agent: Path, script: str) -> None:
    outcome = start(govrun, script, agent)
    assert (govrun.home / STATE / "last").read_text() == "ran\n", outcome.stderr
    assert "mini-swe-agent is started here" in outcome.stderr
    assert "withheld all the same: OPENAI_API_KEY" in outcome.stderr
    assert not (govrun.home / "outside").exists()
    meta = json.loads((outcome.run_dir / "meta.json").read_bytes()) if outcome.run_dir else {}
    assert meta["agent"] == "mini-swe-agent"
    (policy,) = outcome.records(kind="policy")
    assert policy["op"]["agent"] == "mini-swe-agent"


@pytest.mark.parametrize(
    "script",
    [
        'echo x > written; "$1"; true',  # the script has changed something
        'mkdir -p made; "$1"; true',  # a command of it has
        # A program that nobody knows starts it.
        'exec python3 -c "import subprocess, sys; subprocess.run(sys.argv[1:])" "$1"',
        'sh -c "\\"$1\\"; true" sh "$1"; true',  # a command of the script starts it
    ],
)
def test_no_pack_is_chosen_later(govrun: Govrun, agent: Path, script: str) -> None:
    outcome = start(govrun, script, agent)
    assert not (govrun.home / STATE / "last").exists()
    assert outcome.records(kind="policy") == []
    assert "is started here" not in outcome.stderr


def test_no_pack_is_chosen_against_what_was_asked_for(govrun: Govrun, agent: Path) -> None:
    outcome = start(govrun, 'exec "$1"', agent, "--agent", "generic")
    assert not (govrun.home / STATE / "last").exists()
    assert outcome.records(kind="policy") == []


def test_a_state_folder_that_was_not_there_is_named(govrun: Govrun, agent: Path) -> None:
    os.rmdir(govrun.home / STATE)
    outcome = start(govrun, 'mkdir -p "$HOME/' + STATE + '"; exec "$1"', agent)
    assert "cannot be written, since it was not there at the start" in outcome.stderr
    assert "fix: govrun --agent mini-swe-agent -- …" in outcome.stderr
    assert not (govrun.home / STATE).exists()


def test_a_known_agent_hears_with_its_next_command(govrun: Govrun, agent: Path) -> None:
    outcome = govrun(agent, env={"OPENAI_API_KEY": "not-a-real-key"})
    assert f"earlier: denied by scope.write: {govrun.home}/outside" in outcome.stdout.decode()
    again = govrun(agent, options=("--agent", "generic"))
    assert "earlier: denied" not in again.stdout.decode()


def test_explain_says_what_of_its_state_an_agent_cannot_change(govrun: Govrun) -> None:
    told = govrun.cli("explain", "--agent", "codex").ok().stdout.decode()
    assert f"{govrun.home}/.codex   (pack:agents/codex)\n    not /*.toml\n" in told
    document = json.loads(govrun.cli("explain", "--agent", "codex", "--json").ok().stdout)
    (grant,) = (grant for grant in document["grants"] if grant["source"] == "pack:agents/codex")
    assert "/hooks.json" in grant["protected"]
    assert "govrun.agent" in {found["invariant"] for found in document["invariants"]}
