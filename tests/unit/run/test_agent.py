"""Which process is the agent, and where its model reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.profile.model import AgentPack
from supervisor.run.agent import Agent, launches
from supervisor.surfaces.processes import Processes
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target

PACK = AgentPack("x", programs=("x-agent",))
GENERIC = AgentPack("generic")


class Family:
    """A process (this one) that is the run's, its children real ones that wait, each an image of its own file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[subprocess.Popen[bytes]] = []
        self.processes = Processes(os.getppid())
        self.processes.root = os.getpid()
        self.adopted: list[AgentPack] = []

    def child(self, image: str = "cat") -> int:
        path = self.folder / image
        if not path.exists():
            shutil.copy("/bin/cat", path)
        self.children.append(subprocess.Popen([str(path)], stdin=subprocess.PIPE))
        return self.children[-1].pid

    def agent(self, pack: AgentPack = PACK, late: tuple[AgentPack, ...] = ()) -> Agent:
        return Agent(pack, self.processes, late, self.adopted.append)

    @staticmethod
    def runs(path: str, *argv: str) -> ExecEvent:
        target, words = Target(path.encode(), Kind.FILE), tuple(w.encode() for w in (path, *argv))
        return ExecEvent(Actor(1, 1, 1, b"", (), 1), target, path.encode(), words, b"/", "stop")


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    made = Family(tmp_path)
    yield made
    for child in made.children:
        child.communicate()


def test_the_agent_is_found_below_its_launcher(family: Family) -> None:
    agent, me = family.agent(), os.getpid()
    agent.executed(me, family.runs("/usr/bin/node", "/opt/bin/x-agent", "--flag"))
    assert agent.is_agent(me)
    native = family.child("native")
    agent.executed(native, family.runs("/opt/lib/x-agent"))
    assert agent.is_agent(native)
    assert not agent.is_agent(me)


def test_what_the_agent_starts_is_not_the_agent(family: Family) -> None:
    agent, me = family.agent(), os.getpid()
    agent.executed(me, family.runs("/opt/bin/x-agent"))
    for command in (("/bin/sh", "-c", "x-agentless"), ("/usr/bin/git", "log", "x-agent")):
        agent.executed(family.child(), family.runs(*command))
    assert agent.is_agent(me)


def test_an_agent_that_starts_itself_as_a_helper_stays_the_agent(family: Family) -> None:
    agent = family.agent()
    agent.executed(os.getpid(), family.runs("/usr/bin/node", "/opt/bin/x-agent"))
    first = family.child("native")
    agent.executed(first, family.runs("/opt/lib/x-agent"))
    # A child of the first in earnest would take a second fork: here the first is made its parent.
    second = family.child("native")
    family.processes.of(second).ppid = first
    agent.executed(second, family.runs("/opt/lib/x-agent", "--helper"))
    assert agent.is_agent(first)


def test_the_agent_is_found_behind_a_runner_and_a_shell(family: Family) -> None:
    agent, me = family.agent(), os.getpid()
    agent.executed(me, family.runs("/usr/bin/npx", "-y", "x-agent", "go"))
    agent.executed(me, family.runs("/usr/bin/node", "/usr/bin/npx", "-y", "x-agent", "go"))
    shell, program = family.child(), family.child("native")
    agent.executed(shell, family.runs("/bin/sh", "-c", "x-agent go"))
    family.processes.of(program).ppid = shell
    assert agent.is_agent(me)
    agent.executed(program, family.runs("/usr/bin/node", "/home/x/.npm/bin/x-agent", "go"))
    assert agent.is_agent(program)
    deeper = family.child()
    agent.executed(deeper, family.runs("/opt/bin/x-agent", "another"))  # what the agent's commands start is none
    assert agent.is_agent(program)


def test_a_runner_chooses_the_pack_late(family: Family) -> None:
    agent = family.agent(GENERIC, (PACK,))
    agent.executed(os.getpid(), family.runs("/bin/sh", "-c", "npx x-agent"))
    agent.executed(family.child(), family.runs("/usr/bin/npx", "x-agent"))
    assert family.adopted == [PACK]


