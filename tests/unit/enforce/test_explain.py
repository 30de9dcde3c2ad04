"""Reasons: one line, harmless to a terminal, where the process reads them, and never a wait."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.enforce.explain import Explainer, noted, reason, safe, with_more
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Match, Verdict

RULE = Invariant("scope.write", "scope", "deny", "too wide", "the tree", "0007", source="govrun.toml:3")


def verdict(message: str = "x is outside", effect: Effect = Effect.DENY, rule: Invariant = RULE) -> Verdict:
    return Verdict(effect, (Match(rule, effect, message),))


# ---------------------------------------------------------------------------------------------------- the text


def test_the_line_names_what_why_which_decision_and_what_instead() -> None:
    assert reason(verdict().matches[0], Effect.DENY) == (
        "govrun: denied by scope.write (govrun.toml:3): x is outside · why: too wide · decision: ADR 0007"
        " · instead: the tree"
    )


def test_what_is_missing_is_left_out() -> None:
    bare = Invariant("govrun.path", "builtin", "deny", source="govrun")
    assert reason(Match(bare, Effect.WARN, "m"), Effect.WARN) == "govrun: warning by govrun.path: m"


@pytest.mark.parametrize("why", ["w", "x", "is", "x is out"])
def test_a_why_that_happens_to_stand_in_the_message_is_told(why: str) -> None:
    rule = RULE._replace(why=why)
    assert f" · why: {why} · " in reason(Match(rule, Effect.DENY, "x is outside"), Effect.DENY)


@pytest.mark.parametrize("message", ["too wide", "x: too wide"])
def test_a_why_that_was_just_said_is_not_repeated(message: str) -> None:
    assert "why:" not in reason(Match(RULE, Effect.DENY, message), Effect.DENY)


HTTP = Invariant("one-http", "dependency", "revert", "w", "httpx", source="govrun.toml:2")


@pytest.mark.parametrize(
    ("diverges", "how"), [(False, "was changed by somebody else"), (True, "is not as the run left it")]
)
def test_what_others_changed_reads_as_a_sentence(diverges: bool, how: str) -> None:
    match = Match(HTTP, Effect.REVERT, "src/a b.py imports requests (pypi:requests) at line 1")
    assert noted(match, b"/t/src/a b.py", diverges=diverges) == (
        f"govrun: one-http (govrun.toml:2): src/a b.py {how} and now imports requests (pypi:requests) at line 1"
        " (left alone) · why: w · instead: httpx"
    )
    other = noted(match._replace(message="pip names requests"), b"/t/x", diverges=diverges)
    assert f": pip names requests; it {how} (left alone) · " in other


@pytest.mark.parametrize("effect", [effect for effect in Effect if effect is not Effect.ALLOW])
def test_every_effect_that_speaks_has_a_word(effect: Effect) -> None:
    assert reason(verdict().matches[0], effect).startswith("govrun: ")


ESCAPED = [
    ("plain äöü 漢字", "plain äöü 漢字"),
    ("a\nb", r"a\nb"),
    ("\x1b[31mred", r"\x1b[31mred"),
    ("\x9b31m", r"\x9b31m"),
    ("a\rb\tc\0d\x7f", r"a\rb\tc\x00d\x7f"),
    ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
    ("\u2066x\u2069\u200f\u061c", r"\u2066x\u2069\u200f\u061c"),
    ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
    ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
    ("\udcff", r"\udcff"),
    ("\U000e0041", r"\U000e0041"),
]


@pytest.mark.parametrize(("text", "shown"), ESCAPED)
def test_escapes(text: str, shown: str) -> None:
    assert safe(text) == shown


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(st.characters(codec=None), max_size=30))
def test_nothing_shown_can_move_a_cursor_or_turn_a_line(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    shown.encode()
    if text.isprintable():
        assert shown == text


def test_a_rule_cannot_smuggle_a_second_line() -> None:
    rule = RULE._replace(why="a\nb\x1b[2J", use="\u202e")
    assert reason(Match(rule, Effect.DENY, "c\nd"), Effect.DENY).isprintable()


# ------------------------------------------------------------------------------------------------- where it goes


@contextmanager
def process(stderr: int) -> Iterator[int]:
    """A process that holds ``stderr`` as its standard error and does nothing."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=stderr)
    try:
        yield child.pid
    finally:
        assert child.stdin is not None
        child.kill()  # before its input ends: what it would say of that is told on its standard error
        child.wait()
        child.stdin.close()


