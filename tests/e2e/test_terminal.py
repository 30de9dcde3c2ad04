"""The terminal is the command's: it is one, Ctrl-C and job control work, and the shell gets it back."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.panes import Pane, ended, family

if TYPE_CHECKING:
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


# -- real terminals -------------------------------------------------------------------------------------------------

tmux = pytest.mark.needs("tmux")
BASH = ("bash", "--norc", "--noprofile", "-i")
PROMPT = {"PS1": "prompt> ", "HISTFILE": os.devnull}
IN_PANE = {"TERM": "xterm-256color"}


@pytest.fixture
def pane(govrun: Govrun) -> Iterator[Callable[..., Pane]]:
    """A command in a pane: under govrun, or (``shell``) typed into an interactive shell that nobody governs."""
    opened: list[Pane] = []
    folder = Path(tempfile.mkdtemp(prefix="t"))

    def run(*command: str, shell: bool = False) -> Pane:
        words = [os.fsdecode(word) for word in govrun.argv("--", *command)]
        opened.append(Pane(folder, BASH if shell else words, govrun.env | PROMPT | IN_PANE, govrun.cwd))
        if shell:
            opened[-1].wait("prompt>")
            opened[-1].type(shlex.join(words))
        return opened[-1]

    yield run
    for each in opened:
        each.close()
    shutil.rmtree(folder)


def gone(processes: list[psutil.Process], seconds: float = 30) -> None:
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    assert not left, [each.cmdline() for each in left]


@tmux
def test_an_interactive_shell_in_a_pane(pane: Callable[..., Pane], govrun: Govrun) -> None:
    """Jobs, Ctrl-C and Ctrl-Z reach what is in the foreground, and neither the shell nor govrun."""
    run = pane(*BASH)
    run.wait("prompt>")
    run.type("sleep 98 &")
    run.type("jobs; fg")
    run.wait("Running")
    run.wait_for_command("sleep")
    run.press("C-z")
    run.wait("Stopped")
    run.type("bg; jobs; kill %1; wait; echo all-$(jobs -r | wc -l)")
    run.wait("all-0")
    run.type("sleep 97")
    run.wait_for_command("sleep")
    run.press("C-c")
    run.wait("^C")
    run.type("echo again-$?")
    run.wait("again-130")
    run.type("trap 'echo size-$(stty size)' WINCH; stty size")
    run.wait("30 100")
    run.resize(70, 20)
    run.type("stty size; echo cols-$COLUMNS")
    run.wait(lambda screen: "20 70" in screen and "cols-70" in screen and "size-20 70" in screen)
    run.type("exit 7")
    assert ended(govrun.state)["code"] == 7


DRAWS = """
import curses, os
def main(screen):
    screen.timeout(50)
    last = ""
    while True:
        key = screen.getch()
        rows, columns = os.get_terminal_size()[::-1]
        text = f"drawn at {columns}x{rows}"
        if text != last:
            screen.clear()
            curses.resizeterm(rows, columns)
            for row in range(rows - 1):
                screen.addstr(row, 0, f"{row:03} {text}")
            screen.refresh()
            last = text
        if key == ord("w"):
            try:
                open(os.environ["HOME"] + "/outside", "w")
            except OSError as error:
                screen.addstr(0, 40, f"refused-{error.errno}")
                screen.refresh()
        if key == ord("q"):
            return
