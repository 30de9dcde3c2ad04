"""A model on loopback that answers with scripted steps in the protocol it is asked in; agents from the registries."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A tool call: ``arguments`` are a table, or the plain text of a tool that takes one. ``before`` runs between the
    agent's request and the answer: the agent is alive and waits."""

    tool: str
    arguments: dict[str, Any] | str
    before: Callable[[], None] | None = None


class Say(NamedTuple):
    """The model's last word in a turn."""

    text: str


Step = Call | Say
Chunk = tuple[str, dict[str, Any]]  # SSE event (empty: none) and its data


def _responses(step: Step, number: int) -> Iterator[Chunk]:
    """OpenAI's Responses protocol."""
    item: dict[str, Any]
    if isinstance(step, Say):
        content = [{"type": "output_text", "text": step.text, "annotations": []}]
        item = {"type": "message", "role": "assistant", "id": f"m{number}", "content": content}
    elif isinstance(step.arguments, str):
        item = {"type": "custom_tool_call", "id": f"c{number}", "name": step.tool, "input": step.arguments}
    else:
        item = {"type": "function_call", "id": f"c{number}", "name": step.tool, "arguments": json.dumps(step.arguments)}
    if isinstance(step, Call):
        item["call_id"] = f"call_{number}"
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield "response.created", {"response": {"id": f"r{number}"}}
    yield "response.output_item.done", {"output_index": 0, "item": item}
    yield "response.completed", {"response": {"id": f"r{number}", "status": "completed", "usage": usage}}


def _chat(step: Step, number: int) -> Iterator[Chunk]:
    """OpenAI's chat completions, streamed."""
    delta: dict[str, Any] = {"role": "assistant", "content": step.text if isinstance(step, Say) else None}
    if isinstance(step, Call):
        function = {"name": step.tool, "arguments": json.dumps(step.arguments)}
        delta["tool_calls"] = [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]
    frame = {"id": f"r{number}", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    reason = "stop" if isinstance(step, Say) else "tool_calls"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    yield "", frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield "", frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}


def _gemini(step: Step, number: int) -> Iterator[Chunk]:
    """Google's streamGenerateContent."""
    part: dict[str, Any] = {"text": step.text} if isinstance(step, Say) else {}
    if isinstance(step, Call):
        part = {"functionCall": {"id": f"call_{number}", "name": step.tool, "args": step.arguments}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    yield (
        "",
        {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted", "responseId": f"r{number}"},
    )


PROTOCOLS = (("/responses", _responses), ("/chat/completions", _chat), (":streamGenerateContent", _gemini))


class ScriptedModel:
    """Answers the n-th request that offers its tools with the n-th step, the last one for good. ``requests`` are their
    bodies."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.requests: list[dict[str, Any]] = []
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.partition("?")[0]
                protocol = next((found for end, found in PROTOCOLS if path.endswith(end)), None)
                if protocol is None:
                    self.send_error(404)
                    return
                chunks = list(protocol(*model.next(body)))
                lines = [
                    f"event: {kind}\n" * bool(kind) + f"data: {json.dumps(data | {'type': kind} if kind else data)}\n\n"
                    for kind, data in chunks
                ]
                if protocol is _chat:
                    lines.append("data: [DONE]\n\n")
                answer = "".join(lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                """Quiet: the agent's own output is what a failing test shows."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def next(self, request: dict[str, Any]) -> tuple[Step, int]:
        offered, calls = json.dumps(request.get("tools")), [step for step in self.steps if isinstance(step, Call)]
        if calls and not any(json.dumps(call.tool) in offered for call in calls):
            return Say("a title"), len(self.requests)  # asked beside the work, whenever the agent likes
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        step = self.steps[min(number, len(self.steps) - 1)]
        if isinstance(step, Call) and step.before is not None:
            try:
                step.before()
            except BaseException as failure:
                self.failures.append(failure)
        return step, number

    def seen(self, number: int) -> str:
        """What the model received in reply to step ``number``: the last message of the next request, as JSON text."""
        return json.dumps(_messages(self.requests[number + 1])[-1], ensure_ascii=False)

    def heard(self, number: int) -> str:
        """Everything that the request with this number says."""
        return json.dumps(_messages(self.requests[number]), ensure_ascii=False)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def _messages(request: dict[str, Any]) -> list[Any]:
    found = request.get("input") or request.get("messages") or request.get("contents")
    assert isinstance(found, list), list(request)
    return found


def npm_program(cache: Path, name: str, package: str, before: str = "") -> Path:
    """The program ``name`` of an npm package with its version, installed once. ``before``: a date, for packages that
    leave the versions of their dependencies open."""
    folder = cache / package.strip("@").replace("/", "-")
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Not --prefix: npm would look for the machine's own settings below it.
        (folder / "package.json").write_text("{}")
        command = ["npm", "install", "--no-fund", "--no-audit", package]
        command += ["--before", before] if before else []
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=900)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        (folder / "complete").touch()
    return folder / "node_modules" / ".bin" / name


def wait_for(look: Callable[[], str], wanted: str, seconds: float = 20) -> str:
    """Poll until ``wanted`` shows up: a note is written by another process a moment after the commit."""
    end = time.monotonic() + seconds
    while wanted not in (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class Terminal:
    """A program in a tmux server of its own."""

    def __init__(
        self, words: list[str | bytes], cwd: Path, env: dict[str, str], size: tuple[int, int] = (100, 30)
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="gv", dir="/tmp")  # short, for the name of its socket
        command = " ".join(shlex.quote(os.fsdecode(word)) for word in words)
        # The shell stays, so that what is said at the end can be read.
        script = f"{command}; echo ended with $?; exec cat"
        clean = {"PATH": env["PATH"], "TMUX_TMPDIR": self._folder}
        given = [
            word for name, value in (env | {"TERM": "xterm-256color"}).items() for word in ("-e", f"{name}={value}")
        ]
        width, height = map(str, size)
        self._tmux = ["tmux", "-L", "own", "-f", "/dev/null"]
        start = [
            *self._tmux,
            "new-session",
            "-d",
            "-x",
            width,
            "-y",
            height,
            *given,
            "-c",
            str(cwd),
            "sh",
            "-c",
            script,
        ]
        subprocess.run(start, check=True, env=clean, capture_output=True)
        self._env = clean

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], env=self._env, capture_output=True, text=True).stdout

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        """Keys as tmux names them; anything else is typed."""
        self._run("send-keys", *keys)

    def type(self, text: str, shown: str) -> None:
        """Type it until it shows: a program that is still starting throws away what was typed ahead."""
        for _ in range(10):
            self.keys(text)
            for _ in range(60):
                if shown in self.screen():
                    return
                time.sleep(0.1)
        raise AssertionError(f"{shown} did not show up:\n{self.screen()}")

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, *wanted: str, seconds: float = 60) -> str:
        """The screen once it shows all of ``wanted``; AssertionError with what it shows instead."""
        end = time.monotonic() + seconds
        while any(text not in (screen := self.screen()) for text in wanted):
            assert time.monotonic() < end, f"{wanted} did not show up:\n{screen}"
            time.sleep(0.1)
        return screen

    def close(self) -> None:
        self._run("kill-server")
        shutil.rmtree(self._folder, ignore_errors=True)
