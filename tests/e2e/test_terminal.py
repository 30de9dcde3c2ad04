"""The terminal is the command's: it is one, Ctrl-C and job control work, and the shell gets it back."""

from __future__ import annotations

import os
import pty
import select
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Govrun


class Terminal:
    """A process on a pseudo-terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(argv[0], argv, env)
        self.seen = b""
        self.status: int | None = None

    def expect(self, wanted: bytes, seconds: float = 30) -> bytes:
        """Read until `wanted` shows up; AssertionError with what came instead."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            left = end - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
        assert wanted in self.seen, self.seen
        return self.seen

    def send(self, data: bytes) -> None:
        self.seen = b""
        os.write(self.master, data)

    def wait(self, seconds: float = 30) -> int:
        """Exit code as a shell would say it."""
        end = time.monotonic() + seconds
        while self.status is None:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)


Opener = Callable[..., Terminal]


@pytest.fixture
def terminal(govrun: Govrun) -> Iterator[Opener]:
    opened: list[Terminal] = []

    def run(*command: str) -> Terminal:
        words = [os.fsdecode(word) for word in govrun.argv(*command)]
        opened.append(Terminal(words, govrun.env | {"TERM": "xterm"}, str(govrun.cwd)))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


def test_it_is_a_terminal(terminal: Opener) -> None:
    run = terminal("--", "bash", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size && tty")
    assert run.wait() == 0, run.seen
    assert b"/dev/pts/" in run.seen


def test_control_c(terminal: Opener) -> None:
    run = terminal("--", "bash", "-c", "echo ready; sleep 100")
    run.expect(b"ready")
    run.send(b"\x03")
    assert run.wait() == 130


def test_control_c_handled_by_the_command(terminal: Opener) -> None:
    run = terminal("--", "bash", "-c", "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done")
    run.expect(b"ready")
    run.send(b"\x03")
    run.expect(b"caught")
    assert run.wait() == 7


def test_interactive_shell_with_job_control(terminal: Opener) -> None:
    run = terminal("--", "env", "PS1=prompt> ", "bash", "--norc", "--noprofile", "-i")
    run.expect(b"prompt> ")
    run.send(b"sleep 100\n")
    time.sleep(0.5)
    run.send(b"\x1a")
    run.expect(b"Stopped")
    run.send(b"bg; jobs; kill %1; echo st''ill $(jobs -p | wc -l)\n")
    run.expect(b"still")
    run.send(b"exit 9\n")
    assert run.wait() == 9


def test_tty_device(terminal: Opener) -> None:
    """/dev/tty is the command's terminal: programs ask for passwords there."""
    run = terminal("--", "bash", "-c", "read -p 'name? ' n < /dev/tty; echo got-$n > /dev/tty")
    run.expect(b"name? ")
    run.send(b"ada\n")
    run.expect(b"got-ada")
    assert run.wait() == 0


def test_reason_is_kept_off_a_drawn_screen(terminal: Opener) -> None:
    """A refusal inside a pipe-captured command is told there; the screen shows it at most once."""
    run = terminal("--", "bash", "-c", "for i in 1 2 3; do echo x > $HOME/outside; done; sleep 0.2")
    run.wait()
    assert run.seen.count(b"scope.write") <= 2, run.seen


def test_a_stopped_run_that_reaches_its_time_out(govrun: Govrun, repo: Path) -> None:
    """The guard, stopped with its agent, ends too, and leaves the terminal with the shell that has it by then."""
    (repo / "govrun.toml").write_text('version = 1\n[scope]\ntimeout = "3s"\n')
    words = " ".join(shlex.quote(os.fsdecode(word)) for word in govrun.argv("--", "sh", "-c", "kill -STOP $$; echo no"))
    shell = Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], govrun.env | {"PS1": "prompt> "}, str(govrun.cwd))
    try:
        shell.expect(b"prompt> ")
        shell.send(words.encode() + b"\n")
        shell.expect(b"Stopped")
        shell.send(b"sleep 5; jobs; echo al''ive\n")
        seen = shell.expect(b"alive")
        assert b"Exit 124" in seen, seen
        shell.send(b"read -p 'mi''ne? ' word < /dev/tty; echo got-$word\n")
        shell.expect(b"mine? ")
        shell.send(b"ada\n")
        shell.expect(b"got-ada")
    finally:
        shell.close()


def test_a_stopped_run_in_the_foreground_again(govrun: Govrun) -> None:
    words = " ".join(
        shlex.quote(os.fsdecode(word))
        for word in govrun.argv("--", "sh", "-c", "kill -STOP $$; read word < /dev/tty; echo got-$word")
    )
    shell = Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], govrun.env | {"PS1": "prompt> "}, str(govrun.cwd))
    try:
        shell.expect(b"prompt> ")
        shell.send(words.encode() + b"\n")
        shell.expect(b"Stopped")
        shell.send(b"fg\n")
        time.sleep(1)
        shell.send(b"ada\n")
        shell.expect(b"got-ada")
        shell.expect(b"prompt> ")
    finally:
        shell.close()