curses.wrapper(main)
"""


def is_drawn(screen: str, size: str) -> bool:
    lines = screen.splitlines()
    rows = int(size.partition("x")[2]) - 1
    return [line[: 13 + len(size)] for line in lines[:rows]] == [f"{row:03} drawn at {size}" for row in range(rows)]


@tmux
def test_a_screen_that_is_drawn_is_left_alone(pane: Callable[..., Pane], govrun: Govrun) -> None:
    """What it was refused is said when it no longer draws."""
    run = pane("python3", "-c", DRAWS)
    run.wait(lambda screen: is_drawn(screen, "100x30"))
    run.resize(60, 20)
    run.wait(lambda screen: is_drawn(screen, "60x20"))
    run.press("w")
    screen = run.wait("refused-13")
    time.sleep(0.5)
    assert is_drawn(run.screen(), "60x20"), screen
    assert "govrun" not in run.screen()
    run.press("q")
    assert ended(govrun.state)["code"] == 0
    run.wait("PASSED")
    said = run.lines()
    assert "denied by scope.write" in said and "outside is outside the write scope" in said, said


@tmux
@pytest.mark.needs("less", "vi")
@pytest.mark.parametrize("program", ["less", "vi"])
def test_full_screen_programs(pane: Callable[..., Pane], program: str) -> None:
    run = pane(program, "src/app.py", shell=True)
    run.wait(lambda screen: "def answer()" in screen and "prompt>" not in screen)
    run.resize(50, 12)
    run.wait(lambda screen: len(screen.splitlines()) == 12 and "def answer()" in screen)
    run.type("" if program == "less" else ":set number")
    if program == "vi":
        run.wait("1 def answer()")
        run.type("o")
        run.type("    # seen")
        run.press("Escape")
    run.type("q" if program == "less" else ":wq")
    run.wait("PASSED")
    run.type("clear; stty -a | grep -wo -e icanon -e echo; echo ty''ped")
    run.wait(lambda screen: [line for line in screen.splitlines() if line in ("icanon", "echo")] == ["icanon", "echo"])


@tmux
@pytest.mark.parametrize("killed", ["agent", "supervisor"])
def test_a_terminal_is_usable_again_after_a_kill(pane: Callable[..., Pane], govrun: Govrun, killed: str) -> None:
    """Whoever is killed cannot put back what it set; a shell that nobody governs looks."""
    shell = pane("true", shell=True)
    shell.wait("PASSED")
    shell.type("stty -g > before")
    script = "stty raw -echo; printf 'dra%s' ws; exec sleep 96"
    shell.type(
        shlex.join([os.fsdecode(word) for word in govrun.argv("--", "sh", "-c", script)])
        + "; echo code-$?; stty -g > after"
    )
    shell.wait("draws")
    guard = next(each for each in family(shell.process())[1:] if "sleep 96" in " ".join(each.cmdline()))
    processes = family(guard.pid)
    wanted = "sleep" if killed == "agent" else "python"
    victim = next(each for each in processes[1:] if each.name().startswith(wanted))
    victim.kill()
    shell.wait("code-137" if killed == "agent" else "code-121")
    gone(processes)
    before, after = (govrun.cwd / "before", govrun.cwd / "after")
    end = time.monotonic() + 30
    while not after.exists() or not after.read_text():
        assert time.monotonic() < end, shell.screen()
    assert after.read_text() == before.read_text()
    shell.type("echo ty''ped")
    shell.wait("typed")


@tmux
def test_the_whole_run_is_suspended_and_goes_on(pane: Callable[..., Pane]) -> None:
    script = "import time\nprint('up', flush=True)\nwhile True: print('got', input(), flush=True)"
    shell = pane("python3", "-c", script, shell=True)
    shell.wait(lambda screen: "\nup\n" in screen)
    shell.press("C-z")
    shell.wait("Stopped")
    shell.type("echo sh''ell; jobs | wc -l")
    shell.wait("shell")
    shell.type("fg")
    time.sleep(0.5)
    shell.type("ada")
    shell.wait("got ada")
    shell.press("C-c")
    shell.wait(lambda screen: "KeyboardInterrupt" in screen and "exit 130" in screen.replace("SIGINT", "exit 130"))
    shell.type("echo ag''ain")
    shell.wait("again")


@tmux
@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize(
    ("script", "exit_"),
    [
        ("echo up; sleep 95", -1),
        ("setsid sleep 95 & echo up; sleep 95", -1),
        ("trap '' HUP; echo up; while :; do sleep 95; done", -9),
        ("echo up; kill -STOP $$; sleep 95", -1),
    ],
)
def test_a_terminal_that_is_closed_ends_its_run(
    pane: Callable[..., Pane], govrun: Govrun, script: str, exit_: int, shell: bool
) -> None:
    run = pane("bash", "-c", script, shell=shell)
    run.wait(lambda screen: "\nup\n" in screen)
    if "STOP" in script and shell:
        run.wait("Stopped")
    below = family(run.process())
    run.do("kill-pane")
    gone(below)
    end = ended(govrun.state)
    assert (end["reason"], end["exit"], end["code"]) == ("signal", exit_, 128 - exit_), end


@tmux
def test_whoever_wants_a_run_to_outlive_its_terminal_says_so(pane: Callable[..., Pane], govrun: Govrun) -> None:
    shell = pane("true", shell=True)
    words = shlex.join(
        [os.fsdecode(word) for word in govrun.argv("--", "sh", "-c", "echo up > up; sleep 3; echo done > done")]
    )
    shell.type(f"nohup {words}")
    end = time.monotonic() + 30
    while not (govrun.cwd / "up").exists():
        assert time.monotonic() < end, shell.screen()
        time.sleep(0.05)
    shell.do("kill-pane")
    assert ended(govrun.state)["exit"] == 0
    assert (govrun.cwd / "done").exists()
