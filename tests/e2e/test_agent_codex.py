"""Codex from the npm registry, unmodified, at work under govrun; its model is a script on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.agent_kit import Call, Say, ScriptedModel, Step, Terminal, npm_program, wait_for

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = [pytest.mark.needs("registry"), pytest.mark.timeout(900)]
ENVIRONMENT = {"OPENAI_API_KEY": "not-a-real-key"}
# Its own sandbox needs namespaces, which a run does not get.
UNCONFINED = ("--sandbox", "danger-full-access")
SETTINGS = """\
model = "gpt-5.5"
model_provider = "scripted"
check_for_update_on_startup = false
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
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


@pytest.fixture(scope="session")
def codex(cache: Path) -> Path:
    return npm_program(cache, "codex", "@openai/codex@0.171.0")


@pytest.fixture
def scripted(govrun: Govrun, repo: Path) -> Iterator[Callable[[list[Step]], ScriptedModel]]:
    """A model, and settings and a committed profile that name it."""
    started: list[ScriptedModel] = []

    def start(steps: list[Step]) -> ScriptedModel:
        model = ScriptedModel(steps)
        started.append(model)
        (govrun.home / ".codex").mkdir(exist_ok=True)
        (govrun.home / ".codex/config.toml").write_text(SETTINGS.format(port=model.port))
        (repo / "govrun.toml").write_text(PROFILE.format(port=model.port))
        govrun.bare("git", "add", "-A")
        govrun.bare("git", "commit", "-qm", "policy")
        return model

    yield start
    for model in started:
        model.close()


def shell(command: str, before: Callable[[], None] | None = None) -> Call:
    return Call("exec_command", {"cmd": command}, before)


def patch(*lines: str) -> Call:
    """Codex's own edit tool: it changes files in its own process."""
    return Call("apply_patch", "\n".join(("*** Begin Patch", *lines, "*** End Patch", "")))


def add(path: str, line: str) -> Call:
    return patch(f"*** Add File: {path}", f"+{line}")


