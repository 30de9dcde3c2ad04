"""Runs a program of this directory bare or under the socket harness, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
NOBODY = 65534


class Report(NamedTuple):
    """What the harness prints; ``events`` are the judged events with ``blocks`` and ``message``."""

    events: list[dict[str, Any]]
    exit: int
    leaked: int
    output: str

    @property
    def denied(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["blocks"]]


def _run(words: list[str], cwd: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bare(program: list[str], *, cwd: Path) -> str:
    """Standard output of a program of this directory."""
    return _run([sys.executable, str(HERE / program[0]), *program[1:]], cwd)


def mediated(program: list[str], *, cwd: Path, mode: str = "behalf", hosts: list[str] | None = None) -> Report:
    """The same program, its socket calls judged and performed by a supervisor."""
    inner = [sys.executable, str(HERE / program[0]), *program[1:]]
    words = [sys.executable, str(HERE / "network_harness.py"), mode, json.dumps(hosts), *inner]
    return Report(**json.loads(_run(words, cwd)))
