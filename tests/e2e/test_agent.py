"""A real agent: mini-swe-agent with a scripted model on loopback. Real process, real shell commands, real commit."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

# litellm imports mcp when it answers and does not declare it.
AGENT = ("mini-swe-agent==2.4.6", "mcp")
Step = tuple[str, Callable[[], None] | None]


@pytest.fixture(scope="session")
def agent(cache: Path) -> Path:
    """The `mini` program in a venv of its own, installed once from the configured index."""
    folder = cache / "mini-swe-agent"
    if not (folder / "complete").exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        install = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", *AGENT]
        done = subprocess.run(install, capture_output=True, timeout=900)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        (folder / "complete").touch()
    return folder / "bin" / "mini"


class Model:
    """An OpenAI-compatible endpoint that answers with the next scripted command and keeps what it was sent.

    The callback of a step runs between the agent's request and the answer: the agent is alive and waits.
    """

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.requests: list[dict[str, Any]] = []
        self.failures: list[BaseException] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = json.dumps(model.answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                """Quiet: the agent's own output is what a failing test shows."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        number = len(self.requests)
        self.requests.append(request)
        command, callback = self.steps[min(number, len(self.steps) - 1)]
        if callback is not None:
            try:
                callback()
            except BaseException as failure:
                self.failures.append(failure)
        call = {"name": "bash", "arguments": json.dumps({"command": command})}
        message = {
            "role": "assistant",
            "content": f"step {number}",
            "tool_calls": [{"id": f"call_{number}", "type": "function", "function": call}],
        }
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "scripted",
            "choices": [choice],
            "usage": usage,
        }

    def seen(self, number: int) -> str:
        """What the tool said in reply to step `number`, as the model received it."""
        return str(self.requests[number + 1]["messages"][-1]["content"])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def model() -> Iterator[Callable[[list[Step]], Model]]:
    started: list[Model] = []

    def start(steps: list[Step]) -> Model:
        started.append(Model(steps))
        return started[-1]

    yield start
    for each in started:
        each.close()


ENVIRONMENT = {
    "OPENAI_API_KEY": "not-a-real-key",
    "MSWEA_CONFIGURED": "1",
    "MSWEA_COST_TRACKING": "ignore_errors",
    "MSWEA_SILENT_STARTUP": "1",
    "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "2",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def words(agent: Path, port: int) -> list[str]:
    base = f"model.model_kwargs.api_base=http://127.0.0.1:{port}/v1"
    name = ["-m", "openai/scripted", "-c", "mini.yaml", "-c", base, "-c", "environment.timeout=60"]
    return [str(agent), "-y", "--exit-immediately", "-t", "fix the answer", *name]


def wait_for(look: Callable[[], str], wanted: str, seconds: float = 10) -> str:
    """Poll until `wanted` shows up: a note is written by another process a moment after the commit."""
    end = time.monotonic() + seconds
    while wanted not in (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


END = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@pytest.mark.needs("registry")
@pytest.mark.timeout(900)
def test_agent_works_and_is_governed(
    govrun: Govrun, repo: Path, agent: Path, model: Callable[[list[Step]], Model]
) -> None:
    notes: list[str] = []

    def show() -> str:
        return govrun.bare("git", "log", "-1", "--notes=govrun").stdout.decode()

    steps: list[Step] = [
        ("cat src/app.py && ls -la", None),
        ("sed -i s/42/43/ src/app.py && printf 'done\\n' > NEWS && /usr/bin/python3 -B src/app.py", None),
        ("git add -A && git commit -qm 'fix the answer' && git log --oneline", None),
        ("git status --porcelain", lambda: notes.append(wait_for(show, "govrun/1 RUNNING"))),
        ("echo stolen > $HOME/outside", None),
        ("printf '#!/bin/sh\\n' > .git/hooks/pre-push", None),
        (END, None),
    ]
    server = model(steps)
    (repo / "govrun.toml").write_text(f'version = 1\n[scope]\nhosts = ["127.0.0.1:{server.port}"]\n')
    govrun.bare("git", "add", "-A")
    govrun.bare("git", "commit", "-qm", "policy")
    outcome = govrun(*words(agent, server.port), env=ENVIRONMENT, timeout=600)
    assert not server.failures, server.failures
    assert outcome.code == 0, f"{outcome.stdout.decode(errors='replace')}\n{outcome.stderr}"
    assert len(server.requests) == len(steps), outcome.stdout.decode(errors="replace")

    # The work is done, by the agent's own shell commands.
    assert (repo / "src/app.py").read_text().endswith("43\n")
    assert govrun.bare("git", "log", "-1", "--format=%s").stdout == b"fix the answer\n"
    assert govrun.bare("git", "status", "--porcelain").stdout == b""

    # What was refused did not happen, and the model was told why, in its tool's output.
    assert not (govrun.home / "outside").exists()
    assert "scope.write" in server.seen(4) and "outside" in server.seen(4), server.seen(4)
    assert not (repo / ".git/hooks/pre-push").exists()
    assert "git.internals" in server.seen(5), server.seen(5)
    assert outcome.denied("scope.write") and outcome.denied("git.internals")

    # The record: the note was there while the agent worked, and was closed at its end.
    assert notes and "Notes (govrun):" in notes[0] and "govrun/1 RUNNING" in notes[0], notes
    final = show()
    assert f"{outcome.run} 0 govrun/1 PASSED agent=mini-swe-agent exit=0" in final, final
    assert f"{outcome.run} 1 execution attempted=" in final

    # The banner knows the agent; stdout is the agent's alone (it shows its tools' output there, reasons included).
    assert "mini-swe-agent" in outcome.stderr.splitlines()[0]
    assert f"govrun {outcome.run}".encode() not in outcome.stdout


@pytest.mark.needs("registry")
@pytest.mark.timeout(900)
def test_agent_without_its_host(govrun: Govrun, repo: Path, agent: Path, model: Callable[[list[Step]], Model]) -> None:
    """The same agent, its model's address not named: not one byte arrives there."""
    server = model([(END, None)])
    outcome = govrun(*words(agent, server.port), env=ENVIRONMENT, timeout=300)
    assert outcome.code != 0
    assert server.requests == []
    assert outcome.denied("scope.hosts"), outcome.stderr


@pytest.mark.needs("registry")
@pytest.mark.timeout(900)
def test_scripted_model_works_bare(govrun: Govrun, agent: Path, model: Callable[[list[Step]], Model]) -> None:
    """The fixture proves itself: without govrun the forbidden step succeeds, so its refusal above is govrun's doing."""
    server = model([("echo stolen > $HOME/outside", None), (END, None)])
    done = govrun.bare(*words(agent, server.port), env=ENVIRONMENT | {"COLUMNS": "200"}, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert (govrun.home / "outside").read_text() == "stolen\n"
