"""A served run in a state folder."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.journal import store

SERVE = Path(__file__).with_name("serve.py")
ROOT = SERVE.parents[3]


class Served:
    """One run that is served; ``lines`` are what it has said."""

    def __init__(self, state: Path, timeout: float, **meta: object) -> None:
        self.run, self.folder = store.new_run(state)
        known = {"run": self.run, "agent": "claude", "argv": ["claude"], "tree": "/w/app", "pid": os.getpid()}
        store.write_meta(self.folder, known | meta)
        self.process = subprocess.Popen(
            [sys.executable, str(SERVE), str(self.folder), str(timeout)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}, bufsize=0,
        )  # fmt: skip
        self.buffer = b""
        assert self.line() == ["ready"]

    def line(self) -> list[str]:
        """The next line it says. Fails when it says none."""
        assert self.process.stdout is not None
        while b"\n" not in self.buffer:
            assert select.select([self.process.stdout], [], [], 20)[0], "it says nothing"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "it ended"
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode().split(" ", 2)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def hold(self, *words: str) -> str:
        self.tell("hold " + " ".join(words))
        word, number = self.line()
        assert word == "id"
        return number

    def end(self) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return store.state_dir({"XDG_STATE_HOME": str(tmp_path / "state")})


@pytest.fixture
def serve(state: Path) -> Iterator[Callable[..., Served]]:
    """Serve a run; called again, another one."""
    started: list[Served] = []

    def start(timeout: float = 60.0, **meta: object) -> Served:
        started.append(Served(state, timeout, **meta))
        return started[-1]

    yield start
    for each in started:
        if each.process.stdin is not None and not each.process.stdin.closed:
            each.end()
