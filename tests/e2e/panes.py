"""Programs in real terminals: tmux with a server of its own, which whoever opens it also ends."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil


class Pane:
    """A command on a terminal of tmux. ``folder`` is short: it holds the server's socket (108 bytes)."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        columns: int = 100,
        rows: int = 30,
    ) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        self._env = dict(env) | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        size = ["-x", str(columns), "-y", str(rows)]
        # Several words are executed as they are: a shell in between would take PS1 away. The pane stays when its
        # command has ended, so that the last screen can be read.
        self.do("new-session", "-d", *size, "-c", str(cwd), *command, ";", "set-option", "-w", "remain-on-exit", "on")

    def do(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], env=self._env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def screen(self) -> str:
        return self.do("capture-pane", "-p")

    def lines(self) -> str:
        """The screen as one line: what was too long for it is whole again."""
        return self.do("capture-pane", "-p", "-J").replace("\n", " ")

    def process(self) -> int:
        return int(self.do("display-message", "-p", "#{pane_pid}"))

    def type(self, text: str = "") -> None:
        """Text as if typed, then the enter key."""
        if text:
            self.do("send-keys", "-l", text)
        self.do("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self.do("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self.do("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, wanted: str | Callable[[str], bool], seconds: float = 30) -> str:
        """The screen once it shows ``wanted``; AssertionError with what it shows instead."""
        shows = (lambda screen: wanted in screen) if isinstance(wanted, str) else wanted
        end = time.monotonic() + seconds
        while not shows(screen := self.screen()):
            assert time.monotonic() < end, screen
            time.sleep(0.05)
        return screen

    def wait_for_command(self, name: str, seconds: float = 30) -> None:
        """Until a program of this name has the terminal: only then do keys that send signals reach it."""
        end = time.monotonic() + seconds
        while (found := self.do("display-message", "-p", "#{pane_current_command}").strip()) != name:
            assert time.monotonic() < end, found
            time.sleep(0.05)

    def close(self) -> None:
        """End the server: its terminals are closed, as when a window is."""
        subprocess.run([*self._tmux, "kill-server"], env=self._env, capture_output=True, timeout=30)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it, now."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def ended(state: Path, seconds: float = 30) -> dict[str, object]:
    """How the newest run of a state folder ended, once it has: `reason`, `exit`, `code`, as its record says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runs = sorted((state / "runs").glob("*/meta.json"))
        found = json.loads(runs[-1].read_text()).get("end") if runs else None
        if found:
            return dict(found)
        time.sleep(0.05)
    raise AssertionError("the run has not ended")
