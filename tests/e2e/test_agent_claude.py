"""Claude Code from the registry, unmodified, with a scripted model on loopback: its shell and its own edit tools."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.panes import Pane, ended
from tests.e2e.scripted_model import Messages, Step, say, use

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PACKAGE = "@anthropic-ai/claude-code"
# The newest opens everything through /proc/self/fd/N; one from before is still in use.
NEWEST, EARLIER = "2.1.332", "2.1.197"
PROFILE = """version = 1
[scope]
hosts = ["127.0.0.1:{port}"]

[[dependency]]
id = "one-http"
why = "one client"
deny = ["pypi:requests"]
use = "httpx"
"""
TOOLS = ("--allowed-tools", "Bash", "Write")
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": "a", "execution_count": None, "metadata": {}, "outputs": [], "source": ["x = 1"]}
    ],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
pytestmark = [pytest.mark.needs("npm", "registry"), pytest.mark.timeout(900)]
Start = Callable[[Sequence[Step]], Messages]


@pytest.fixture(scope="session")
def claude(
    request: pytest.FixtureRequest,
    cache: Path,
    client_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The `claude` program, installed once; a parameter is its version."""
    version = getattr(request, "param", NEWEST)
    folder = cache / f"claude-code-{version}"
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path_factory.mktemp("npm"))} | client_environment
        install = [
            "npm",
            "install",
            "--prefix",
            str(folder),
            "--silent",
            "--no-audit",
            "--no-fund",
            f"{PACKAGE}@{version}",
        ]
        done = subprocess.run(install, env=env, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        # Newer npm asks before it runs the script that puts the program in place.
        script = folder / "node_modules/@anthropic-ai/claude-code/install.cjs"
        subprocess.run(["node", str(script)], env=env, check=True, capture_output=True, timeout=600)
        (folder / "complete").touch()
    return folder / "node_modules/.bin/claude"


@pytest.fixture
def model() -> Iterator[Start]:
    started: list[Messages] = []

    def start(steps: Sequence[Step]) -> Messages:
        started.append(Messages(steps))
        return started[-1]

    yield start
    for each in started:
        each.close()


class Session:
    """A repository with a profile that lets the model be reached, and the command line of the agent."""

    def __init__(self, govrun: Govrun, repo: Path, claude: Path, model: Messages) -> None:
        self.govrun, self.repo, self.model, self.home = govrun, repo, model, govrun.home
        # As root it asks for a word that somebody has thought about it.
        self.env = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "not-a-real-key", "IS_SANDBOX": "1"}
        self.words = [str(claude), "--dangerously-skip-permissions", "-p", "fix the answer"]
        (repo / "govrun.toml").write_text(PROFILE.format(port=model.port))
        (repo / "n.ipynb").write_text(json.dumps(NOTEBOOK))
        govrun.bare("git", "add", "-A")
        govrun.bare("git", "commit", "-qm", "policy")

    def run(self, *more: str) -> Outcome:
        outcome = self.govrun(*self.words, *more, env=self.env, timeout=300)
        assert not self.model.failures, self.model.failures
        assert outcome.code == 0, f"{outcome.stdout.decode(errors='replace')}\n{outcome.stderr}"
        return outcome

    def needed(self, outcome: Outcome) -> list[str]:
        """What it needs for itself and was refused. Where there is no folder for plugins the newest asks for one, which
        later sessions would run, and goes on without."""
        refused = [each["op"]["path"] for each in outcome.denied()]
        return [path for path in refused if path != str(self.home / ".claude/plugins")]

    def note(self) -> str:
        return self.govrun.bare("git", "log", "-1", "--notes=govrun").stdout.decode()

    def wait_for_note(self, wanted: str) -> str:
        end = time.monotonic() + 10
        while wanted not in (found := self.note()) and time.monotonic() < end:
            time.sleep(0.05)
        return found


@pytest.fixture
def session(govrun: Govrun, repo: Path, claude: Path, model: Start) -> Callable[[Sequence[Step]], Session]:
    return lambda steps: Session(govrun, repo, claude, model(steps))