def explainer(writable: bool = False) -> Explainer:
    return Explainer(lambda path: writable)


LINE = reason(verdict().matches[0], Effect.DENY) + "\n"


def drain(fd: int) -> bytes:
    os.set_blocking(fd, False)
    data = b""
    with suppress(BlockingIOError, OSError):
        while chunk := os.read(fd, 65536):
            data += chunk
    return data


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        with suppress(OSError):
            os.close(fd)


def test_a_pipe_gets_the_line_once_per_violation(pipe: tuple[int, int]) -> None:
    told = explainer()
    with process(pipe[1]) as pid:
        assert told.tell(pid, pid, verdict())
        assert told.tell(pid, pid, verdict())
        assert told.tell(pid, pid, verdict("something else"))
        assert drain(pipe[0]).decode() == LINE + LINE.replace("x is outside", "something else")
        told.flush_to(pid)
        assert drain(pipe[0]) == b""


def test_another_process_is_told_again(pipe: tuple[int, int]) -> None:
    told = explainer()
    with process(pipe[1]) as one, process(pipe[1]) as two:
        assert told.tell(one, one, verdict())
        assert told.tell(two, two, verdict())
        assert drain(pipe[0]).decode() == LINE * 2


OUTSIDE = [
    "{} is outside the write scope",
    "{} was there before this run",
    "{}: its folder {folder} was there before this run",
    "{} is hidden from this run",
    "{} is protected (/a/b/**)",
]


@pytest.mark.parametrize("message", OUTSIDE)
def test_names_of_a_folder_are_one_violation(pipe: tuple[int, int], message: str) -> None:
    def told(name: str) -> str:
        return message.format(name, folder=name.rpartition("/")[0])

    teller = explainer()
    with process(pipe[1]) as pid:
        for name in ("/a/b/x.pyc.1", "/a/b/x.pyc.2", "/a/b/y z.pyc", "/a/c/x.pyc.1", "/a/b.pyc", "/a/b c/x"):
            assert teller.tell(pid, pid, verdict(told(name)))
        again = RULE._replace(id="another")
        assert teller.tell(pid, pid, verdict(told("/a/b/x.pyc.1"), rule=again))
    shown = drain(pipe[0]).decode().splitlines()
    names = [
        line.partition("): ")[2].partition(" is ")[0].partition(" was ")[0].partition(": its ")[0] for line in shown
    ]
    assert names == ["/a/b/x.pyc.1", "/a/c/x.pyc.1", "/a/b.pyc", "/a/b c/x", "/a/b/x.pyc.1"]


def test_many_processes_are_told_of_a_folder_a_few_times_and_again_after_a_pause(pipe: tuple[int, int]) -> None:
    now = [0.0]
    told = Explainer(lambda path: False, lambda: now[0])
    with process(pipe[1]) as pid:
        for number in range(40):
            assert told.tell(pid, 1000 + number, verdict(f"/a/{number} is outside the write scope"))
            now[0] += 1
        assert drain(pipe[0]).count(b"\n") == 5
        told.tell(pid, 2000, verdict("/b/x is outside the write scope"))
        for number in range(40):
            told.tell(pid, 2000 + number, verdict(f"pip names package{number}"))
        assert drain(pipe[0]).count(b"\n") == 41
        now[0] += 61
        told.tell(pid, 3000, verdict("/a/x is outside the write scope"))
        assert drain(pipe[0]).count(b"\n") == 1


