"""Which exit statuses are an answer, and whose command a program is."""

from __future__ import annotations

import pytest

from supervisor.run import standings
from supervisor.run.answering import answers
from supervisor.run.standings import Standing
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target

ACTOR = Actor(1, 1, 1, b"", (), 1)


def event(*argv: str, program: str = "", chain: tuple[bytes, ...] = ()) -> ExecEvent:
    words = tuple(word.encode() for word in argv)
    path = (program or f"/usr/bin/{argv[0].rpartition('/')[2]}").encode()
    return ExecEvent(ACTOR, Target(path, Kind.FILE), words[0], words, b"/w", "stop", chain=chain)


@pytest.mark.parametrize(
    "argv",
    [
        ("grep", "-q", "x", "a"),
        ("rg", "x"),
        ("[", "-e", "x", "]"),
        ("/usr/bin/cmp", "a", "b"),
        ("git", "-C", "d", "rev-parse", "-q", "--verify", "refs/heads/x"),
        ("git", "diff", "--quiet"),
        ("git", "config", "user.name"),
        ("git", "config", "--get", "user.name"),
        ("git", "ls-files", "--error-unmatch", "a"),
        ("bash", "-c", "cd d && grep -q ';x' a > /dev/null 2>&1"),
        ("bash", "-lc", "make; X=1 test -e 'a b'"),
        ("bash", "-o", "pipefail", "-c", "! /usr/bin/grep x a"),
        ("bash", "-c", "source ~/x && eval 'grep -q x a' < /dev/null && pwd -P >| /tmp/cwd"),
        ("sh", "-c", "command -v cargo"),
    ],
)
def test_no_is_an_answer(argv: tuple[str, ...]) -> None:
    assert 1 in answers(event(*argv), b"/w/")
    assert not {2, 128} & answers(event(*argv), b"/w/")


@pytest.mark.parametrize(
    "argv",
    [
        ("make", "test"),
        ("pytest",),
        ("git", "diff"),
        ("git", "commit", "-m", "grep"),
        ("git", "config", "user.name", "x"),
        ("git",),
        ("sh", "-c", "exit 1"),
        ("sh", "-c", "grep -q x a && make test"),
        ("sh", "-c", "./test"),
        ("sh", "-c", "grep 'x"),
        ("sh", "-c", "x; " * 4000 + "grep x a"),
        ("sh", "-c"),
        ("sh", "-c", ""),
        ("sh", "test"),
        ("sh", "-c", "eval " * 9 + "grep x"),
    ],
)
def test_failures_stay_failures(argv: tuple[str, ...]) -> None:
    assert not answers(event(*argv), b"/w/")


def test_a_program_of_the_tree_is_not_known_by_its_name() -> None:
    assert not answers(event("./test", program="/w/test"), b"/w/")
    assert not answers(event("sh", "./test", program="/usr/bin/dash", chain=(b"/w/test",)), b"/w/")
    assert answers(event("sh", "/usr/bin/egrep", program="/usr/bin/dash", chain=(b"/usr/bin/egrep",)), b"/w/") == {1}


def test_states_of_services_are_answers() -> None:
    assert answers(event("systemctl", "is-active", "x"), b"/w/") == {1, 3, 4}
    assert not answers(event("systemctl", "restart", "x"), b"/w/")


def down(*lines: ExecEvent) -> Standing:
    """Each was started by the one before it, the first by govrun."""
    found = standings.root(lines[0])
    for each in lines[1:]:
        found = standings.below(found, each)
    return found


AGENT, LINE, SHIM = event("agent"), event("bash", "-c", "x"), event("bash", "/opt/shims/python3")
MAKE, NAME = event("make", "test"), event("readlink", "x")


@pytest.mark.parametrize(
    "lines",
    [
        (AGENT, MAKE),
        (AGENT, LINE, MAKE),
        (AGENT, event("bash"), event("timeout", "9", "make"), MAKE),
        (AGENT, event("bash", "-euo", "pipefail", "-c", "x"), LINE, MAKE),
        (event("bash", "run.sh"), AGENT, LINE, MAKE),
        (event("node", "/usr/bin/npx", "agent"), event("sh", "-c", "agent"), MAKE),
        (event("uv", "run", "agent"), AGENT, LINE, MAKE),
    ],
)
def test_commands_of_the_agent_count(lines: tuple[ExecEvent, ...]) -> None:
    assert down(*lines).counts


@pytest.mark.parametrize(
    "lines",
    [
        (AGENT, SHIM, NAME),
        (AGENT, LINE, SHIM, NAME),
        (AGENT, MAKE, LINE, NAME),
        (AGENT, LINE, MAKE, event("sh", "-c", "x"), NAME),
        (event("bash", "run.sh"), SHIM, NAME),
        (event("bash", "run.sh"), AGENT, MAKE, LINE),
    ],
)
def test_what_they_start_does_not(lines: tuple[ExecEvent, ...]) -> None:
    assert not down(*lines).counts


def test_who_has_lost_its_parents_counts_and_what_replaces_a_program_is_judged_as_what_it_is() -> None:
    assert standings.below(None, MAKE).counts
    shim = down(AGENT, LINE, SHIM)
    assert shim.counts and not shim.starts
    assert standings.replaced(shim, LINE).starts