def test_an_agent_that_starts_itself_anew_hands_over(family: Family) -> None:
    shutil.copy("/bin/cat", family.folder / "node")
    agent, launcher, second = family.agent(), family.child("node"), family.child("node")
    family.processes.root = launcher
    agent.executed(launcher, family.runs(str(family.folder / "node"), "/opt/bin/x-agent", "-p", "go"))
    family.processes.of(second).ppid = launcher
    again = ("--max-old-space-size=9", "/opt/lib/x-agent", "-p")
    agent.executed(second, family.runs(str(family.folder / "node"), *again, "other"))
    assert agent.is_agent(launcher)
    agent.executed(second, family.runs(str(family.folder / "node"), *again, "go"))
    assert agent.is_agent(second)


def test_a_pack_is_chosen_when_a_script_starts_the_agent(family: Family) -> None:
    agent = family.agent(GENERIC, (AgentPack("y", programs=("y-agent",)), PACK))
    agent.executed(family.child(), family.runs("/usr/bin/cut", "-c1"))
    agent.changed(b"/t/.git/index")
    assert family.adopted == []
    child = family.child()
    agent.executed(child, family.runs("/opt/bin/x-agent"))
    assert family.adopted == [PACK]
    assert agent.is_agent(child)


def test_no_pack_is_chosen_once_the_run_has_changed_something(family: Family) -> None:
    agent = family.agent(GENERIC, (PACK,))
    agent.changed(b"/t/notes")
    agent.executed(family.child(), family.runs("/opt/bin/x-agent"))
    assert family.adopted == []


def test_no_pack_is_chosen_once_something_else_was_launched(family: Family) -> None:
    """It may be an agent that nobody knows: what it starts next is its model's idea."""
    agent = family.agent(GENERIC, (PACK,))
    agent.executed(os.getpid(), family.runs("/usr/bin/python3", "my-agent.py"))
    agent.executed(family.child(), family.runs("/opt/bin/x-agent"))
    assert family.adopted == []


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("#!/bin/sh\n", True),
        ("#!/usr/bin/env -S bash -e\n", True),
        ("#!/usr/bin/env python3\n", False),
        ("#!", False),
        ("", False),
    ],
)
def test_a_script_for_a_shell_launches(tmp_path: Path, program: str, told: bool) -> None:
    path = tmp_path / "x"
    path.write_text(program)
    assert launches(str(path)) is told


def test_programs_that_launch() -> None:
    assert launches("/bin/sh") and launches("/usr/bin/env")
    assert not launches("/bin/true") and not launches("/nowhere") and not launches("/dev/null")


def test_no_pack_is_chosen_by_what_a_command_starts(family: Family) -> None:
    agent, command = family.agent(GENERIC, (PACK,)), family.child()
    deeper = family.child()
    family.processes.of(deeper).ppid = command
    agent.executed(deeper, family.runs("/opt/bin/x-agent"))
    assert family.adopted == []


@pytest.mark.parametrize(
    ("program", "read"), [("/bin/bash", True), ("/usr/bin/zsh", True), ("/usr/bin/git", False), ("/x/bash-it", False)]
)
def test_a_known_agent_reads_what_its_shells_say(family: Family, program: str, read: bool) -> None:
    agent = family.agent()
    assert agent.reads(family.child(), program.encode())  # nobody knows yet which process it is
    agent.executed(os.getpid(), family.runs("/opt/bin/x-agent"))
    assert agent.reads(family.child(), program.encode()) is read
    assert family.agent(GENERIC).reads(family.child(), program.encode())


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/usr/bin/bwrap", "--ro-bind", "/", "/"), "bwrap cannot work inside a run"),
        (("/usr/bin/unshare", "-r", "true"), "unshare cannot work inside a run"),
        (("/usr/bin/bwrap", "--version"), ""),
        (("/usr/bin/echo", "bwrap"), ""),
    ],
)
def test_a_sandbox_that_cannot_work_is_told_what_to_do(family: Family, command: tuple[str, ...], told: str) -> None:
    line = family.agent(PACK._replace(unconfined="x --bare")).sandbox(family.runs(*command))
    assert line.startswith(f"govrun: {told}") if told else line == ""
    assert not told or line.endswith("instead: x --bare")
    assert family.agent().sandbox(family.runs(*command)) == ""  # told as any other program is