def test_what_the_caller_has_to_say_is_not_told_again_where_it_said_it(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = explainer()
    with process(pipe[1]) as pid, open(os.devnull, "rb") as nowhere, process(nowhere.fileno()) as reading:
        monkeypatch.setattr(
            "supervisor.enforce.explain._own", lambda: (os.fstat(pipe[1]).st_dev, os.fstat(pipe[1]).st_ino)
        )
        assert not told.tell_later("line", "- a\n+ b", 0)
        assert not told.tell(reading, reading, verdict())
        told.flush_to(pid)
        assert drain(pipe[0]) == b""
        assert not told._queue
        monkeypatch.undo()
        assert not told.tell_later("line", "- a\n+ b", 0)
        told.flush_to(pid)
        assert drain(pipe[0]).decode() == with_more("line", "- a\n+ b") + "\n" == "line\n  - a\n  + b\n"


def test_the_pipes_own_flags_stay(pipe: tuple[int, int]) -> None:
    with process(pipe[1]) as pid:
        before = fcntl.fcntl(pipe[1], fcntl.F_GETFL)
        explainer().tell(pid, pid, verdict())
        assert fcntl.fcntl(pipe[1], fcntl.F_GETFL) == before
        assert not before & os.O_NONBLOCK


@pytest.mark.timeout(30)  # a write that waits would wait for ever
def test_a_full_pipe_is_not_waited_for_and_the_line_comes_later(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"x" * 65536):
            pass
    with suppress(BlockingIOError):
        while os.write(write, b"x"):
            pass
    os.set_blocking(write, True)
    told = explainer()
    with process(write) as pid:
        assert not told.tell(pid, pid, verdict())
        told.flush_to(pid)
        drain(read)
        told.flush_to(pid)
        assert drain(read).decode() == LINE
        told.flush_to(pid)
        assert drain(read) == b""


def test_what_an_agent_is_refused_is_told_with_its_next_command_too(pipe: tuple[int, int]) -> None:
    told, later = explainer(), os.pipe()
    os.set_blocking(later[0], False)
    try:
        with process(pipe[1]) as agent, process(later[1]) as command, open(os.devnull, "wb") as nowhere:
            assert told.tell(agent, agent, verdict(), again=True)
            assert drain(pipe[0]).decode() == LINE
            told.flush_to(agent)  # it was told there
            assert drain(pipe[0]) == b""
            assert told.tell(agent, agent, verdict("y is outside"), again=True)
            with process(nowhere.fileno()) as silent:
                told.flush_to(silent)  # thrown away there: the next one is told
            told.flush_to(command)
            heard = drain(later[0]).decode()
    finally:
        os.close(later[0])
        os.close(later[1])
    assert "govrun: earlier: denied by scope.write (govrun.toml:3): y is outside" in heard


def test_what_an_agent_is_refused_is_told_to_three_commands(pipe: tuple[int, int]) -> None:
    """Each has a standard error of its own, and hears it once."""
    told = explainer()
    with process(pipe[1]) as agent:
        assert told.tell(agent, agent, verdict(), again=True)
        for turn in range(4):
            read, write = os.pipe()
            os.set_blocking(read, False)
            with process(write) as command:
                told.flush_to(command)
                told.flush_to(command)
            heard = drain(read).decode()
            assert heard.count("govrun: earlier: denied") == (1 if turn < 3 else 0), turn
            os.close(read)
            os.close(write)


def test_a_long_queue_is_never_told_twice(pipe: tuple[int, int]) -> None:
    """More than a pipe takes at once: what was written is not written again."""
    read, write = pipe
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    told = explainer()
    with open(os.devnull, "rb") as nowhere, process(nowhere.fileno()) as lost:
        messages = [f"<{at:03}>" + "m" * 200 for at in range(60)]
        for message in messages:
            told._write = lambda tid, text: False  # type: ignore[method-assign]
            told.tell(lost, lost, verdict(message))
        del told._write  # type: ignore[method-assign]
    with process(write) as pid:
        got = b""
        for _ in range(100):
            told.flush_to(pid)
            chunk = drain(read)
            got += chunk
            if not chunk:
                break
    for message in messages:
        assert got.decode().count(message[:5]) <= 1, message[:5]
    assert got.endswith(b"\n")


@pytest.mark.timeout(30)
def test_a_socket_gets_the_line_and_a_full_one_is_not_waited_for() -> None:
    here, there = socket.socketpair()
    with here, there, process(there.fileno()) as pid:
        assert explainer().tell(pid, pid, verdict())
        assert here.recv(65536).decode() == LINE
        there.setblocking(False)
        with suppress(BlockingIOError):
            while there.send(b"x" * 4096):
                pass
        with suppress(BlockingIOError):
            while there.send(b"x"):
                pass
        there.setblocking(True)
        assert not explainer().tell(pid, pid, verdict())


def test_a_closed_socket_kills_nobody() -> None:
    here, there = socket.socketpair()
    here.close()
    with there, process(there.fileno()) as pid:
        assert not explainer().tell(pid, pid, verdict())


def test_a_file_that_nothing_judges_is_written_at_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w+b") as file:
        file.write(b"before\n")
        file.flush()
        with process(file.fileno()) as pid:
            assert explainer(writable=True).tell(pid, pid, verdict())
        file.write(b"after\n")
    assert path.read_text() == "before\n" + LINE + "after\n"


def test_a_governed_file_is_not_written(tmp_path: Path) -> None:
    asked: list[bytes] = []
    told = Explainer(lambda path: bool(asked.append(path)))
    path = tmp_path / "governed"
    with path.open("wb") as file, process(file.fileno()) as pid:
        assert not told.tell(pid, pid, verdict())
    assert (path.read_bytes(), asked) == (b"", [os.fsencode(path)])


def test_dev_null_means_do_not_tell_me() -> None:
    told = explainer()
    with open(os.devnull, "wb") as nowhere, process(nowhere.fileno()) as pid:
        assert told.tell(pid, pid, verdict())
    assert not told._queue


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    told = explainer()
    assert not told.tell(child.pid, child.pid, verdict())
    assert [each.text for each in told._queue] == [LINE]


@pytest.mark.parametrize("raw", [False, True])
def test_a_terminal_is_written_to_unless_a_program_draws_on_it(raw: bool) -> None:
    main, side = pty.openpty()
    try:
        if raw:
            tty.setraw(side)
        modes = termios.tcgetattr(side)
        told = explainer()
        with process(side) as pid:
            assert told.tell(pid, pid, verdict()) is not raw
        shown = drain(main).decode().replace("\r\n", "\n")
        assert shown == ("" if raw else LINE)
        assert bool(told._queue) is raw
        assert termios.tcgetattr(side) == modes
    finally:
        os.close(main)
        os.close(side)


def test_the_queue_is_bounded() -> None:
    told = explainer()
    for at in range(1000):
        told.tell(0x7FFFFFF0, 0x7FFFFFF0, verdict(f"m{at}"))
    assert len(told._queue) == 64


def test_no_descriptor_is_left_open(tmp_path: Path, pipe: tuple[int, int]) -> None:
    here, there = socket.socketpair()
    main, side = pty.openpty()
    told = explainer(writable=True)
    with (tmp_path / "f").open("wb") as file, here, there:
        before = len(os.listdir("/proc/self/fd"))
        for fd in (pipe[1], there.fileno(), side, file.fileno()):
            with process(fd) as pid:
                told.tell(pid, pid, verdict())
        assert len(os.listdir("/proc/self/fd")) == before
    os.close(main)
    os.close(side)
