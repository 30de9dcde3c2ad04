"""`ps`, `approve`, `deny`, `pause`, `resume` and `stop`, through typer, on runs that are served for real."""

from __future__ import annotations

import importlib.util
import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from supervisor.cli import approve, pause, ps
from supervisor.journal import store
from supervisor.journal.writer import Journal
from supervisor.kernel import probe
from supervisor.vocabulary.errors import UsageError

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def kit() -> ModuleType:
    """The fixtures of the operator's own tests."""
    path = Path(__file__).parents[1] / "operator" / "conftest.py"
    spec = importlib.util.spec_from_file_location("operator_kit", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Operator:
    """Call it with the words of a command: (exit code, lines of output or of the error)."""

    def __init__(self, place: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(place)}
        self.state = store.state_dir(self.env)
        self.app = typer.Typer()
        for module in (ps, approve, pause):
            module.register(self.app)

    def __call__(self, *words: str) -> tuple[int, list[str]]:
        done = CliRunner().invoke(self.app, words, env=self.env)
        if isinstance(done.exception, UsageError):
            return done.exception.exit_code, done.exception.lines()
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return done.exit_code, done.stdout.splitlines()


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path / "tree")
    return Operator(tmp_path / "state")


@pytest.fixture
def serve(operator: Operator) -> Iterator[Callable[..., Any]]:
    served = kit().Served
    started: list[Any] = []

    def start(timeout: float = 60.0, **meta: object) -> Any:
        started.append(served(operator.state, timeout, **meta))
        return started[-1]

    yield start
    for each in started:
        if not each.process.stdin.closed:
            each.end()


def silent(operator: Operator, **meta: object) -> Journal:
    """A run whose journal is held open, and that has no control socket."""
    run, folder = store.new_run(operator.state)
    store.write_meta(folder, {"run": run, "agent": "a", "argv": ["a"], "tree": "/w/x"} | meta)
    return Journal(folder, run)


def same_id(first: Any, second: Any) -> str:
    """An id that both runs have asked a question under."""
    seen: tuple[set[str], set[str]] = set(), set()
    while not seen[0] & seen[1]:
        for run, known in zip((first, second), seen, strict=True):
            known.add(number := run.hold("git", "push"))
            if number not in seen[0] & seen[1]:
                run.tell(f"abandon {number}")
    return (seen[0] & seen[1]).pop()


def test_nothing_goes_on(operator: Operator) -> None:
    assert operator("ps") == (0, ["no run is going on"])
    assert operator("ps", "--json") == (0, [])
    assert operator("approve", "3F") == (
        1, ["govrun: no question '3F' waits", "  why: no run is going on", "  fix: govrun ps"],
    )  # fmt: skip
    for word in ("pause", "resume", "stop"):
        code, lines = operator(word)
        assert code == 2 and lines[1] == "  why: no run is going on"


def test_ps(operator: Operator, serve: Callable[..., Any]) -> None:
    idle, asking = serve(tree="/w/idle"), serve(agent="codex")
    number = asking.hold("git", "push", "origin")
    code, lines = operator("ps")
    assert code == 0 and len(lines) == 5
    assert lines[0].split() == ["RUN", "AGE", "STATE", "AGENT", "TREE"]
    assert lines[1].split()[0] == idle.run and lines[1].split()[2:] == ["running", "claude", "/w/idle"]
    assert lines[2].split()[0] == asking.run and lines[2].split()[2:] == ["running", "codex", "/w/app"]
    assert lines[3].startswith(f"  {number}  ") and lines[3].endswith(" s left  git push origin  in /w  (push)")
    assert lines[4] == "answer: govrun approve ID, or govrun deny ID"
    first, second = (json.loads(line) for line in operator("ps", "--json")[1])
    assert (first["run"], first["questions"], first["state"]) == (idle.run, [], "running")
    (question,) = second["questions"]
    assert (question["id"], question["command"]) == (number, "git push origin") and 50 < question["left"] <= 60


def test_approve_and_deny(operator: Operator, serve: Callable[..., Any]) -> None:
    serve()
    run = serve()
    number = run.hold("git", "push")
    code, lines = operator("approve", number.lower())
    assert (code, lines) == (0, [f"approved {number}, this act only: git push   (run {run.run})"])
    assert run.line()[:2] == ["record", "approve"] and run.line()[:2] == ["reply", number]
    code, lines = operator("deny", number)
    assert code == 1 and lines[0] == f"govrun: {number} was not denied"
    assert f"{number} is answered already: approved by uid {os.getuid()}" in lines[1]
    other = run.hold("npm", "publish")
    code, lines = operator("deny", other, "--why", "not\non\x1bFridays" + "é" * 900)
    assert (code, lines) == (0, [f"denied {other}: npm publish   (run {run.run})"])
    assert ", because not on Fridaysé" in run.line()[2]
    assert run.line()[:2] == ["reply", other]
    again = run.hold("git", "push")
    assert "for the rest of the run" in operator("approve", "--for-run", again)[1][0]


