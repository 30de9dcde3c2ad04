"""A model on loopback that answers what a script says: real agents are driven with it.

``ModelServer`` is the part that every provider shares: it takes posted JSON, keeps it, and streams back server-sent
events. ``Messages`` speaks the Anthropic Messages API on it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

Request = dict[str, Any]
Events = Iterator[tuple[str, Mapping[str, Any]]]  # name and data of one server-sent event each


class ModelServer:
    """Listens on a free port of 127.0.0.1 from the constructor on, until ``close`` (or as a context manager).

    A subclass answers: ``stream`` yields the events of a reply, ``whole`` is the same as one object for requests that
    do not stream. Both run in a thread of their own for every request, one at a time.
    """

    def __init__(self) -> None:
        self.posted: list[tuple[str, Request]] = []  # (path, body) of every request, in order
        self.failures: list[BaseException] = []
        self._one_at_a_time = threading.Lock()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                with model._one_at_a_time:
                    model.posted.append((self.path, body))
                    try:
                        model._answer(self, self.path.partition("?")[0], body)
                    except (BrokenPipeError, ConnectionResetError):
                        self.close_connection = True  # the agent was interrupted, which some tests are about
                    except BaseException as failure:
                        model.failures.append(failure)
                        raise

            def do_GET(self) -> None:
                send_json(self, {}, 404)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                """Quiet: the agent's own output is what a failing test shows."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stream(self, path: str, request: Request) -> Events:
        raise NotImplementedError

    def whole(self, path: str, request: Request) -> Mapping[str, Any]:
        raise NotImplementedError

    def _answer(self, handler: BaseHTTPRequestHandler, path: str, request: Request) -> None:
        if not request.get("stream"):
            send_json(handler, self.whole(path, request))
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for name, data in self.stream(path, request):
            handler.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            handler.wfile.flush()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def send_json(handler: BaseHTTPRequestHandler, value: Mapping[str, Any], status: int = 200) -> None:
    data = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)


class Step(NamedTuple):
    """One reply of the model: it calls ``tool`` with ``arguments``, or says ``text`` and ends its turn.

    ``before`` runs between the agent's request and the answer: the agent is alive and waits.
    """

    tool: str = ""
    arguments: Mapping[str, Any] = {}
    text: str = ""
    before: Callable[[], None] | None = None


def use(tool: str, /, before: Callable[[], None] | None = None, **arguments: Any) -> Step:
    return Step(tool, arguments, before=before)


def say(text: str, before: Callable[[], None] | None = None) -> Step:
    return Step(text=text, before=before)


class Messages(ModelServer):
    """The Messages API. Only requests that offer tools take a step of the script (the last one is repeated): agents
    also ask for titles and summaries, which are answered with a word."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []  # those that took a step
        super().__init__()

    def seen(self, number: int) -> str:
        """What the model was sent in reply to step ``number``: the text of that tool's result."""
        wanted = f"toolu_{number:04d}"
        for message in self.requests[number + 1]["messages"]:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block.get("type") == "tool_result" and block.get("tool_use_id") == wanted:
                    return _text(block.get("content"))
        raise AssertionError(f"no result of step {number}: {json.dumps(self.requests[number + 1]['messages'])[-2000:]}")

    def _next(self, request: Request) -> tuple[int, Step]:
        if not request.get("tools"):
            return 0, Step(text="scripted")
        number = len(self.requests)
        self.requests.append(request)
        step = self.steps[min(number, len(self.steps) - 1)]
        if step.before is not None:
            try:
                step.before()
            except BaseException as failure:
                self.failures.append(failure)
        return number, step

    def whole(self, path: str, request: Request) -> Mapping[str, Any]:
        if path.endswith("/count_tokens"):
            return {"input_tokens": 1}
        number, step = self._next(request)
        return _message(request, number) | {"content": [_block(number, step)], "stop_reason": _reason(step)}

    def stream(self, path: str, request: Request) -> Events:
        number, step = self._next(request)
        yield "message_start", {"type": "message_start", "message": _message(request, number)}
        start, block = _block(number, step), {"index": 0}
        if step.tool:
            text = json.dumps(step.arguments)
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in _halves(text)]
            start = start | {"input": {}}
        else:
            deltas = [{"type": "text_delta", "text": part} for part in _halves(step.text)]
            start = start | {"text": ""}
        yield "content_block_start", block | {"type": "content_block_start", "content_block": start}
        for delta in deltas:
            yield "content_block_delta", block | {"type": "content_block_delta", "delta": delta}
        yield "content_block_stop", block | {"type": "content_block_stop"}
        ended = {"stop_reason": _reason(step), "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}
        yield "message_stop", {"type": "message_stop"}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _reason(step: Step) -> str:
    return "tool_use" if step.tool else "end_turn"


def _block(number: int, step: Step) -> dict[str, Any]:
    if step.tool:
        return {"type": "tool_use", "id": f"toolu_{number:04d}", "name": step.tool, "input": dict(step.arguments)}
    return {"type": "text", "text": step.text}


def _message(request: Request, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:04d}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "scripted"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(block.get("text", "")) for block in content)
    return str(content)