def bash(command: str, before: Callable[[], None] | None = None) -> Step:
    return use("Bash", before, command=command, description="a command")


@pytest.mark.parametrize("claude", [NEWEST, EARLIER], indirect=True)
def test_it_works_and_goes_on_in_a_second_run(session: Callable[[Sequence[Step]], Session], repo: Path) -> None:
    app, new, notebook = (str(repo / name) for name in ("src/app.py", "src/new.py", "n.ipynb"))
    notes: list[str] = []
    steps = [
        bash("cat src/app.py && ls -a"),
        use("Write", file_path=new, content="x = 1\n"),
        use("Read", file_path=app),
        use("Edit", file_path=app, old_string="42", new_string="43"),
        use("Read", file_path=notebook),
        use("NotebookEdit", notebook_path=notebook, cell_id="a", new_source="y = 2"),
        bash("/usr/bin/python3 -B src/app.py && git add -A && git commit -qm 'fix the answer' && git log --oneline"),
        bash("git status --porcelain", lambda: notes.append(run.wait_for_note("govrun/1 RUNNING"))),
        say("all is done"),
    ]
    run = session(steps)
    users = {"tipsHistory": {"a-tip": 3}, "mcpServers": {}}
    (run.home / ".claude.json").write_text(json.dumps(users))
    outcome = run.run()
    assert b"all is done" in outcome.stdout
    assert [run.model.seen(n)[:6] for n in (1, 3)] == ["File c", "The fi"], "both tools say that they have written"
    assert "fix the answer" in run.model.seen(6) and run.model.seen(7).strip() in (
        "",
        "(Bash completed with no output)",
    )
    assert (
        "43" in Path(app).read_text() and Path(new).read_text() == "x = 1\n" and "y = 2" in Path(notebook).read_text()
    )
    assert not run.needed(outcome), outcome.stderr
    assert [each.get("op") for each in outcome.records(kind="external")] == []

    # The record: the note was there while the agent worked, and was closed at its end.
    assert notes and "govrun/1 RUNNING" in notes[0], notes
    assert f"{outcome.run} 0 govrun/1 PASSED agent=claude exit=0" in run.note()
    assert "claude in" in outcome.stderr.splitlines()[0]

    # Its state is where it always is, and was read again: the runs' version began as the user's, which is untouched.
    transcripts = list((run.home / ".claude/projects").glob("*/*.jsonl"))
    assert len(transcripts) == 1
    kept = json.loads((run.home / ".claude/.claude.json").read_text())
    assert kept["tipsHistory"]["a-tip"] == 3 and kept["userID"]
    assert json.loads((run.home / ".claude.json").read_text()) == users

    # A second run finds the conversation of the first.
    run.model.steps += [say("still here")]
    before = len(run.model.requests)
    again = run.run("--continue")
    assert b"still here" in again.stdout and not run.needed(again), again.stderr
    said = json.dumps(run.model.requests[before]["messages"])
    assert "all is done" in said and "toolu_0006" in said
    assert json.loads((run.home / ".claude/.claude.json").read_text())["userID"] == kept["userID"]


