"""pi from the npm registry, unmodified, at work under govrun; its model is a script on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.agent_kit import Call, Say, ScriptedModel, Step, Terminal, npm_program, wait_for

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = [pytest.mark.needs("registry"), pytest.mark.timeout(900)]
ENVIRONMENT = {"OPENAI_API_KEY": "not-a-real-key", "PI_OFFLINE": "1"}
MODEL = ("--provider", "scripted", "--model", "scripted")
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


def settings(port: int) -> str:
    provider = {
        "baseUrl": f"http://127.0.0.1:{port}/v1",
        "api": "openai-completions",
        "apiKey": "OPENAI_API_KEY",
        "models": [{"id": "scripted"}],
    }
    return json.dumps({"providers": {"scripted": provider}})


@pytest.fixture(scope="session")
def pi(cache: Path) -> Path:
    return npm_program(cache, "pi", "@mariozechner/pi-coding-agent@0.73.1", before="2026-11-15")


@pytest.fixture
def scripted(govrun: Govrun, repo: Path) -> Iterator[Callable[[list[Step]], ScriptedModel]]:
    """A model, and settings and a committed profile that name it."""
    started: list[ScriptedModel] = []

    def start(steps: list[Step]) -> ScriptedModel:
        model = ScriptedModel(steps)
        started.append(model)
        (govrun.home / ".pi/agent").mkdir(parents=True, exist_ok=True)
        (govrun.home / ".pi/agent/models.json").write_text(settings(model.port))
        (repo / "govrun.toml").write_text(PROFILE.format(port=model.port))
        govrun.bare("git", "add", "-A")
        govrun.bare("git", "commit", "-qm", "policy")
        return model

    yield start
    for model in started:
        model.close()


def shell(command: str, before: Callable[[], None] | None = None) -> Call:
    return Call("bash", {"command": command}, before)


def write(path: str, content: str) -> Call:
    """pi's own edit tool: it changes files in its own process."""
    return Call("write", {"path": path, "content": content})


def test_pi_works_and_is_governed(
    govrun: Govrun, repo: Path, pi: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    notes: list[str] = []

    def show() -> str:
        return govrun.bare("git", "log", "-1", "--notes=govrun").stdout.decode()

    model = scripted(
        [
            shell("cat src/app.py && printf 'done\\n' > NEWS && /usr/bin/python3 -B src/app.py"),
            Call("edit", {"path": "src/app.py", "edits": [{"oldText": "return 42", "newText": "return 43"}]}),
            write("src/client.py", "import requests\n"),
            shell("ls src; git add -A && git commit -qm 'fix the answer' && git log --oneline"),
            shell("git status --porcelain", lambda: notes.append(wait_for(show, "govrun/1 RUNNING"))),
            write(".github/workflows/ci.yml", "on: push\n"),
            write(f"{repo.parent}/outside", "stolen\n"),
            shell("echo stolen > $HOME/outside"),
            shell("echo import requests > src/worse.py; ls src"),
            shell("cd ~/.pi/agent; echo '{}' > settings.json; mkdir -p extensions && touch extensions/x.ts"),
            Say("all done"),
        ]
    )
    outcome = govrun(pi, "-p", *MODEL, "fix the answer", env=ENVIRONMENT, timeout=300)
    assert not model.failures, model.failures
    assert outcome.code == 0, f"{outcome.stdout.decode(errors='replace')}\n{outcome.stderr}"
    assert len(model.requests) == len(model.steps), outcome.stderr
    assert b"all done" in outcome.stdout

    # The work is done, by commands and by its own edit tool.
    assert (repo / "src/app.py").read_text().endswith("43\n")
    assert govrun.bare("git", "show", "-s", "--format=%s").stdout == b"fix the answer\n"
    assert govrun.bare("git", "status", "--porcelain").stdout == b""

    # What its own edit tool wrote against a rule is gone, and the model is told with its next command.
    assert not (repo / "src/client.py").exists()
    assert "reverted by one-client" in model.seen(3), model.seen(3)
    assert "httpx" in model.seen(3)
    # What its own edit tool could not write failed in its hands; why is told with the next command.
    for number, path in ((5, repo / ".github/workflows/ci.yml"), (6, repo.parent / "outside")):
        assert "EACCES" in model.seen(number), model.seen(number)
        assert not path.exists()
    assert "earlier: denied by scope.protect" in model.seen(7), model.seen(7)
    assert f"earlier: denied by scope.write: {repo.parent}/outside" in model.seen(7)
    # What a command did against a rule is told in that command's output.
    assert f"denied by scope.write: {govrun.home}/outside" in model.seen(7)
    assert not (govrun.home / "outside").exists()
    assert "reverted by one-client" in model.seen(8), model.seen(8)
    assert not (repo / "src/worse.py").exists()
    # What pi would run in its next, ungoverned session cannot be planted in its state folder.
    assert "denied by govrun.agent" in model.seen(9), model.seen(9)
    assert not (govrun.home / ".pi/agent/extensions/x.ts").exists()
    assert {"scope.write", "scope.protect", "one-client", "govrun.agent"} <= {
        record["invariant"] for record in outcome.denied()
    }

    # The record: the note was there while the agent worked, and was closed at its end.
    assert notes and "govrun/1 RUNNING" in notes[0], notes
    final = show()
    assert f"{outcome.run} 0 govrun/1 PASSED agent=pi exit=0" in final, final
    assert ": pi in " in outcome.stderr.splitlines()[0]


def test_a_second_run_continues_the_session(
    govrun: Govrun, pi: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    model = scripted([shell("echo the answer is known"), Say("first"), Say("second")])
    govrun(pi, "-p", *MODEL, "remember the answer", env=ENVIRONMENT, timeout=300).ok()
    again = govrun(pi, "-p", *MODEL, "--continue", "go on", env=ENVIRONMENT, timeout=300).ok()
    assert b"second" in again.stdout
    heard = model.heard(2)
    assert "remember the answer" in heard and "the answer is known" in heard and "go on" in heard


@pytest.mark.needs("tmux")
def test_pi_in_a_terminal(
    govrun: Govrun, repo: Path, pi: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    model = scripted([shell("echo hi > src/new.py; echo x > ../outside"), Say("all is done")])
    terminal = Terminal(govrun.argv("--", pi, *MODEL), repo, govrun.env | ENVIRONMENT)
    try:
        terminal.wait("─" * 100)  # it draws lines as wide as its terminal
        terminal.resize(72, 40)
        screen = terminal.wait("─" * 72)
        assert "─" * 73 not in screen
        terminal.type("go on", "go on")
        terminal.keys("Enter")
        screen = terminal.wait("all is done", "echo hi > src/new.py")
        assert "denied by scope.write" in model.seen(0), model.seen(0)
        terminal.keys("C-d")
        terminal.wait("ended with 0", "PASSED · exit 0")
    finally:
        terminal.close()
    assert (repo / "src/new.py").exists()
    assert not (repo.parent / "outside").exists()


def test_scripted_model_works_bare(
    govrun: Govrun, repo: Path, pi: Path, scripted: Callable[[list[Step]], ScriptedModel]
) -> None:
    """The fixture proves itself: without govrun the forbidden steps succeed."""
    steps: list[Step] = [write(f"{repo.parent}/outside", "stolen\n"), shell("touch ~/.pi/agent/evil.md"), Say("done")]
    scripted(steps)
    done = govrun.bare(str(pi), "-p", *MODEL, "go", env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert (repo.parent / "outside").read_text() == "stolen\n"
    assert (govrun.home / ".pi/agent/evil.md").exists()