def test_codex_works_and_is_governed(
    govrun: Govrun, repo: Path, codex: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    notes: list[str] = []

    def show() -> str:
        return govrun.bare("git", "log", "-1", "--notes=govrun").stdout.decode()

    fix = patch("*** Update File: src/app.py", "@@", "-    return 42", "+    return 43")
    model = scripted(
        [
            shell("cat src/app.py && printf 'done\\n' > NEWS && /usr/bin/python3 -B src/app.py"),
            fix,
            add("src/client.py", "import requests"),
            shell("ls src; git add -A && git commit -qm 'fix the answer' && git log --oneline"),
            shell("git status --porcelain", lambda: notes.append(wait_for(show, "govrun/1 RUNNING"))),
            add(".github/workflows/ci.yml", "on: push"),
            add("../outside", "stolen"),
            shell("echo stolen > $HOME/outside"),
            shell("echo import requests > src/worse.py; ls src"),
            shell("cd ~/.codex; echo '[mcp_servers.x]' >> config.toml; mkdir -p skills/x && touch skills/x/SKILL.md"),
            Say("all done"),
        ]
    )
    outcome = govrun(codex, "exec", *UNCONFINED, "fix the answer", env=ENVIRONMENT, timeout=300)
    assert not model.failures, model.failures
    assert outcome.code == 0, f"{outcome.stdout.decode(errors='replace')}\n{outcome.stderr}"
    assert len(model.requests) == len(model.steps), outcome.stderr
    assert b"all done" in outcome.stdout

    # The work is done, by commands and by its own edit tool.
    assert (repo / "src/app.py").read_text().endswith("43\n")
    assert "Success" in model.seen(1)
    assert govrun.bare("git", "show", "--stat", "--format=%s").stdout.split()[:3] == [b"fix", b"the", b"answer"]
    assert govrun.bare("git", "status", "--porcelain").stdout == b""

    # What its own edit tool wrote against a rule is gone, and the model is told with its next command.
    assert not (repo / "src/client.py").exists()
    assert "reverted by one-client" in model.seen(3), model.seen(3)
    assert "httpx" in model.seen(3)
    # What its own edit tool could not write failed in its hands; why is told with the next command.
    for number, path in ((5, repo / ".github/workflows/ci.yml"), (6, repo.parent / "outside")):
        assert "Failed to" in model.seen(number), model.seen(number)
        assert not path.exists()
    assert "earlier: denied by scope.protect" in model.seen(7), model.seen(7)
    assert f"earlier: denied by scope.write: {repo.parent}/outside" in model.seen(7)
    # What a command did against a rule is told in that command's output.
    assert f"denied by scope.write: {govrun.home}/outside" in model.seen(7)
    assert not (govrun.home / "outside").exists()
    assert "reverted by one-client" in model.seen(8), model.seen(8)
    assert not (repo / "src/worse.py").exists()
    # What Codex would run in its next, ungoverned session cannot be planted in its state folder.
    assert "denied by govrun.agent" in model.seen(9), model.seen(9)
    assert "mcp_servers" not in (govrun.home / ".codex/config.toml").read_text()
    assert not (govrun.home / ".codex/skills/x/SKILL.md").exists()
    assert {"scope.write", "scope.protect", "one-client", "govrun.agent"} <= {
        record["invariant"] for record in outcome.denied()
    }

    # The record: the note was there while the agent worked, and was closed at its end.
    assert notes and "govrun/1 RUNNING" in notes[0], notes
    final = show()
    assert f"{outcome.run} 0 govrun/1 PASSED agent=codex exit=0" in final, final
    assert ": codex in " in outcome.stderr.splitlines()[0]


def test_a_second_run_continues_the_session(
    govrun: Govrun, codex: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    model = scripted([shell("echo the answer is known"), Say("first"), Say("second")])
    govrun(codex, "exec", *UNCONFINED, "remember the answer", env=ENVIRONMENT, timeout=300).ok()
    again = govrun(codex, "exec", *UNCONFINED, "resume", "--last", "go on", env=ENVIRONMENT, timeout=300).ok()
    assert b"second" in again.stdout
    heard = model.heard(2)
    assert "remember the answer" in heard and "the answer is known" in heard and "go on" in heard


def test_its_own_sandbox_cannot_work_and_says_why(
    govrun: Govrun, repo: Path, codex: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    """Codex confines its commands with namespaces, which a run does not get: its own message names the kernel, and
    govrun's tells what to do, to the model and to the user."""
    model = scripted([shell("echo hi > src/new.py"), shell("ls"), Say("done")])
    outcome = govrun(codex, "exec", "--sandbox", "workspace-write", "go", env=ENVIRONMENT, timeout=300)
    assert not (repo / "src/new.py").exists()
    for number in (0, 1):
        assert "--sandbox danger-full-access" in model.seen(number), model.seen(number)
    assert "--sandbox danger-full-access" in outcome.stderr


@pytest.mark.needs("tmux")
def test_codex_in_a_terminal(
    govrun: Govrun, repo: Path, codex: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    model = scripted([shell("echo hi > src/new.py; echo x > ../outside"), Say("all is done")])
    with (govrun.home / ".codex/config.toml").open("a") as settings:
        settings.write(f'[projects."{repo}"]\ntrust_level = "trusted"\n')
        settings.write('[notice.model_migrations]\n"gpt-5.5" = "gpt-6-sol"\n')
    # The server that it shares between sessions would outlive the run, and is copied to be run later.
    words = govrun.argv("--", codex, "--no-daemon", *UNCONFINED)
    terminal = Terminal(words, repo, govrun.env | ENVIRONMENT)
    try:
        assert "supervises" not in terminal.wait("Ask Codex to do anything")  # a refusal, across what it draws
        terminal.resize(72, 40)
        terminal.type("go on", "› go on")
        terminal.keys("Enter")
        screen = terminal.wait("all is done", "echo hi > src/new.py", "Ask Codex to do anything")
        rows = screen.splitlines()
        assert next(row for row, line in enumerate(rows) if "? for shortcuts" in line) >= 30  # where 30 rows had none
        assert screen.count("govrun:") == 1  # in its command's output, and not across what it draws
        assert "denied by scope.write" in model.seen(0), model.seen(0)
        terminal.keys("/quit")
        terminal.wait("› /quit")
        terminal.keys("Enter")
        terminal.wait("ended with 0", "PASSED · exit 0", "denied by govrun.agent", seconds=15)
    finally:
        terminal.close()
    assert (repo / "src/new.py").exists()
    assert not (repo.parent / "outside").exists()


def test_scripted_model_works_bare(
    govrun: Govrun, repo: Path, codex: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    """The fixture proves itself: without govrun the forbidden steps succeed."""
    scripted([add("../outside", "stolen"), shell("echo '# x' >> ~/.codex/config.toml"), Say("done")])
    done = govrun.bare(str(codex), "exec", *UNCONFINED, "go", env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert (repo.parent / "outside").read_text() == "stolen\n"
    assert (govrun.home / ".codex/config.toml").read_text().endswith("# x\n")