def test_what_breaks_a_rule_is_refused_and_the_model_reads_why(
    session: Callable[[Sequence[Step]], Session], repo: Path
) -> None:
    app, outside = str(repo / "src/app.py"), str(repo.parent / "home/outside")
    steps = [
        bash("echo stolen > $HOME/outside"),
        bash("printf '#!/bin/sh\\n' > .git/hooks/pre-push"),
        use("Write", file_path=str(repo / "src/client.py"), content="import requests\n"),
        bash("ls src"),
        use("Read", file_path=app),
        use("Edit", file_path=app, old_string="def", new_string="import requests\ndef"),
        bash("git status --porcelain"),
        use("Read", file_path=str(repo / "n.ipynb")),
        use("NotebookEdit", notebook_path=str(repo / "n.ipynb"), cell_id="a", new_source="import requests"),
        bash("git diff --stat"),
        use("Write", file_path=str(repo / ".github/workflows/ci.yml"), content="on: push\n"),
        use("Write", file_path=outside, content="stolen\n"),
        bash("echo next"),
        say("done"),
    ]
    run = session(steps)
    outcome = run.run()
    seen = run.model.seen
    assert "scope.write" in seen(0) and "outside" in seen(0)
    assert "git.internals" in seen(1)
    # Its own tools fail, and the next command says why.
    for tool, why, told in (
        (2, 3, "src/client.py imports requests"),
        (5, 6, "src/app.py imports"),
        (8, 9, "n.ipynb imp"),
    ):
        assert "EACCES" in seen(tool) and "rename" in seen(tool), seen(tool)
        assert "govrun: earlier: denied by one-http" in seen(why) and told in seen(why), seen(why)
        assert "one client" in seen(why) and "instead: httpx" in seen(why)
    assert "EACCES" in seen(10) and "EACCES" in seen(11)
    assert "scope.protect" in seen(12) and "workflows" in seen(12) and "scope.write" in seen(12), seen(12)

    assert not Path(outside).exists() and not (repo / ".git/hooks/pre-push").exists()
    assert not (repo / "src/client.py").exists() and not list(repo.glob(".github/*"))
    assert run.govrun.bare("git", "status", "--porcelain").stdout == b"", "no temporary of a refused edit is left"
    assert {each["invariant"] for each in outcome.denied()} == {
        "scope.write",
        "git.internals",
        "one-http",
        "scope.protect",
    }


PLANT = """
import json, os, sys
home = os.path.expanduser("~")
def attempt(name, act):
    try:
        act()
        print(name, "done")
    except OSError as error:
        print(name, "refused")
def put(path, text="x"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
for path in sys.argv[1:]:
    attempt(path, lambda: put(os.path.join(home, path)))
with open(home + "/.claude/.claude.json") as file:
    state = json.load(file)
state["mcpServers"] = {"evil": {"command": "sh"}}
with open(home + "/.claude/.claude.json.tmp", "w") as file:
    json.dump(state, file)
attempt("own", lambda: os.rename(home + "/.claude/.claude.json.tmp", home + "/.claude/.claude.json"))
attempt("users", lambda: os.rename(home + "/.claude/.claude.json", home + "/.claude.json"))
attempt("link", lambda: os.symlink(os.getcwd(), home + "/.claude/skills"))
"""
PLANTED = (
    ".claude/settings.json .claude/settings.local.json .claude/hooks/x.sh .claude/commands/x.md .claude/agents/x.md "
    ".claude/skills/x/SKILL.md .claude/plugins/installed_plugins.json .claude/rules/x.md .claude/workflows/x.js "
    ".claude/CLAUDE.md .claude/.config.json .claude/local/claude .claude/daemon/dispatch/x.json .claude.json "
    ".claude.json.tmp .claude/shell-snapshots/snapshot-bash-theirs.sh .claude/session-env/theirs/x.sh"
).split()