def test_nobody_has_asked_that(operator: Operator, serve: Callable[..., Any]) -> None:
    run = serve()
    assert operator("approve", "ABCDEF")[1][:2] == [
        "govrun: no question 'ABCDEF' waits", "  why: 1 live run, and none has asked it",
    ]  # fmt: skip
    number = run.hold("x")
    run.tell(f"abandon {number}")
    run.hold("y")
    code, lines = operator("approve", number)
    assert code == 1 and f"{number} is over: nobody waits for it any more" in lines[1]


@pytest.mark.parametrize("word", ["x", "3G", "", "3F\n", "3F ", "é" * 9000, "\udcff", "٣٣", "--", "latest"])
def test_no_id(operator: Operator, serve: Callable[..., Any], word: str) -> None:
    serve()
    code, lines = operator("approve", word)
    assert code == 2 and not any(line.startswith("approved") for line in lines)


def test_an_id_of_two_runs(operator: Operator, serve: Callable[..., Any]) -> None:
    first, second = serve(), serve()
    number = same_id(first, second)
    code, lines = operator("approve", number)
    assert code == 1 and lines[0] == f"govrun: 2 runs know a question '{number}'"
    assert {first.run, second.run} == {line.split()[1].rstrip(":") for line in lines[1:3]}
    assert "--run RUN" in lines[-1]
    answers = {run.run: operator("approve", number, "--run", run.run) for run in (first, second)}
    assert sorted(code for code, _ in answers.values()) in ([0, 0], [0, 1])


def test_one_that_does_not_answer(operator: Operator, serve: Callable[..., Any]) -> None:
    journal = silent(operator)
    assert operator("ps")[1][1].split()[2:] == ["not", "answering", "a", "/w/x"]
    assert json.loads(operator("ps", "--json")[1][0])["state"] == "not answering"
    for words in (("approve", "3F"), ("stop",)):
        code, lines = operator(*words)
        assert code == 2 and "cannot be reached" in lines[0] and lines[1] == "  why: nobody listens"
    run = serve()  # beside it one that does
    number = run.hold("git", "push")
    assert operator("approve", number)[0] == 0
    assert operator("approve", "ABCDEF")[0] == 2
    journal.close()
    assert operator("approve", "ABCDEF")[0] == 1
    assert len(operator("ps")[1]) == 2


def test_pause_resume_stop(operator: Operator, serve: Callable[..., Any]) -> None:
    run = serve()
    assert operator("resume")[0] == 1
    assert operator("pause") == (0, [f"the run is paused: govrun resume   (run {run.run})"])
    assert operator("pause", run.run[:20])[0] == 0
    assert operator("ps")[1][1].split()[2] == "paused"
    assert operator("resume", "latest") == (0, [f"the run goes on   (run {run.run})"])
    assert operator("stop", run.run.lower()) == (0, [f"the run is being stopped   (run {run.run})"])
    said = [run.line() for _ in range(6)]
    assert [line[1] for line in said] == ["pause", "pause", "resume", "resume", "stop", "stop"]


def test_which_run(operator: Operator, serve: Callable[..., Any]) -> None:
    here = os.getcwd()
    first, second, third = serve(tree=here), serve(tree=here), serve()
    code, lines = operator("stop")
    assert code == 2 and lines[0] == "govrun: no single live run" and all(run.run in lines[1] for run in (first, third))
    assert operator("stop", "0")[0] == 2
    assert operator("stop", "zzz")[0] == operator("pause", "\x1b")[0] == 2
    assert operator("stop", "latest")[1][0].endswith(f"(run {second.run})")


def test_a_killed_run_is_not_listed(operator: Operator, serve: Callable[..., Any]) -> None:
    run = serve()
    run.process.kill()
    run.process.wait()
    assert operator("ps") == (0, ["no run is going on"])
    assert operator("approve", "3F", "--run", run.run)[0] == 2


def test_nothing_is_shown_raw(operator: Operator, serve: Callable[..., Any]) -> None:
    nasty = "a\x1b[31m\x1b]0;t\x07\r\n\x9b\u202e\u200b\u2028"
    run = serve(agent=nasty, tree=nasty)
    number = run.hold("a\x1b[31m\u202e\u200b")
    for words in (("ps",), ("ps", "--json"), ("approve", number)):
        code, lines = operator(*words)
        assert code == 0
        for line in lines:
            assert not [c for c in line if unicodedata.category(c) in HIDDEN], ascii(line)


@pytest.mark.parametrize("words", ["ps", "approve 3F", "deny 3F", "pause", "resume", "stop"])
def test_inside_a_run(operator: Operator, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    # What the kernel would answer there; runs as a whole are tested end to end.
    monkeypatch.setattr(probe, "run_id", lambda: "01J00000000000000000000000")
    code, lines = operator(*words.split())
    assert code == 2 and lines[0] == f"govrun: `{words.partition(' ')[0]}` does not work inside a run"
    assert "01J00000000000000000000000" in lines[1]