def test_nothing_is_planted_for_sessions_that_nobody_governs(
    session: Callable[[Sequence[Step]], Session], repo: Path
) -> None:
    (repo / "plant.py").write_text(PLANT)
    run = session([bash(f"/usr/bin/python3 plant.py {' '.join(PLANTED)}"), say("done")])
    mine: dict[str, Any] = {"mcpServers": {"mine": {"command": "true", "args": []}}}
    (run.home / ".claude.json").write_text(json.dumps(mine))
    (run.home / ".claude/shell-snapshots").mkdir(parents=True)
    (run.home / ".claude/session-env/theirs").mkdir(parents=True)
    (run.home / ".claude/shell-snapshots/snapshot-bash-theirs.sh").write_text("true\n")
    run.run()
    said = run.model.seen(0)
    for path in PLANTED:
        assert f"{path} refused" in said, said
    assert "users refused" in said and "link refused" in said
    assert json.loads((run.home / ".claude.json").read_text()) == mine
    assert (run.home / ".claude/shell-snapshots/snapshot-bash-theirs.sh").read_text() == "true\n"
    # What it sets in the runs' own version lasts until the next run begins.
    assert "own done" in said
    run.model.steps += [say("done")]
    run.run()
    assert json.loads((run.home / ".claude/.claude.json").read_text())["mcpServers"] == mine["mcpServers"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    yield folder
    shutil.rmtree(folder)


def _trust(pane: Pane) -> None:
    """Say yes to its question: which answer is offered first depends on the version, and early keys are lost."""
    end = time.monotonic() + 60
    while "Claude Code v" not in (screen := pane.screen()):
        assert time.monotonic() < end, screen
        offered = next((line for line in screen.splitlines() if "❯" in line), "")
        if offered:
            pane.press("Enter" if "Yes, I trust" in offered else "Down")
        time.sleep(0.5)


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("way_out", ["/exit", "Ctrl-C"])
def test_its_own_interface(
    session: Callable[[Sequence[Step]], Session], claude: Path, short: Path, repo: Path, way_out: str
) -> None:
    """It starts, draws, resizes, works, is refused without a torn screen, and ends."""
    outside = str(repo.parent / "home/outside")
    run = session(
        [
            bash("echo stolen > $HOME/first; echo hello-$((40 + 2))"),
            use("Write", file_path=outside, content="stolen\n"),
            say("all of it is done"),
        ]
    )
    key = run.env["ANTHROPIC_API_KEY"]
    users = {"hasCompletedOnboarding": True, "customApiKeyResponses": {"approved": [key[-20:]], "rejected": []}}
    (run.home / ".claude.json").write_text(json.dumps(users))
    words = [os.fsdecode(word) for word in run.govrun.argv("--", claude, "--permission-mode", "default", *TOOLS)]
    pane = Pane(short, words, run.govrun.env | run.env, repo)
    try:
        _trust(pane)
        pane.type("fix the answer")
        pane.wait("all of it is done")
        pane.resize(64, 24)
        screen = pane.wait(lambda screen: "─" * 60 in screen and max(map(len, screen.splitlines())) <= 64)
        # What govrun says to the model is in its tools' output, indented; govrun itself writes nothing here.
        drawn = [line for line in screen.splitlines() if line.startswith("govrun: ")]
        assert not drawn, screen
        if way_out == "/exit":
            pane.type("/exit")
        else:
            for _ in range(5):  # the first may end the turn
                pane.press("C-c")
                with contextlib.suppress(AssertionError):
                    pane.wait("Press Ctrl-C again", 5)
                    pane.press("C-c")
                    break
        assert ended(run.govrun.state)["code"] == 0
        pane.wait("PASSED")
    finally:
        pane.close()
    assert not run.model.failures
    assert "scope.write" in run.model.seen(0) and "hello-42" in run.model.seen(0)
    assert "EACCES" in run.model.seen(1)
    assert not Path(outside).exists()
    assert json.loads((run.home / ".claude/.claude.json").read_text())["projects"][str(repo)]["hasTrustDialogAccepted"]


def test_state_of_another_place_is_told(session: Callable[[Sequence[Step]], Session]) -> None:
    run = session([say("done")])
    outcome = run.govrun(*run.words, env=run.env | {"CLAUDE_CONFIG_DIR": "/elsewhere"})
    assert outcome.code == 125 and "CLAUDE_CONFIG_DIR is set" in outcome.stderr and "env -u" in outcome.stderr
    assert not run.model.posted


def test_the_scripted_steps_work_bare(session: Callable[[Sequence[Step]], Session], repo: Path) -> None:
    """The fixture proves itself: without govrun the forbidden steps succeed."""
    outside = str(repo.parent / "home/outside")
    run = session(
        [
            use("Write", file_path=outside, content="stolen\n"),
            use("Write", file_path=str(repo / "src/client.py"), content="import requests\n"),
            say("done"),
        ]
    )
    done = run.govrun.bare(*run.words, env=run.env, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert Path(outside).exists() and (repo / "src/client.py").exists()
